"""Plausibility of an outlined shape: how convex it is, in how many parts, with how large holes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from service.solidity import SPECK, solidity

Mask = NDArray[np.bool_]


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
