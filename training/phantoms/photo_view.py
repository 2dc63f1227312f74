"""The plane that photograph phantoms are drawn in, and height fields over it.

Coordinates in centimetres: origin at the sternal notch, x to the viewer's right (the patient's left), y down, z towards
the camera, z = 0 in the frontal plane through the shoulders.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

Plane = NDArray[np.float32]
# Heights of the table that profiles along the body are looked up in.
STEP = 0.01
TABLE = np.arange(-40.0, 100.0, STEP)
# How steeply a surface falls off behind its own outline, where something else is seen.
FALL = 3.0


@dataclass(frozen=True, eq=False)
class Surface:
    """A height field: ``z`` in cm, and ``rim``, signed cm inside (positive) or outside of the outline."""

    z: Plane
    rim: Plane


@dataclass(frozen=True, eq=False)
class View:
    """Where each pixel lies on the body.

    Attributes:
        x, y: of each pixel in cm (height, width).
        scale: pixels per cm.
        centre: (x, y) of the picture's middle in cm.
        turn: of the picture, radians.
    """

    x: Plane
    y: Plane
    scale: float
    centre: tuple[float, float]
    turn: float

    @property
    def size(self) -> tuple[int, int]:
        height, width = self.x.shape
        return height, width

    def pixel(self, x: float, y: float) -> tuple[float, float]:
        """(x, y) of a place in pixels, whose centres are at whole numbers; it may lie outside of the picture."""
        dx, dy = x - self.centre[0], y - self.centre[1]
        across = dx * np.cos(self.turn) + dy * np.sin(self.turn)
        down = dy * np.cos(self.turn) - dx * np.sin(self.turn)
        height, width = self.size
        return float(across * self.scale + (width - 1) / 2), float(down * self.scale + (height - 1) / 2)


def look_at(size: tuple[int, int], centre: tuple[float, float], width: float, turn: float) -> View:
    """A picture of ``size`` (height, width) that shows ``width`` cm around ``centre`` (x, y), turned by radians."""
    scale = size[1] / width
    columns = (np.arange(size[1], dtype=np.float32) - (size[1] - 1) / 2) / np.float32(scale)
    rows = ((np.arange(size[0], dtype=np.float32) - (size[0] - 1) / 2) / np.float32(scale))[:, None]
    x = columns * np.float32(np.cos(turn)) - rows * np.float32(np.sin(turn)) + np.float32(centre[0])
    y = columns * np.float32(np.sin(turn)) + rows * np.float32(np.cos(turn)) + np.float32(centre[1])
    return View(x, y, scale, centre, turn)


def along_and_apart(view: View, start: Sequence[float], end: Sequence[float]) -> tuple[Plane, Plane]:
    """Of each pixel the place along a line (0 to 1) and the distance from it in cm."""
    dx, dy = np.float32(end[0] - start[0]), np.float32(end[1] - start[1])
    x, y = view.x - np.float32(start[0]), view.y - np.float32(start[1])
    along = np.clip((x * dx + y * dy) / (dx * dx + dy * dy), 0, 1)
    return along, cv2.magnitude(x - along * dx, y - along * dy)


def smooth_union(one: Plane, other: Plane, blend: Plane) -> Plane:
    """The greater of two fields, rounded where they differ by less than ``blend``."""
    overlap = np.maximum(1 - np.abs(one - other) / blend, 0)
    return np.asarray(np.maximum(one, other) + 0.25 * blend * overlap * overlap, np.float32)


def profile(view: View, knots: Sequence[tuple[float, float]]) -> Plane:
    """A value along the body: (y, value) in cm, smooth between them."""
    table = PchipInterpolator(*zip(*knots, strict=True), extrapolate=False)(TABLE)
    filled = np.where(np.isnan(table), np.where(knots[0][0] > TABLE, knots[0][1], knots[-1][1]), table)
    # A table, for the spline itself would take longer than all the rest.
    places = np.clip((view.y - np.float32(TABLE[0])) / np.float32(STEP), 0, len(TABLE) - 1).astype(np.int32)
    smooth = cv2.GaussianBlur(filled.astype(np.float32)[None], (0, 0), 0.3 / STEP)[0]
    return np.asarray(smooth[places], np.float32)
