"""Shapes with known properties, drawn on pixel centres, bool (side, side)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
SIDE = 128
MIDDLE = SIDE / 2


def disc(radius: float, x: float = MIDDLE, y: float = MIDDLE, side: int = SIDE) -> Mask:
    return ellipse(radius, radius, at=(x, y), side=side)


def ellipse(
    a: float, b: float, degrees: float = 0, *, at: tuple[float, float] = (MIDDLE, MIDDLE), side: int = SIDE
) -> Mask:
    x, y = at
    rows, columns = np.mgrid[:side, :side]
    turn = math.radians(degrees)
    along = (columns - x) * math.cos(turn) + (rows - y) * math.sin(turn)
    across = (rows - y) * math.cos(turn) - (columns - x) * math.sin(turn)
    return (along / a) ** 2 + (across / b) ** 2 <= 1


def square(side: int) -> Mask:
    mask = np.zeros((SIDE, SIDE), bool)
    start = (SIDE - side) // 2
    mask[start : start + side, start : start + side] = True
    return mask


def crescent(radius: float = 40, bite: float = 30, shift: float = 24) -> Mask:
    """A disc less another one whose centre lies ``shift`` to the right."""
    return disc(radius) & ~disc(bite, MIDDLE + shift)


def ring(outer: float = 25, inner: float = 10) -> Mask:
    return disc(outer) & ~disc(inner)


def blobs(radius: float, gap: float) -> Mask:
    """Two discs side by side with ``gap`` pixels between them."""
    away = radius + gap / 2
    return disc(radius, MIDDLE - away) | disc(radius, MIDDLE + away)
