"""Files that come to a decoder piece by piece: the same image, and what their source raises."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from service.decoding.bounds import Bounds
from service.decoding.pool import Decoders
from service.errors import DamagedFile
from service.formats.limits import Limits
from service.formats.options import Options
from service.jobs.model import StoredFile
from service.jobs.store import StoredContent, open_store
from tests.service.formats.pictures import gradient, saved
from tests.serving import until

PICTURE = saved(gradient(), "PNG")


@pytest.fixture(scope="module")
def decoders() -> Iterator[Decoders]:
    made = Decoders(Bounds(processes=1))
    yield made
    made.close()


@dataclass
class Pieces:
    """A file in pieces of some bytes; ``error`` comes after so many of them, and counts how often it was read."""

    length: int
    error: Exception | None = None
    after: int = 0
    read: int = 0

    @property
    def size(self) -> int:
        return len(PICTURE)

    def pieces(self) -> Iterator[bytes]:
        self.read += 1
        for number, start in enumerate(range(0, len(PICTURE), self.length)):
            if self.error and number == self.after:
                raise self.error
            yield PICTURE[start : start + self.length]


def same(decoders: Decoders, content: object) -> bool:
    image = decoders.read(content, Options(Limits(max_bytes=1 << 30)))  # type: ignore[arg-type]
    return np.array_equal(image.slab(0, 1)[0], gradient())


@pytest.mark.parametrize("length", [1, 100, 1 << 20])
def test_pieces_of_any_length_give_the_same_image(decoders: Decoders, length: int) -> None:
    assert same(decoders, Pieces(length))


@pytest.mark.parametrize("after", [0, 1])
@pytest.mark.parametrize("error", [OSError(5, "a disk"), TimeoutError("a network"), DamagedFile("a", "b", "c")])
def test_what_the_source_raises_is_told_as_it_is(decoders: Decoders, error: Exception, after: int) -> None:
    content = Pieces(100, error, after)
    with pytest.raises(type(error)) as caught:
        decoders.read(content, Options())
    assert caught.value is error
    assert content.read == 1
    assert same(decoders, PICTURE)


def test_a_file_is_read_again_for_a_process_that_was_gone(decoders: Decoders) -> None:
    assert same(decoders, PICTURE)
    os.kill(decoders.pids[-1], signal.SIGKILL)
    content = Pieces(1000)
    assert same(decoders, content)
    # Twice where the process died with a part of it.
    assert content.read in (1, 2)


def test_a_stored_file_is_held_against_its_digest(decoders: Decoders, tmp_path: Path) -> None:
    store = open_store(tmp_path.as_uri())
    put = store.put("a", PICTURE)
    whole = StoredFile("a", "a", put.sha256, put.bytes, "image/png")
    assert same(decoders, StoredContent(store, whole))
    other = bytearray(PICTURE)
    other[-20] ^= 1
    for content in (bytes(other), PICTURE[:-1], PICTURE + b"x"):
        store.put("a", content)
        with pytest.raises(DamagedFile, match="not what was written"):
            decoders.read(StoredContent(store, whole), Options())
    assert same(decoders, PICTURE)


def test_a_decoder_that_waits_holds_nothing_of_its_last_file(decoders: Decoders) -> None:
    size = 64 << 20
    assert same(decoders, PICTURE)
    before = resident(decoders.pids[-1])
    assert same(decoders, PICTURE + bytes(size))
    until(lambda: resident(decoders.pids[-1]) < before + size // 2)


def resident(pid: int) -> int:
    """Bytes of a process in memory."""
    pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
