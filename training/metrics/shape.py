"""Plausibility of an outlined shape: how convex it is, in how many parts, with how large holes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Mask = NDArray[np.bool_]
SPECK = 16


@dataclass(frozen=True)
class Shape:
    """One label of one picture.

    Attributes:
        solidity: of its parts larger than a speck, weighted by area, 0 to 1; NaN without such a part.
        parts: connected parts larger than a speck; a nipple should be one.
        hole_area: pixels enclosed by the mask without belonging to it.
    """

    solidity: float
    parts: int
    hole_area: int


def shape_of(mask: Mask, speck: int = SPECK) -> Shape:
    """Shape of a mask (height, width); parts up to ``speck`` pixels are left out. Parts touch at a corner, too."""
    count, ids, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    chosen = [one for one in range(1, count) if stats[one, cv2.CC_STAT_AREA] > speck]
    areas = [int(stats[one, cv2.CC_STAT_AREA]) for one in chosen]
    values = [solidity(ids == one) for one in chosen]
    mean = float(np.average(values, weights=areas)) if chosen else math.nan
    holes = ndimage.binary_fill_holes(mask) & ~mask
    return Shape(mean, len(chosen), int(holes.sum()))


def solidity(region: Mask) -> float:
    """Pixels of a region over pixel centres in the convex hull of its pixels' centres, 0 to 1; 1 for a disc.

    The region is taken as one, however many parts it has. With pixel corners in place of centres a disc of radius 8
    would score 0.90. NaN for an empty region.
    """
    rows, columns = np.nonzero(region)
    if not len(rows):
        return math.nan
    points = np.stack([columns - columns.min(), rows - rows.min()], axis=1).astype(np.int32)
    return len(rows) / _inside(cv2.convexHull(points)[:, 0].astype(np.int64))


def _inside(hull: NDArray[np.int64]) -> int:
    """Grid points in or on a convex polygon (corners, 2) of x, y, all 0 or more, exactly."""
    width, height = hull.max(axis=0) + 1
    x, y = np.arange(width), np.arange(height)[:, None]
    sides = [
        (bx - ax) * (y - ay) - (by - ay) * (x - ax)
        for (ax, ay), (bx, by) in zip(hull.tolist(), np.roll(hull, -1, axis=0).tolist(), strict=True)
    ]
    within = np.logical_and.reduce([side >= 0 for side in sides])
    # cv2 turns one way or the other; of two corners, or one, both halves leave the line itself.
    other = np.logical_and.reduce([side <= 0 for side in sides])
    return int(max(within.sum(), other.sum()))
