"""How convex an outlined shape is: its pixels over those of its convex hull."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from service.components import connected

Plane = NDArray[np.bool_]
SPECK = 16


def mean_solidity(plane: Plane, speck: int = SPECK) -> float | None:
    """Of the 8-connected parts of a (height, width) plane, weighted by area, 0 to 1; parts up to ``speck`` pixels are
    left out. None without such a part.
    """
    parts = [inside for _, inside in connected(plane) if inside.sum() > speck]
    if not parts:
        return None
    return float(np.average([solidity(one) for one in parts], weights=[one.sum() for one in parts]))


def solidity(region: Plane) -> float:
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
