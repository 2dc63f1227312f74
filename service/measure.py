"""Findings of a mask: area, axes, volume, outline."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One connected component of one label.

    Attributes:
        id: 1, 2, ... by falling area.
        score: mean probability inside, 0 to 1; None where no probability is known.
        box: (left, top, right, bottom), half-open, over all its slices.
        slices: (first, last + 1).
        area_px: pixels; of the largest slice in a volume.
        area_mm2 long_axis_mm short_axis_mm volume_ml: None where the spacing is unknown.
        long_axis_px short_axis_px: greatest extent of the outline and the extent at right angles to it.
        centroid: (x, y, z) in pixels, pixel centres at whole numbers.
        contour: outer outline of the largest slice, ((x, y), ...) pixel centres.
        touches_border: the component reaches the picture's edge.
    """

    id: int
    label: str
    score: float | None
    box: tuple[int, int, int, int]
    slices: tuple[int, int]
    area_px: int
    area_mm2: float | None
    long_axis_mm: float | None
    short_axis_mm: float | None
    long_axis_px: float
    short_axis_px: float
    volume_ml: float | None
    centroid: tuple[float, float, float]
    contour: tuple[tuple[int, int], ...]
    touches_border: bool
