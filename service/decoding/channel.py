"""What the service and a decoding process say to each other over a socket pair.

Towards the process everything is ours and may be pickled. From it nothing is: a codec that was taken over must not
reach the service, so a reply is JSON under a size cap, and voxels come as a sealed piece of memory without a name.
"""

from __future__ import annotations

import fcntl
import json
import os
import pickle
import socket
import struct
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, BinaryIO, Protocol

Json = Mapping[str, Any]
Buffer = bytes | memoryview

REQUEST = struct.Struct("!IQ")
LENGTH = struct.Struct("!I")
# Sent once a request has arrived: before it, a dead process says nothing about the file.
BEGUN = b"\1"
MAX_REPLY = 64 << 20
PIECE = 1 << 20
SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


class Content(Protocol):
    """A file that comes piece by piece, each time from its start, so that it need not be held as a whole."""

    @property
    def size(self) -> int:
        """In bytes."""
        ...

    def pieces(self) -> Iterator[bytes]:
        """All of it. May raise what its source raises."""
        ...


class Unread(Exception):
    """The source of a file failed while it was sent; ``__cause__`` says how. The process has had a part of it."""


class Broken(ConnectionError):
    """A reply that no honest process sends, or none at all."""


def send_request(channel: socket.socket, content: bytes | Content, options: object) -> None:
    """Send one file. Raises OSError, TimeoutError; Unread."""
    asked = pickle.dumps(options)
    size = len(content) if isinstance(content, bytes) else content.size
    channel.sendall(REQUEST.pack(len(asked), size) + asked)
    for piece in _read(content):
        channel.sendall(piece)


def _read(content: bytes | Content) -> Iterator[bytes]:
    """Errors of the source, told from those of the channel."""
    if isinstance(content, bytes):
        yield content
        return
    pieces = content.pieces()
    while True:
        try:
            piece = next(pieces, None)
        except Exception as error:
            raise Unread from error
        if piece is None:
            return
        yield piece


def receive_request(stream: BinaryIO) -> tuple[bytes, Any] | None:
    """(content, options) of the next request; None when the service has gone."""
    head = stream.read(REQUEST.size)
    if len(head) < REQUEST.size:
        return None
    asked, size = REQUEST.unpack(head)
    options, content = stream.read(asked), stream.read(size)
    return None if len(content) < size else (content, pickle.loads(options))  # noqa: S301 - from the service itself


def send_reply(channel: socket.socket, head: Json, memory: int | None = None) -> None:
    """Send the reply, with the descriptor of a piece of memory where there is one."""
    body = json.dumps(head, default=_plain).encode()
    message = LENGTH.pack(len(body)) + body
    sent = socket.send_fds(channel, [message], [] if memory is None else [memory])
    channel.sendall(message[sent:])


def _plain(value: Any) -> Any:
    """NumPy's scalars and arrays as Python's own numbers and lists."""
    return value.tolist()


def shared(pieces: Iterable[Buffer]) -> int:
    """Descriptor of memory that holds the pieces one after the other, sealed; it has no name that could be left."""
    memory = os.memfd_create("pixels", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        for piece in pieces:
            left = memoryview(piece)
            while left:
                left = left[os.write(memory, left) :]
        fcntl.fcntl(memory, fcntl.F_ADD_SEALS, SEALS)
    except BaseException:
        os.close(memory)
        raise
    return memory


def sealed_size(memory: int) -> int:
    """Bytes of a received piece of memory. Raises Broken unless it can neither change nor shrink any more."""
    with suppress(OSError):
        if fcntl.fcntl(memory, fcntl.F_GET_SEALS) & SEALS == SEALS:
            return os.fstat(memory).st_size
    raise Broken


class Patience:
    """Seconds that run from now."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def bind(self, channel: socket.socket) -> socket.socket:
        """The channel, whose next call ends with TimeoutError when the time is over."""
        channel.settimeout(max(self._end - time.monotonic(), 1e-3))
        return channel


def receive_begun(channel: socket.socket, patience: Patience) -> None:
    """Wait until the process has the request. Raises Broken, OSError, TimeoutError."""
    if patience.bind(channel).recv(1) != BEGUN:
        raise Broken


def receive_reply(channel: socket.socket, patience: Patience) -> tuple[Json, int | None]:
    """Head and descriptor of a reply; the caller closes it. Raises Broken, OSError, TimeoutError."""
    start, descriptors, _, _ = socket.recv_fds(patience.bind(channel), LENGTH.size, 1, socket.MSG_CMSG_CLOEXEC)
    try:
        (size,) = LENGTH.unpack(start + _exactly(channel, LENGTH.size - len(start), patience))
        if size > MAX_REPLY:
            raise Broken
        head = _object(_exactly(channel, size, patience))
    except BaseException:
        for one in descriptors:
            os.close(one)
        raise
    return head, descriptors[0] if descriptors else None


def _exactly(channel: socket.socket, size: int, patience: Patience) -> bytes:
    received = bytearray()
    while len(received) < size:
        piece = patience.bind(channel).recv(min(size - len(received), PIECE))
        if not piece:
            raise Broken
        received += piece
    return bytes(received)


def _object(body: bytes) -> Json:
    try:
        head = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Broken from error
    if not isinstance(head, dict):
        raise Broken
    return head
