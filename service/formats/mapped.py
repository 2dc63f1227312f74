"""Voxels that are computed slice by slice from stored ones, so that a volume is held once and never as floats."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.image import Region, SlabReader

Voxels = NDArray[Any] | SlabReader
PlaneMap = Callable[[NDArray[Any]], NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Mapped:
    """A `service.image.SlabReader` over ``stored`` (depth, height, width, channels).

    ``maps`` has one entry for all slices or one for each; ``dtype`` is what they give.
    """

    stored: NDArray[Any]
    maps: tuple[PlaneMap, ...]
    dtype: np.dtype[Any]

    @property
    def shape(self) -> tuple[int, ...]:
        """(depth, height, width, channels)."""
        return self.stored.shape

    def __getitem__(self, key: slice) -> NDArray[Any]:
        places = range(*key.indices(len(self.stored)))
        out = np.empty((len(places), *self.shape[1:]), self.dtype)
        for at, z in enumerate(places):
            out[at] = self.maps[z if len(self.maps) > 1 else 0](self.stored[z])
        return out


@dataclass(frozen=True, eq=False)
class Blackened:
    """A `service.image.SlabReader` over ``voxels`` with everything at 0 that lies in none of the regions."""

    voxels: Voxels
    regions: tuple[Region, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """(depth, height, width, channels)."""
        return tuple(self.voxels.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the voxels."""
        return self.voxels.dtype

    def __getitem__(self, key: slice) -> NDArray[Any]:
        slab = self.voxels[key]
        black = np.zeros_like(slab)
        for region in self.regions:
            _, rows, columns = region.slices
            black[:, rows, columns] = slab[:, rows, columns]
        return black


@dataclass(frozen=True, eq=False)
class Part:
    """A `service.image.SlabReader` of a volume of which some slices are held, and the others were never decoded.

    ``voxels`` are those from slice ``first`` on of ``depth`` slices.
    """

    voxels: Voxels
    first: int
    depth: int

    @property
    def shape(self) -> tuple[int, ...]:
        """(depth, height, width, channels) of the whole volume."""
        return (self.depth, *self.voxels.shape[1:])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the voxels."""
        return self.voxels.dtype

    def __getitem__(self, key: slice) -> NDArray[Any]:
        """Raises IndexError for slices that are not held."""
        start, stop, step = key.indices(self.depth)
        end = self.first + self.voxels.shape[0]
        if step != 1 or not self.first <= start < stop <= end:
            raise IndexError(f"slices {start} to {stop} of a volume of which {self.first} to {end} are held")
        return self.voxels[start - self.first : stop - self.first]


def part_of(voxels: Voxels, held: range, depth: int) -> tuple[Voxels, tuple[int, int] | None]:
    """The voxels of the slices ``held`` out of ``depth``, and which these are, as an `Image` takes both."""
    if len(held) == depth:
        return voxels, None
    return Part(voxels, held.start, depth), (held.start, held.stop)


def blackened(voxels: Voxels, regions: tuple[Region, ...]) -> Voxels:
    """What lies in the regions alone: of a picture at once, of a volume slice by slice."""
    lazy = Blackened(voxels, regions)
    return lazy[0:1] if voxels.shape[0] == 1 else lazy


def mapped(stored: NDArray[Any], maps: tuple[PlaneMap, ...], dtype: np.dtype[Any]) -> Voxels:
    """A picture at once, a volume slice by slice."""
    lazy = Mapped(stored, maps, dtype)
    return lazy[0:1] if len(stored) == 1 else lazy
