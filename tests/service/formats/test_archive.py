"""Zips are judged by their directory; nothing is opened by name, and nothing is ever on disk."""

from __future__ import annotations

import io
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zipfile import ZIP_BZIP2, ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import InputError
from service.formats.archive import MAX_ENTRIES, bundled, is_zip, opened
from service.formats.limits import DEFAULT_LIMITS, Limits
from service.formats.options import Options
from service.formats.read import read_image
from tests.service.formats.dicom_files import instance, mr_slices, ramp, saved
from tests.service.formats.pictures import gradient
from tests.service.formats.pictures import saved as picture_saved
from tests.service.formats.test_nifti import WHOLE as NIFTI

PICTURE = picture_saved(gradient(), "PNG")
DICOM = saved(instance(ramp()))


def zipped(*entries: tuple[str | ZipInfo, bytes], compression: int = ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with ZipFile(stream, "w", compression) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return stream.getvalue()


def entry(name: str, mode: int = 0o100644) -> ZipInfo:
    info = ZipInfo(name)
    info.external_attr = mode << 16
    return info


def renamed(name: bytes) -> bytes:
    """A zip of one entry with a name that zipfile itself would not write."""
    return zipped(("x" * len(name), DICOM)).replace(b"x" * len(name), name)


def encrypted() -> bytes:
    content = bytearray(zipped(("a.dcm", DICOM)))
    for magic, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        content[content.index(magic) + flags] |= 1
    return bytes(content)


def overlapping() -> bytes:
    """Two directory entries over the same bytes."""
    content = zipped(("a.dcm", DICOM), ("b.dcm", DICOM), compression=ZIP_STORED)
    second = content.rindex(b"PK\1\2")
    return content[: second + 42] + struct.pack("<I", 0) + content[second + 46 :]


def lying(size: int) -> bytes:
    content = bytearray(zipped(("a.dcm", DICOM)))
    struct.pack_into("<I", content, content.index(b"PK\1\2") + 24, size)
    return bytes(content)


BAD: dict[str, tuple[Callable[[], bytes], str]] = {
    "traversal": (lambda: zipped(("../../evil.dcm", DICOM)), "zip_unsafe"),
    "traversal inside": (lambda: zipped(("a/../../b.dcm", DICOM)), "zip_unsafe"),
    "absolute": (lambda: renamed(b"/abs.dcm"), "zip_unsafe"),
    "backslashes": (lambda: renamed(b"..\\..\\b.dcm"), "zip_unsafe"),
    "drive": (lambda: renamed(b"C:evil.dcm"), "zip_unsafe"),
    "nul": (lambda: renamed(b"nul\0x.dcm"), "zip_unsafe"),
    "link": (lambda: zipped((entry("link.dcm", 0o120777), b"/etc/passwd")), "zip_unsafe"),
    "password": (encrypted, "zip_encrypted"),
    "bomb": (lambda: zipped(("a.dcm", DICOM), ("zeros", bytes(1 << 26))), "too_large"),
    "overlap": (overlapping, "malformed"),
    "declared longer": (lambda: lying(len(DICOM) + 10), "malformed"),
    "declared shorter": (lambda: lying(300), "malformed"),
    "unusual": (lambda: zipped(("a.dcm", DICOM), compression=ZIP_BZIP2), "malformed"),
    "cut": (lambda: zipped(("a.dcm", DICOM))[:-30], "malformed"),
    "empty": (zipped, "zip_empty"),
    "only folders": (lambda: zipped(("folder/", b"")), "zip_empty"),
    "only clutter": (lambda: zipped(("__MACOSX/._a", b"x"), ("DICOMDIR", b"y")), "zip_empty"),
    "no picture": (lambda: zipped(("a.txt", b"hello")), "unknown_format"),
    "nested": (lambda: zipped(("inner.zip", zipped(("a.dcm", DICOM)))), "mixed_series"),
    "two pictures": (lambda: zipped(("a.png", PICTURE), ("b.png", PICTURE)), "mixed_series"),
    "picture and slices": (lambda: zipped(("a.png", PICTURE), ("b.dcm", DICOM)), "mixed_series"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_zips(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make, code = BAD[name]
    content = make()
    assert is_zip(content)
    with pytest.raises(InputError) as caught:
        read_image(content)
    assert caught.value.code == code
    assert not any(word in str(caught.value) for word in ("evil", "passwd", "nul", ".dcm"))
    assert [*tmp_path.iterdir()] == []


def test_a_bomb_is_never_inflated() -> None:
    content = zipped(("a.dcm", bytes(1 << 27)))
    tracemalloc.start()
    with pytest.raises(InputError):
        opened(content, DEFAULT_LIMITS)
    assert tracemalloc.get_traced_memory()[1] < 1 << 22
    tracemalloc.stop()


def test_more_than_the_budget_in_many_small_files() -> None:
    files = [(f"{number}.dcm", np.random.default_rng(number).bytes(3000)) for number in range(4)]
    with pytest.raises(InputError, match="4 files of 12000 bytes together; wanted at most 10000"):
        opened(zipped(*files), Limits(max_volume_bytes=10_000))


def test_blank_slices_are_read() -> None:
    """They deflate a thousandfold, as bombs do."""
    files = mr_slices(np.zeros((3, 1024, 1024), np.uint16))
    image = read_image(zipped(*((f"{number}.dcm", file) for number, file in enumerate(files))))
    assert image.voxels.shape == (3, 1024, 1024, 1)


def test_a_file_that_grows_too_far_is_named_by_both_sizes() -> None:
    with pytest.raises(InputError, match=r"grows from \d+ to 33554433 bytes; wanted at most 33554432 bytes, or 100"):
        opened(zipped(("a", bytes((32 << 20) + 1))), DEFAULT_LIMITS)


def test_too_many_entries() -> None:
    with pytest.raises(InputError, match=f"a zip of {MAX_ENTRIES + 1} entries; wanted at most {MAX_ENTRIES}"):
        opened(
            zipped(*((str(number), b"") for number in range(MAX_ENTRIES + 1)), compression=ZIP_STORED), DEFAULT_LIMITS
        )


@pytest.mark.parametrize(("content", "depth"), [(PICTURE, 1), (NIFTI, 9), (DICOM, 1)])
def test_one_file_of_any_kind(content: bytes, depth: int) -> None:
    archive = zipped(("notes.txt", b"hello"), ("folder/", b""), ("folder/ZZPHI^CANARY", content))
    image = read_image(archive)
    assert (image.depth, "CANARY" in repr(image.notes)) == (depth, False)


@given(st.lists(st.binary(max_size=60), min_size=1, max_size=5))
def test_bundles_keep_their_files(files: list[bytes]) -> None:
    archive = opened(bundled(files), DEFAULT_LIMITS)
    assert [archive.file(number) for number in range(len(archive))] == files
    assert [archive.head(number) for number in range(len(archive))] == files


SERIES = zipped(*((str(n), one) for n, one in enumerate(mr_slices(np.stack([ramp(12, 10)] * 3)))))


@given(st.integers(0, len(SERIES) - 1), st.binary(min_size=1, max_size=6))
def test_flipped_bytes_give_an_image_or_an_error(at: int, noise: bytes) -> None:
    content: Any = SERIES[:at] + noise + SERIES[at + len(noise) :]
    try:
        image = read_image(content, Options(Limits(max_volume_bytes=1 << 20)))
    except InputError:
        return
    assert image.height >= 8
