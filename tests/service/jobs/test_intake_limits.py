"""The intake's limits: files, bytes, memory and the disk."""

from __future__ import annotations

import io
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import pytest

from service.errors import BadParameter, DiskFull, TooLarge
from service.jobs.intake import IntakeLimits, Upload, take
from service.jobs.store import Store
from tests.service.formats.test_archive import zipped
from tests.service.formats.test_nifti import WHOLE as NIFTI
from tests.service.jobs.intake import MEGABYTE, PICTURE, SLICES, keys, problems, repeated, upload
from tests.service.jobs.limits import files_limited_to


def test_a_hundred_thousand_entries_are_refused(store: Store) -> None:
    many = repeated(zipped(("a.png", PICTURE)), 100_000)
    with pytest.raises(TooLarge, match=r"Found a zip of more than 20000 files; wanted at most 20000\. Send them as"):
        take([upload(PICTURE), upload(many)], store, "j1")
    assert keys(store) == []


def test_a_directory_longer_than_any_job_is_never_read(store: Store) -> None:
    many = repeated(zipped(("a.png", PICTURE)), 100_000)
    tracemalloc.start()
    with pytest.raises(TooLarge, match="a zip of more than 10 files"):
        take([upload(many)], store, "j1", IntakeLimits(files=10))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * MEGABYTE


def test_a_few_too_many_entries(store: Store) -> None:
    with pytest.raises(TooLarge, match="a zip of more than 10 files; wanted at most 10"):
        take([upload(repeated(zipped(("a.png", PICTURE)), 11))], store, "j1", IntakeLimits(files=10))


def test_limits_count_all_uploads_together(store: Store) -> None:
    archive = zipped(*((f"{n}.png", PICTURE) for n in range(3)))
    with pytest.raises(TooLarge, match="Found 6 files; wanted at most 5 in one job"):
        take([upload(archive)] * 2, store, "j1", IntakeLimits(files=5))
    with pytest.raises(TooLarge, match=rf"Found files of {6 * len(PICTURE)} bytes; wanted at most {5 * len(PICTURE)}"):
        take([upload(archive)] * 2, store, "j1", IntakeLimits(bytes=5 * len(PICTURE)))
    assert keys(store) == []


def test_an_item_over_its_limit_fails_alone(store: Store) -> None:
    limits = IntakeLimits(item_bytes=len(PICTURE))
    taken = take([upload(PICTURE), *(upload(one) for one in SLICES), upload(NIFTI)], store, "j1", limits)
    assert problems(taken) == [None, "too_large", "too_large" if len(NIFTI) > len(PICTURE) else None]
    assert taken.items[1].problem is not None
    assert taken.items[1].problem.found == f"a file or series of {sum(map(len, SLICES))} bytes"


@pytest.mark.parametrize("sent", [[], [zipped()], [zipped(("folder/", b"")), zipped(("__MACOSX/._a", b"x"))]])
def test_an_empty_job(store: Store, sent: list[bytes]) -> None:
    with pytest.raises(BadParameter, match="Found no file; wanted at least one picture or volume") as caught:
        take([upload(content) for content in sent], store, "j1")
    assert caught.value.code == "empty_job"


def test_a_full_disk_in_the_middle_leaves_nothing_of_the_job(store: Store) -> None:
    sent = [upload(b"hello"), upload(PICTURE), upload(PICTURE), upload(PICTURE + bytes(MEGABYTE))]
    with files_limited_to(MEGABYTE), pytest.raises(DiskFull, match="a store without room"):
        take(sent, store, "j1")
    assert (keys(store), store.sweep(0)) == ([], 0)


class Zeros(io.RawIOBase):
    """A large file that takes no memory."""

    def __init__(self, head: bytes, size: int) -> None:
        self._head, self._size, self._at = head, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = {0: 0, 1: self._at, 2: self._size}[whence] + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        count = min(len(buffer), self._size - self._at)
        piece = self._head[self._at : self._at + count]
        buffer[:count] = piece + bytes(count - len(piece))
        self._at += count
        return count


def test_no_file_is_held_in_memory(store: Store, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "big.zip", "w") as archive:
        for number in range(4):
            archive.writestr(f"{number}.png", PICTURE + bytes(12 * MEGABYTE))
    large: Any = io.BufferedReader(Zeros(PICTURE, 40 * MEGABYTE))
    with (tmp_path / "big.zip").open("rb") as stream:
        tracemalloc.start()
        taken = take([Upload("big.zip", stream), Upload("large.png", large)], store, "j1")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert [item.bytes for item in taken.items[-2:]] == [12 * MEGABYTE + len(PICTURE), 40 * MEGABYTE]
    assert peak < 10 * MEGABYTE
