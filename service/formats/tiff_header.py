"""What the tags of a TIFF say of its strips and tiles, before any of them is decoded. TIFF 6.0, sections 3 and 15."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from service.formats.codestream import MAX_SCANS, START_OF_SCAN

TILE_WIDTH, TILE_LENGTH = 322, 323
# Where strips and tiles begin, and their bytes.
PIECES = ((273, 279), (324, 325))


def tile_area(tags: Mapping[int, Any]) -> int:
    """Pixels of one tile, 0 where there are none. Strips are as wide as the picture, and cut off at its height."""
    return int(tags.get(TILE_WIDTH, 0)) * int(tags.get(TILE_LENGTH, 0))


def most_scans(content: bytes, tags: Mapping[int, Any]) -> int:
    """JPEG scans of the strip or tile that has most; those of the file where they are few or too many for all."""
    places = [place for starts, sizes in PIECES for place in _places(tags, starts, sizes)]
    total = content.count(START_OF_SCAN)
    if total <= MAX_SCANS or total > MAX_SCANS * max(len(places), 1):
        return total
    found = np.fromiter(_all(content), np.int64, total)
    begun = np.searchsorted(found, [start for start, _ in places])
    ended = np.searchsorted(found, [start + size for start, size in places])
    return int((ended - begun).max(initial=0))


def _places(tags: Mapping[int, Any], starts: int, sizes: int) -> list[tuple[int, int]]:
    return list(zip(_numbers(tags.get(starts)), _numbers(tags.get(sizes)), strict=False))


def _numbers(value: Any) -> tuple[int, ...]:
    return () if value is None else tuple(value) if isinstance(value, tuple) else (int(value),)


def _all(content: bytes) -> Iterator[int]:
    at = content.find(START_OF_SCAN)
    while at >= 0:
        yield at
        at = content.find(START_OF_SCAN, at + 2)
