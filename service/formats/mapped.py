"""Voxels that are computed slice by slice from stored ones, so that a volume is held once and never as floats."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.image import SlabReader

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


def mapped(stored: NDArray[Any], maps: tuple[PlaneMap, ...], dtype: np.dtype[Any]) -> NDArray[Any] | SlabReader:
    """A picture at once, a volume slice by slice."""
    lazy = Mapped(stored, maps, dtype)
    return lazy[0:1] if len(stored) == 1 else lazy
