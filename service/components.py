"""Connected components of a mask, in a slice or through the slices of a volume.

What is held of them grows with their surface in bits, not with the volume they span in bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from service.image import Region, crop

Pixels = NDArray[np.uint8]
# (x, y, z)
Voxel = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class Blob:
    """One 8-connected part of one slice: its tight region, and a bit for each pixel of it."""

    region: Region
    bits: Pixels

    @staticmethod
    def of(region: Region, inside: NDArray[np.bool_]) -> Blob:
        """From which pixels (height, width) of ``region`` belong to it."""
        return Blob(region, np.packbits(inside))

    @property
    def pixels(self) -> Pixels:
        """0 or 1, (height, width) of the region."""
        _, height, width = self.region.shape
        return np.unpackbits(self.bits, count=height * width).reshape(height, width)

    @property
    def seed(self) -> Voxel:
        """The first pixel of its first row: no other part of the slice has it."""
        return seed(self.region, self.pixels)


def enclosing(boxes: Sequence[Region]) -> Region:
    """The tight region around others, at least one."""
    return Region(
        min(box.left for box in boxes),
        min(box.top for box in boxes),
        max(box.right for box in boxes),
        max(box.bottom for box in boxes),
        min(box.z0 for box in boxes),
        max(box.z1 for box in boxes),
    )


def seed(region: Region, inside: NDArray[np.bool_] | Pixels) -> Voxel:
    """The `Blob.seed` of a part with these pixels (height, width)."""
    return region.left + int(inside[0].argmax()), region.top, region.z0


@dataclass(frozen=True, eq=False)
class Component:
    """One connected component, made of its parts in each slice."""

    blobs: tuple[Blob, ...]

    @cached_property
    def region(self) -> Region:
        """The tight region."""
        return enclosing([one.region for one in self.blobs])

    @cached_property
    def _by_slice(self) -> list[list[Blob]]:
        slices: list[list[Blob]] = [[] for _ in range(self.region.depth)]
        for one in self.blobs:
            slices[one.region.z0 - self.region.z0].append(one)
        return slices

    @cached_property
    def areas(self) -> list[int]:
        """Pixels in each slice of the region."""
        return [sum(int(np.bitwise_count(one.bits).sum()) for one in blobs) for blobs in self._by_slice]

    @property
    def size(self) -> int:
        """Voxels."""
        return sum(self.areas)

    def plane(self, z: int) -> Pixels:
        """Slice ``z`` of the region, from 0, as 0 or 1 (height, width) of the region."""
        _, height, width = self.region.shape
        plane = np.zeros((height, width), np.uint8)
        for one in self._by_slice[z]:
            _, rows, columns = one.region.shifted(-self.region.left, -self.region.top).slices
            plane[rows, columns] |= one.pixels
        return plane

    def planes(self) -> Iterator[Pixels]:
        """All its slices in order, one at a time."""
        return map(self.plane, range(self.region.depth))

    @property
    def pixels(self) -> Pixels:
        """All its slices at once, (depth, height, width) of the region."""
        return np.stack(list(self.planes()))


def components(labels: NDArray[np.uint8], label: int, *, spatial: bool) -> list[Component]:
    """Components of one label of (depth, height, width): 8-connected in a slice and, if ``spatial``, 26-connected."""
    blobs = [one for z, plane in enumerate(labels) for one in _in_slice(plane == label, z)]
    return [Component(tuple(group)) for group in (_linked(blobs) if spatial else ([one] for one in blobs))]


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


def _in_slice(plane: NDArray[np.bool_], z: int) -> list[Blob]:
    return [Blob.of(region.shifted(0, 0, z), inside) for region, inside in connected(plane)]


def _linked(parts: Sequence[Blob]) -> list[list[Blob]]:
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
    groups: dict[int, list[Blob]] = {}
    for i, one in enumerate(parts):
        groups.setdefault(find(i), []).append(one)
    return list(groups.values())


def _starts(parts: Sequence[Blob]) -> dict[int, list[int]]:
    starts: dict[int, list[int]] = {}
    for i, one in enumerate(parts):
        starts.setdefault(one.region.z0, []).append(i)
    return starts


def _touch(one: Blob, other: Blob) -> bool:
    """Whether two parts of neighbouring slices share a face, an edge or a corner."""
    box, there = one.region, other.region
    wide = Region(box.left - 1, box.top - 1, box.right + 1, box.bottom + 1)
    common = wide.overlap(Region(*there.box))
    if common is None:
        return False
    near = cv2.dilate(np.pad(one.pixels, 1), np.ones((3, 3), np.uint8))[np.newaxis]
    a = crop(near, common.shifted(-wide.left, -wide.top))
    b = crop(other.pixels[np.newaxis], common.shifted(-there.left, -there.top))
    return bool((a & b).any())
