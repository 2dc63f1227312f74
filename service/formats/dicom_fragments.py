"""Compressed frames out of their fragments (PS3.5 A.4), all found in one pass."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from service.formats.guard import malformed, truncated

ITEM, END = 0xE000FFFE, 0xE0DDFFFE
HEAD = struct.Struct("<II")
# One frame may be in several fragments, and some writers cut at every 64 KiB.
MOST_FRAGMENTS = 100_000
# JPEG's last marker, and what may stand behind it to make the length even.
LAST, LAST_WITHIN = b"\xff\xd9", 10


@dataclass(frozen=True)
class Fragment:
    """Where the item's value lies; ``offset`` is that of the item, counted as offset tables do."""

    offset: int
    start: int
    end: int


def compressed_frames(stored: bytes, count: int, wanted: Iterable[int] | None = None) -> list[bytes]:
    """Of the ``count`` frames of Pixel Data those ``wanted`` (0-based), or all.

    Raises UnusableImage where fragments and frames do not fit each other.
    """
    fragments = list(_fragments(stored))
    if not fragments:
        raise malformed("DICOM", "whose compressed pixels are not in fragments")
    table = stored[fragments[0].start : fragments[0].end]
    grouped = _grouped(stored, table, fragments[1:], count)
    if len(grouped) < count:
        raise malformed("DICOM", "with fewer compressed frames than it declares")
    chosen = [grouped[number] for number in (range(count) if wanted is None else wanted)]
    return [b"".join(stored[one.start : one.end] for one in some) for some in chosen]


def _fragments(stored: bytes) -> Iterator[Fragment]:
    """All items, the offset table first."""
    at, base, number = 0, 0, 0
    while at + HEAD.size <= len(stored):
        tag, length = HEAD.unpack_from(stored, at)
        start = at + HEAD.size
        if tag == END:
            return
        if tag != ITEM:
            raise malformed("DICOM", "whose compressed pixels are not in fragments")
        if start + length > len(stored):
            raise truncated("DICOM")
        if number > MOST_FRAGMENTS:
            raise malformed("DICOM", f"whose pixels are in more than {MOST_FRAGMENTS} fragments")
        yield Fragment(at - base, start, start + length)
        at, number = start + length, number + 1
        base = at if number == 1 else base


def _grouped(stored: bytes, table: bytes, fragments: Sequence[Fragment], count: int) -> list[Sequence[Fragment]]:
    """The fragments of each frame: as the table says, else one each, else up to where a JPEG ends."""
    if len(table) >= 4:
        return _as_listed(table, fragments)
    if len(fragments) == count:
        return [[one] for one in fragments]
    return [fragments] if count == 1 and fragments else _by_marker(stored, fragments)


def _as_listed(table: bytes, fragments: Sequence[Fragment]) -> list[Sequence[Fragment]]:
    numbers = {one.offset: number for number, one in enumerate(fragments)}
    offsets = struct.unpack(f"<{len(table) // 4}I", table[: len(table) // 4 * 4])
    starts = [numbers.get(offset, -1) for offset in offsets]
    if -1 in starts or sorted(set(starts)) != starts:
        raise malformed("DICOM", "whose offset table does not lead to its frames")
    return [fragments[start:end] for start, end in zip(starts, [*starts[1:], len(fragments)], strict=True)]


def _by_marker(stored: bytes, fragments: Sequence[Fragment]) -> list[Sequence[Fragment]]:
    frames: list[list[Fragment]] = [[]]
    for one in fragments:
        frames[-1].append(one)
        if stored.rfind(LAST, max(one.start, one.end - LAST_WITHIN), one.end) >= 0:
            frames.append([])
    return [frame for frame in frames if frame]
