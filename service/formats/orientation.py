"""From a file's axes to slices as radiologists look at them, and back.

A volume is shown across its widest voxel side, hence with its finest pixels: patient's right at the left of the
picture, anterior on top of axial and at the left of sagittal slices, head on top of the other two.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from service.image import Spacing
from service.source import LPS_TO_RAS, Affine, Flag

# Where index grows along (depth, rows, columns), by the patient's axis (0 right-left, 1 back-front, 2 feet-head) that
# depth follows: Left, Inferior, Posterior; Posterior, Inferior, Left; Superior, Posterior, Left.
DIRECTIONS = {0: "LIP", 1: "PIL", 2: "SPL"}
AXES = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}
# Of several sides that are widest: axial, else sagittal.
PREFERRED = (2, 0, 1)
SAME_SIDE = 0.01
# Cosine between two axes up to which a grid counts as rectangular.
SHEAR = 1e-2
# Voxels by which the far corner of a grid may be off where its axes are turned to right angles.
OFF = 0.5
OBLIQUE = Flag(
    "oblique_grid",
    "The axes of the volume do not stand at right angles: a NIfTI output says so by its sform, and readers that know no"
    " such grids (ITK, SimpleITK) may refuse it.",
)
AS_STORED = (2, 1, 0), (False, False, False)

Turn = tuple[tuple[int, int, int], tuple[bool, bool, bool]]


def turn_of(affine: Affine) -> Turn:
    """(axes, flips) as in `service.source.Stored`, for an affine in RAS."""
    sides = np.linalg.norm(affine[:3, :3], axis=0)
    nearest, signs = _nearest(affine[:3, :3] / sides)
    widest = [nearest[i] for i in range(3) if sides[i] >= sides.max() * (1 - SAME_SIDE)]
    depth = next(axis for axis in PREFERRED if axis in widest)
    wanted = [AXES[letter] for letter in DIRECTIONS[depth]]
    axes = [nearest.index(axis) for axis, _ in wanted]
    flips = [signs[at] != sign for at, (_, sign) in zip(axes, wanted, strict=True)]
    return (axes[0], axes[1], axes[2]), (flips[0], flips[1], flips[2])


def _nearest(cosines: NDArray[np.float64]) -> tuple[list[int], list[int]]:
    """For each file axis the patient's axis that it follows most, no two the same, and whether along or against it."""
    left, nearest, signs = np.abs(cosines), [0, 0, 0], [1, 1, 1]
    for _ in range(3):
        patient, file = np.unravel_index(int(left.argmax()), left.shape)
        nearest[file], signs[file] = int(patient), 1 if cosines[patient, file] >= 0 else -1
        left[patient, :], left[:, file] = -1, -1
    return nearest, signs


def image_affine(affine: Affine, turn: Turn, shape: tuple[int, ...]) -> Affine:
    """An affine from file index to mm in RAS as one from the image's (x, y, z) to mm in LPS."""
    axes, flips = turn
    index = np.zeros((4, 4))
    index[3, 3] = 1
    # The image's (z, y, x) are columns 2, 1, 0.
    for column, axis, flip in zip((2, 1, 0), axes, flips, strict=True):
        index[axis, column] = -1 if flip else 1
        index[axis, 3] = shape[axis] - 1 if flip else 0
    return np.asarray(LPS_TO_RAS @ affine @ index, np.float64)


def spacing_of(affine: Affine, turn: Turn) -> Spacing:
    """mm as (z, y, x)."""
    sides = np.linalg.norm(affine[:3, :3], axis=0)
    z, y, x = (float(sides[axis]) for axis in turn[0])
    return z, y, x


def usable(affine: Affine) -> bool:
    """Whether a grid can lie so: finite, and with a volume."""
    if not np.isfinite(affine).all():
        return False
    sides = np.linalg.norm(affine[:3, :3], axis=0)
    return bool(sides.min() > 0 and abs(np.linalg.det(affine[:3, :3] / sides)) > SHEAR)


def rectangular(affine: Affine) -> bool:
    """Whether the axes stand at right angles, so that spacing says all about the size of a voxel."""
    unit = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    return bool(np.abs(unit.T @ unit - np.eye(3)).max() <= SHEAR)


def is_straight(affine: Affine, shape: tuple[int, ...]) -> bool:
    """Whether the nearest grid of right angles, all that a qform can say, has every voxel within half a voxel of it."""
    sides = np.linalg.norm(affine[:3, :3], axis=0)
    left, _, right = np.linalg.svd(affine[:3, :3] / sides)
    off = np.linalg.solve(affine[:3, :3], (left @ right) * sides - affine[:3, :3])
    # Worst at one of the corners: what the axes add to each other there.
    return bool((np.abs(off) @ np.array(shape[:3])).max() < OFF)
