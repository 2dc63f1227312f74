"""How long a shape is, in a slice and in space.

Lengths are those between the outermost edge midpoints of pixels and face midpoints of voxels: without the bias that
centres (too short by a pixel) or corners (too long on slanted outlines) have, so that a row of n pixels is n long.
"""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]

EDGE_MIDPOINTS = np.array([(-0.5, 0.0), (0.5, 0.0), (0.0, -0.5), (0.0, 0.5)])
# Most distances that are held at once.
HELD = 2**18


def outline(plane: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Outer outline of the largest part of a 0/1 plane, (points, 2) as x, y."""
    contours, _ = cv2.findContours(plane, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    largest = max(contours, key=lambda one: (cv2.contourArea(one), len(one)))
    return np.asarray(largest.reshape(-1, 2), np.int32)


def axes(points: NDArray[np.int32], spacing: tuple[float, float]) -> tuple[float, float]:
    """Greatest extent of a set of pixels (points, 2) as x, y, and the extent at right angles to it.

    ``spacing`` is the pixel's (x, y) size; the result has its unit.
    """
    hull = _hull(_edges(points) * spacing)
    between = hull[:, None, :] - hull[None]
    length = np.hypot(between[..., 0], between[..., 1])
    i, j = np.unravel_index(int(length.argmax()), length.shape)
    along = between[i, j] / length[i, j]
    across = hull @ np.array([-along[1], along[0]])
    return float(length[i, j]), float(across.max() - across.min())


def _edges(points: NDArray[np.int32]) -> Points:
    return np.asarray((points[:, None, :] + EDGE_MIDPOINTS[None]).reshape(-1, 2))


def _hull(points: Points) -> Points:
    return np.asarray(cv2.convexHull(points.astype(np.float32)).reshape(-1, 2), np.float64)


def rim(plane: NDArray[np.uint8], z: float) -> Points:
    """The outermost points (points, 3) as x, y, z of the voxels of a 0/1 plane at depth ``z``, in voxels."""
    contours, _ = cv2.findContours(plane, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    centres = _hull(np.concatenate(contours).reshape(-1, 2).astype(np.float64))
    beside = _hull(_edges(np.asarray(centres, np.int32)))
    return np.concatenate([_at(beside, z), _at(centres, z - 0.5), _at(centres, z + 0.5)])


def _at(points: Points, z: float) -> Points:
    return np.column_stack([points, np.full(len(points), z)])


def longest(rims: Iterable[Points], spacing: tuple[float, float, float]) -> float:
    """Greatest distance between points (points, 3) as x, y, z: the longest axis over planes of every direction.

    ``spacing`` is the voxel's (x, y, z) size; the result has its unit.
    """
    points = np.concatenate(list(rims)) * spacing
    best, middle = _far_apart(points)
    # Who is too near to the middle to reach the farthest point over a longer way is no end of the longest axis.
    reach = np.linalg.norm(points - middle, axis=1)
    points = points[reach + reach.max() >= best]
    rows = max(1, HELD // len(points))
    return max(best, *(_farthest(points[at : at + rows], points[at:]) for at in range(0, len(points), rows)))


def _far_apart(points: Points) -> tuple[float, Points]:
    """A distance between two points that is nearly the greatest, and the middle between them."""
    one = points[0]
    for _ in range(4):
        other = points[int(np.linalg.norm(points - one, axis=1).argmax())]
        one, other = other, one
    return float(np.linalg.norm(one - other)), (one + other) / 2


def _farthest(some: Points, others: Points) -> float:
    # |a - b|² = |a|² - 2ab + |b|²: one product of matrices instead of a difference for each pair and axis.
    centre = some.mean(axis=0)
    a, b = some - centre, others - centre
    squares = (a**2).sum(axis=1)[:, None] - 2 * a @ b.T + (b**2).sum(axis=1)
    return float(np.sqrt(max(float(squares.max()), 0.0)))
