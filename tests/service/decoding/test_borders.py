"""Nothing that comes out of a decoding process is believed unchecked: it may have been taken over."""

from __future__ import annotations

import errno
import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from service.decoding import failures
from service.decoding.bounds import DEFAULT_BOUNDS
from service.decoding.channel import BEGUN, LENGTH, MAX_REPLY, Broken, receive_request, send_reply, shared
from service.decoding.child import _told, serve
from service.decoding.parcel import packed, unpacked
from service.decoding.worker import NotBegun, Worker
from service.errors import InputError, UnknownPipeline
from service.image import Image

PIXELS = np.arange(24, dtype=np.uint16).reshape(1, 4, 6, 1)
HEAD, PIECES = (part if isinstance(part, dict) else b"".join(part) for part in packed(Image(PIXELS)))


@pytest.fixture
def pair() -> Iterator[tuple[Worker, socket.socket]]:
    """A handle, and the end of its channel where a process should be."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield Worker(0, ours), theirs


def answered(pair: tuple[Worker, socket.socket], reply: Callable[[socket.socket], None], seconds: float = 10) -> Any:
    """What the handle makes of a reply."""
    worker, theirs = pair

    def other_side() -> None:
        with theirs.makefile("rb") as requests:
            assert receive_request(requests) == (b"content", {"asked": 1})
        reply(theirs)

    thread = threading.Thread(target=other_side)
    thread.start()
    try:
        return worker.ask(b"content", {"asked": 1}, seconds)
    finally:
        thread.join()


def raw(body: bytes, announced: int | None = None) -> Callable[[socket.socket], None]:
    """A reply of these bytes, after which the process is gone."""

    def reply(theirs: socket.socket) -> None:
        theirs.sendall(BEGUN + LENGTH.pack(len(body) if announced is None else announced) + body)
        theirs.shutdown(socket.SHUT_RDWR)

    return reply


@pytest.mark.parametrize(
    "reply",
    [raw(b"{"), raw(b"[1]"), raw(b"[" * 100_000), raw(b"\xff"), raw(b"{}", 40), raw(b"", MAX_REPLY + 1), raw(b"")],
    ids=["no json", "no object", "deep", "no text", "cut", "huge", "empty"],
)
def test_replies_that_no_honest_process_sends(pair: Any, reply: Any) -> None:
    with pytest.raises(OSError):  # noqa: PT011 - any of them counts as a crash
        answered(pair, reply)


def test_a_process_that_is_gone_before_it_begins(pair: Any) -> None:
    with pytest.raises(NotBegun):
        answered(pair, lambda theirs: theirs.shutdown(socket.SHUT_RDWR))


def test_a_process_that_drips(pair: Any) -> None:
    with pytest.raises(TimeoutError):
        answered(pair, lambda theirs: theirs.sendall(BEGUN + LENGTH.pack(100) + b"{"), seconds=0.2)


def memory(size: int, seal: bool = True) -> int:
    """Descriptor of a piece of memory."""
    if seal:
        return shared([b"\0" * size])
    descriptor = os.memfd_create("unsealed")
    os.ftruncate(descriptor, size)
    return descriptor


def with_memory(descriptor: int) -> Callable[[socket.socket], None]:
    def reply(theirs: socket.socket) -> None:
        theirs.sendall(BEGUN)
        send_reply(theirs, {}, descriptor)
        os.close(descriptor)

    return reply


def test_memory_that_could_still_shrink_is_refused(pair: Any) -> None:
    """A mapping of it would kill the service with a bus error."""
    with pytest.raises(Broken):
        answered(pair, with_memory(memory(48, seal=False)))


def test_a_descriptor_of_something_else_is_refused(pair: Any) -> None:
    with pytest.raises(Broken):
        answered(pair, with_memory(os.open("/dev/null", os.O_RDONLY)))


def test_sealed_memory_arrives(pair: Any) -> None:
    head, received = answered(pair, with_memory(memory(48)))
    assert (head, len(received)) == ({}, 48)


def test_descriptors_of_broken_replies_are_closed(pair: Any) -> None:
    before = len(os.listdir("/proc/self/fd"))

    def reply(theirs: socket.socket) -> None:
        theirs.sendall(BEGUN)
        descriptor = memory(8)
        socket.send_fds(theirs, [LENGTH.pack(3) + b"abc"], [descriptor])
        os.close(descriptor)

    with pytest.raises(Broken):
        answered(pair, reply)
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize(
    "change",
    [
        {"shape": [1, 4, 7, 1]},
        {"shape": [1, -4, -6, 1]},
        {"shape": [24]},
        {"shape": [1, 4, 3, 2]},
        {"shape": "1461"},
        {"dtype": "O"},
        {"dtype": "<c2"},
        {"dtype": "S2"},
        {"dtype": "<u9"},
        {"sizes": [47]},
        {"sizes": [-1, 49]},
        {"sizes": []},
        {"focus": [0, 0, 0, 0, 0, 0]},
        {"flags": [["a", "b", "c"]]},
        {"held": [0, 2]},
        {"held": [-1, 1]},
        {"held": "none"},
        {"source": {"kind": "dicom"}},
        {"spacing": None},
        {"notes": 5},
    ],
    ids=str,
)
def test_heads_that_do_not_fit(change: dict[str, Any]) -> None:
    with pytest.raises(Broken):
        unpacked({**json.loads(json.dumps(HEAD)), **change}, PIECES)


def test_a_head_that_fits() -> None:
    image = unpacked(json.loads(json.dumps(HEAD)), PIECES)
    np.testing.assert_array_equal(image.voxels, PIXELS)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "head",
    [
        {"failed": "input", "kind": "SystemExit", "found": "a", "wanted": "b", "remedy": "c", "code": "d"},
        {"failed": "input", "kind": "SetupError", "found": "a", "wanted": "b", "remedy": "c", "code": "d"},
        {"failed": "input", "kind": "TooLarge", "found": 1, "wanted": "b", "remedy": "c", "code": "d"},
        {"failed": "else"},
    ],
)
def test_errors_that_no_reader_raises(head: dict[str, Any]) -> None:
    with pytest.raises(Broken):
        failures.told(head, DEFAULT_BOUNDS)


def test_every_input_error_finds_its_way() -> None:
    error = UnknownPipeline("a", "b", "Do c.", "d")
    again = failures.told(_told(error), DEFAULT_BOUNDS)
    assert type(again) is UnknownPipeline
    assert vars(again) == vars(error)


class CvNoMemoryError(Exception):
    """As OpenCV's own error says it."""

    code = -4


@pytest.mark.parametrize(
    "error", [MemoryError(), OSError(errno.EFBIG, "x"), OSError(errno.ENOMEM, "x"), CvNoMemoryError()]
)
def test_what_counts_as_want_of_memory(error: Exception) -> None:
    assert _told(error) == {"failed": "memory"}
    try:
        try:
            raise error
        except Exception:
            raise InputError("a", "b", "c") from None
    except InputError as behind:
        assert _told(behind) == {"failed": "memory"}


def test_a_served_channel_ends_with_the_service() -> None:
    ours, theirs = socket.socketpair()
    thread = threading.Thread(target=serve, args=(theirs, lambda content, options: Image(PIXELS)))
    with ours, theirs:
        thread.start()
        for _ in range(2):
            head, received = Worker(0, ours).ask(b"x", None, 10)
            np.testing.assert_array_equal(unpacked(head, received).voxels, PIXELS)  # type: ignore[arg-type]
        ours.sendall(b"half a request"[:5])
        ours.shutdown(socket.SHUT_WR)
        thread.join(10)
        assert not thread.is_alive()
