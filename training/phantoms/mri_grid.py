"""The grid of an MRI phantom in the patient, so that one body can be imaged axially or sagittally.

Coordinates are millimetres: x to the patient's left, y to the back, z to the head; the front of the breastbone is about
at x = y = 0. Arrays are (depth, height, width) as radiologists look at them, see `training.volume.DIRECTIONS`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from training.phantoms.texture import Field, smooth

Plane = Literal["axial", "sagittal"]
PLANES: tuple[Plane, ...] = ("axial", "sagittal")
# Which patient axis (x, y, z) runs along depth, rows and columns, and whether it grows or falls with the index.
AXES: dict[Plane, tuple[tuple[int, int], ...]] = {
    "axial": ((2, 1), (1, 1), (0, 1)),
    "sagittal": ((0, 1), (2, -1), (1, 1)),
}
Point = tuple[float, float, float]


@dataclass(frozen=True)
class Grid:
    """Voxels in the patient.

    Attributes:
        plane: ``axial`` or ``sagittal``.
        shape: (depth, height, width).
        spacing: mm along depth, rows and columns.
        centre: (x, y, z) of the middle of the grid.
    """

    plane: Plane
    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    centre: Point

    def coordinates(self) -> tuple[Field, Field, Field]:
        """x, y and z of the voxel centres, each of three axes and broadcastable to the others."""
        found: list[Field] = [np.empty(0, np.float32)] * 3
        for number, (axis, sign) in enumerate(AXES[self.plane]):
            side = self.shape[number]
            line = sign * (np.arange(side, dtype=np.float32) - (side - 1) / 2) * self.spacing[number]
            shape = [1, 1, 1]
            shape[number] = side
            found[axis] = (line + self.centre[axis]).reshape(shape).astype(np.float32)
        return found[0], found[1], found[2]

    def index(self, point: Sequence[float]) -> tuple[float, float, float]:
        """(depth, row, column) of a point in mm, not rounded."""
        steps = [
            (self.shape[n] - 1) / 2 + sign * (point[axis] - self.centre[axis]) / self.spacing[n]
            for n, (axis, sign) in enumerate(AXES[self.plane])
        ]
        return steps[0], steps[1], steps[2]

    def noise(self, rng: np.random.Generator, sigma: float | Point) -> Field:
        """Unit noise correlated over ``sigma`` mm, of the whole body or along (x, y, z)."""
        along = (sigma,) * 3 if isinstance(sigma, float) else sigma
        widths = [along[axis] / self.spacing[n] for n, (axis, _) in enumerate(AXES[self.plane])]
        return smooth(rng, self.shape, widths)

    @property
    def affine(self) -> NDArray[np.float64]:
        """4 x 4, from (depth, row, column) to mm in RAS, as `training.volume.Volume` has it."""
        matrix = np.zeros((4, 4))
        matrix[3, 3] = 1
        to_ras = (-1, -1, 1)  # x and y here grow to the left and to the back
        for number, (axis, sign) in enumerate(AXES[self.plane]):
            step = to_ras[axis] * sign * self.spacing[number]
            matrix[axis, number] = step
            matrix[axis, 3] -= step * (self.shape[number] - 1) / 2
        matrix[:3, 3] += np.array(to_ras) * self.centre
        return matrix
