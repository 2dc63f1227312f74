"""Frames are put together from fragments by table, by count or by marker; all else is refused."""

from __future__ import annotations

import struct

import pytest

from service.errors import UnusableImage
from service.formats import dicom_fragments
from service.formats.dicom_fragments import compressed_frames

END = b"\xfe\xff\xdd\xe0\0\0\0\0"
JPEGS = (b"ab\xff\xd9", b"cdef\xff\xd9", b"gh\xff\xd9\0\0")


def item(value: bytes) -> bytes:
    return b"\xfe\xff\x00\xe0" + struct.pack("<I", len(value)) + value


def stored(*fragments: bytes, table: tuple[int, ...] = ()) -> bytes:
    return item(struct.pack(f"<{len(table)}I", *table)) + b"".join(map(item, fragments)) + END


@pytest.mark.parametrize("end", [END, b""])
def test_one_fragment_each(end: bytes) -> None:
    assert compressed_frames(stored(*JPEGS).removesuffix(END) + end, 3) == list(JPEGS)


def test_one_frame_in_several_fragments() -> None:
    assert compressed_frames(stored(b"ab", b"cd", b"ef"), 1) == [b"abcdef"]


def test_by_the_table() -> None:
    content = stored(b"ab", b"cd", b"efgh", b"ij", table=(0, 20, 32))
    assert compressed_frames(content, 3) == [b"abcd", b"efgh", b"ij"]


def test_by_the_last_marker() -> None:
    pieces = (JPEGS[0][:2], JPEGS[0][2:], JPEGS[1], JPEGS[2][:2], JPEGS[2][2:])
    assert compressed_frames(stored(*pieces), 3) == list(JPEGS)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "not in fragments"),
        (b"\0" * 100, "not in fragments"),
        (item(b"") + b"\1" * 20, "not in fragments"),
        (stored(b"ab")[:-10], "ends early"),
        (stored(), "fewer compressed frames"),
        (stored(b"ab"), "fewer compressed frames"),
        (stored(b"ab", b"cd", b"ef"), "fewer compressed frames"),
        (stored(b"ab", b"cd", table=(0, 4)), "offset table"),
        (stored(b"ab", b"cd", table=(10, 0)), "offset table"),
        (stored(b"ab", b"cd", table=(0, 0)), "offset table"),
    ],
)
def test_what_does_not_fit(content: bytes, match: str) -> None:
    with pytest.raises(UnusableImage, match=match):
        compressed_frames(content, 2)


def test_too_many_fragments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dicom_fragments, "MOST_FRAGMENTS", 2)
    assert compressed_frames(stored(b"ab", b"cd"), 2) == [b"ab", b"cd"]
    with pytest.raises(UnusableImage, match="in more than 2 fragments"):
        compressed_frames(stored(b"ab", b"cd", b"ef"), 3)
