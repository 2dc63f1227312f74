"""What a window shows of stored values: modality transformation, then VOI, then inversion, in this order and once.

PS3.3 C.11.1 (modality LUT), C.11.2 (VOI LUT: linear, linear exact, sigmoid), C.7.6.3.1.2 (MONOCHROME1).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

VoiFunction = Literal["LINEAR", "LINEAR_EXACT", "SIGMOID"]
Float = NDArray[np.float64]
# Pixels that are looked up at a time: an index costs eight bytes each while it is used.
PIECE = 1 << 20
# Pixels from which on a table is the shorter way.
TABLE_FROM = 100_000
EIGHT_BIT, SIXTEEN_BIT = 255, 65535


@dataclass(frozen=True, eq=False)
class Lut:
    """A look-up table: values below ``first`` get the first entry, those beyond the end the last."""

    first: int
    entries: NDArray[np.uint16]
    bits: int

    def __call__(self, values: Float) -> Float:
        """The entries at ``values``, any shape."""
        return np.asarray(self.entries[self._index(values)], np.float64)

    def between(self, low: float, high: float) -> tuple[float, float]:
        """The lowest and the highest entry that the whole numbers from ``low`` to ``high`` meet."""
        first, last = self._index(np.array([low, high]))
        met = self.entries[first : last + 1]
        return float(met.min()), float(met.max())

    def _index(self, values: Float) -> NDArray[np.intp]:
        return np.asarray(np.clip(np.rint(values) - self.first, 0, len(self.entries) - 1), np.intp)

    def unit(self, values: Float) -> Float:
        """The same as 0 to 1."""
        return self(values) / ((1 << self.bits) - 1)


@dataclass(frozen=True)
class VoiWindow:
    """Window centre and width. Width is at least 1 for LINEAR, above 0 for the others."""

    center: float
    width: float
    function: VoiFunction = "LINEAR"

    def unit(self, values: Float) -> Float:
        """Values as 0 to 1."""
        if self.function == "SIGMOID":
            # The standard's 1 / (1 + exp(-4 (x - c) / w)), in a form that cannot overflow.
            return 0.5 * (1 + np.tanh(2 * (values - self.center) / self.width))
        center, width = self.center, self.width
        if self.function == "LINEAR":
            center, width = center - 0.5, width - 1
        if width == 0:
            return (values > center).astype(np.float64)
        return np.clip((values - center) / width + 0.5, 0, 1)


@dataclass(frozen=True)
class Span:
    """No window in the file: everything from ``low`` to ``high`` is shown."""

    low: float
    high: float

    def unit(self, values: Float) -> Float:
        """Values as 0 to 1; all 0 where there is no contrast."""
        width = self.high - self.low
        return np.clip((values - self.low) / width, 0, 1) if width > 0 else np.zeros_like(values)


@dataclass(frozen=True, eq=False)
class Display:
    """How the stored values of one frame become what is seen.

    Attributes:
        slope intercept: the modality transformation, where there is no ``modality`` LUT.
        voi: None until the span of the values is known.
        inverse: low values are bright.
        padding: stored values (lowest, highest) that are no picture; they are shown black.
        top: 255 or 65535, the brightest value shown.
    """

    slope: float = 1.0
    intercept: float = 0.0
    modality: Lut | None = None
    voi: Lut | VoiWindow | Span | None = None
    inverse: bool = False
    padding: tuple[int, int] | None = None
    top: int = SIXTEEN_BIT

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of what is shown."""
        return np.dtype(np.uint8 if self.top == EIGHT_BIT else np.uint16)

    @property
    def rescales(self) -> bool:
        """Whether values differ from stored ones."""
        return self.modality is not None or (self.slope, self.intercept) != (1.0, 0.0)

    def values(self, stored: NDArray[Any]) -> Float:
        """After the modality transformation."""
        if self.modality is not None:
            return self.modality(stored.astype(np.float64))
        return stored.astype(np.float64) * self.slope + self.intercept

    def measured(self, stored: NDArray[Any]) -> NDArray[np.float32]:
        """The same as float32."""
        return self.values(stored).astype(np.float32)

    def shown(self, stored: NDArray[Any]) -> NDArray[Any]:
        """Any shape of stored integers to 0 to ``top``."""
        by_table = stored.dtype.itemsize <= 2 and stored.size > TABLE_FROM
        return _looked_up(stored, self) if by_table else self._computed(stored)

    def spanning(self, low: int, high: int) -> Display:
        """With a span over the values of the stored ``low`` to ``high``, where there is no window."""
        if self.voi is not None:
            return self
        if self.modality is not None:
            return replace(self, voi=Span(*self.modality.between(low, high)))
        ends = self.values(np.array([low, high]))
        return replace(self, voi=Span(float(ends.min()), float(ends.max())))

    def _computed(self, stored: NDArray[Any]) -> NDArray[Any]:
        values = self.values(stored)
        unit = values if self.voi is None else self.voi.unit(values)
        seen = np.rint(np.clip(1 - unit if self.inverse else unit, 0, 1) * self.top).astype(self.dtype)
        if self.padding is not None:
            seen[(stored >= self.padding[0]) & (stored <= self.padding[1])] = 0
        return seen


def _looked_up(stored: NDArray[Any], display: Display) -> NDArray[Any]:
    """By a table over all values that the type can have: each is computed once."""
    unsigned = np.dtype(f"u{stored.dtype.itemsize}")
    every = np.arange(1 << (8 * unsigned.itemsize), dtype=unsigned)
    table = display._computed(every.view(stored.dtype))
    flat, seen = np.ascontiguousarray(stored).view(unsigned).reshape(-1), np.empty(stored.size, table.dtype)
    for start in range(0, flat.size, PIECE):
        piece = slice(start, start + PIECE)
        np.take(table, flat[piece], out=seen[piece], mode="wrap")
    return seen.reshape(stored.shape)
