"""Connected components of a mask, in a slice or through the slices of a volume."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from service.image import Region, crop, paste

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Component:
    """One connected component: its tight region, and its pixels as 0 or 1 (depth, height, width) over that region."""

    region: Region
    pixels: Pixels

    @property
    def size(self) -> int:
        """Voxels."""
        return int(self.pixels.sum())


def components(present: NDArray[np.bool_], *, spatial: bool) -> list[Component]:
    """Components of a (depth, height, width) array: 8-connected in a slice and, if ``spatial``, 26-connected."""
    parts = [part for z in range(len(present)) for part in _in_slice(present[z], z)]
    return [_merged(group) for group in _linked(parts)] if spatial else parts


def connected(plane: NDArray[np.bool_]) -> Iterator[tuple[Region, NDArray[np.bool_]]]:
    """8-connected parts of a (height, width) plane: the tight region of each, and which of its pixels belong to it."""
    tight = Region.around(plane[np.newaxis])
    if tight is None:
        return
    # OpenCV takes its time for empty pixels too. It counts by blocks of two: an even corner keeps the order of parts.
    left, top = tight.left & ~1, tight.top & ~1
    inside = plane[top : tight.bottom, left : tight.right].astype(np.uint8)
    _, ids, stats, _ = cv2.connectedComponentsWithStats(inside, connectivity=8)
    for one, (x, y, w, h, _) in enumerate(stats[1:].tolist(), start=1):
        yield Region(left + x, top + y, left + x + w, top + y + h), ids[y : y + h, x : x + w] == one


def _in_slice(plane: NDArray[np.bool_], z: int) -> list[Component]:
    return [
        Component(region.shifted(0, 0, z), inside.astype(np.uint8)[np.newaxis]) for region, inside in connected(plane)
    ]


def _linked(parts: Sequence[Component]) -> list[list[Component]]:
    """Parts grouped so that touching ones of neighbouring slices are together (union-find)."""
    root = list(range(len(parts)))

    def find(i: int) -> int:
        while root[i] != i:
            root[i] = root[root[i]]
            i = root[i]
        return i

    starts = _starts(parts)
    for i, one in enumerate(parts):
        for j in starts.get(one.region.z1, ()):
            if _touch(one, parts[j]):
                root[find(j)] = find(i)
    groups: dict[int, list[Component]] = {}
    for i, one in enumerate(parts):
        groups.setdefault(find(i), []).append(one)
    return list(groups.values())


def _starts(parts: Sequence[Component]) -> dict[int, list[int]]:
    starts: dict[int, list[int]] = {}
    for i, one in enumerate(parts):
        starts.setdefault(one.region.z0, []).append(i)
    return starts


def _touch(one: Component, other: Component) -> bool:
    """Whether two parts of neighbouring slices share a face, an edge or a corner."""
    box, there = one.region, other.region
    wide = Region(box.left - 1, box.top - 1, box.right + 1, box.bottom + 1)
    common = wide.overlap(Region(*there.box))
    if common is None:
        return False
    near = cv2.dilate(np.pad(one.pixels[0], 1), np.ones((3, 3), np.uint8))[np.newaxis]
    a = crop(near, common.shifted(-wide.left, -wide.top))
    b = crop(other.pixels, common.shifted(-there.left, -there.top))
    return bool((a & b).any())


def _merged(parts: Sequence[Component]) -> Component:
    boxes = [part.region for part in parts]
    region = Region(
        min(box.left for box in boxes),
        min(box.top for box in boxes),
        max(box.right for box in boxes),
        max(box.bottom for box in boxes),
        min(box.z0 for box in boxes),
        max(box.z1 for box in boxes),
    )
    pixels = np.zeros(region.shape, np.uint8)
    for part in parts:
        moved = part.region.shifted(-region.left, -region.top, -region.z0)
        paste(np.maximum(part.pixels, crop(pixels, moved)), moved, pixels)
    return Component(region, pixels)
