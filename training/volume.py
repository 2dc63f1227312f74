"""A volume with its place in the patient: read from NIfTI, turned to how radiologists look at slices, windowed.

Affines map voxel indices to millimetres with axes to Right, Anterior, Superior (RAS), as NIfTI and nibabel have it.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any, Literal

import nibabel
import numpy as np
from nibabel import orientations
from nibabel.filebasedimages import ImageFileError
from numpy.typing import NDArray

from service.manifest import Window
from service.preprocess import windowed

Float = NDArray[np.float32]
Plane = Literal["axial", "coronal", "sagittal"]
# Where index grows along (depth, rows, columns): patient's right at the left of the picture, anterior on top of axial
# and at the left of sagittal slices, head on top of the other two.
DIRECTIONS: dict[Plane, str] = {"axial": "SPL", "coronal": "PIL", "sagittal": "LIP"}
ROBUST = Window(kind="percentile", low=0.5, high=99.5)
# Two grids are one when no corner lies further apart than this share of the smallest voxel side.
SAME_GRID = 0.1


@dataclass(frozen=True, eq=False)
class Volume:
    """Voxels on a grid in the patient.

    Attributes:
        voxels: three axes; (depth, height, width) once `oriented`.
        affine: 4 x 4, from voxel index to mm in RAS.
        source: the file or folder it was read from, for messages.
    """

    voxels: NDArray[Any]
    affine: NDArray[np.float64]
    source: Path

    @property
    def spacing(self) -> tuple[float, float, float]:
        """mm between voxel centres along the three axes."""
        first, second, third = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(first), float(second), float(third)


def read_nifti(path: Path) -> Volume:
    """A NIfTI file with three axes as float32, in the order it is stored.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be read, has not three axes, or an affine that no grid can have.
    """
    if not path.is_file():
        raise FileNotFoundError(f"Found no file {path}; wanted a NIfTI volume. Restore it.")
    try:
        image = nibabel.load(path)
        voxels = np.asarray(image.dataobj, np.float32)
    except (ImageFileError, OSError, EOFError, ValueError, OverflowError, MemoryError, zlib.error) as error:
        raise ValueError(f"Found no readable volume in {path} ({error}); wanted NIfTI. Download it again.") from error
    while voxels.ndim > 3 and voxels.shape[-1] == 1:
        voxels = voxels[..., 0]
    if voxels.ndim != 3 or 0 in voxels.shape:
        raise ValueError(f"Found shape {voxels.shape} in {path}; wanted three axes. Give one phase a file.")
    return Volume(voxels, _checked_affine(np.asarray(image.affine, np.float64), path), path)


def _checked_affine(affine: NDArray[np.float64], path: Path) -> NDArray[np.float64]:
    if np.isfinite(affine).all() and abs(np.linalg.det(affine[:3, :3])) > 1e-9:
        return affine
    raise ValueError(f"Found an affine without a volume in {path}; wanted three axes in space. Mend the header.")


def finest_plane(volume: Volume) -> Plane:
    """The plane across the widest voxel side, hence with the finest pixels; of several axial, else sagittal."""
    codes = nibabel.aff2axcodes(volume.affine)
    planes: dict[str, Plane] = {"S": "axial", "I": "axial", "A": "coronal", "P": "coronal"}
    widest = max(volume.spacing)
    candidates = [
        planes.get(code, "sagittal")
        for code, side in zip(codes, volume.spacing, strict=True)
        if np.isclose(side, widest, rtol=0.01)
    ]
    return min(candidates, key=("axial", "sagittal", "coronal").index)


def oriented(volume: Volume, plane: Plane) -> Volume:
    """The same voxels as (depth, height, width) in ``plane``, turned by whole right angles; nothing is resampled."""
    start = orientations.io_orientation(volume.affine)
    turn = orientations.ornt_transform(start, orientations.axcodes2ornt(tuple(DIRECTIONS[plane])))
    voxels = np.ascontiguousarray(orientations.apply_orientation(volume.voxels, turn))
    affine = volume.affine @ orientations.inv_ornt_aff(turn, volume.voxels.shape)
    return replace(volume, voxels=voxels, affine=affine)


def check_same_grid(other: Volume, image: Volume) -> None:
    """Raises ValueError when two volumes, oriented to one plane, do not lie voxel on voxel."""
    if other.voxels.shape != image.voxels.shape:
        raise ValueError(
            f"Found shape {other.voxels.shape} in {other.source}; wanted {image.voxels.shape}, as in {image.source}. "
            "Give the files of one exam."
        )
    distance = _furthest(other.affine, image.affine, image.voxels.shape)
    if distance > SAME_GRID * min(image.spacing):
        raise ValueError(
            f"Found {other.source} up to {distance:.2f} mm away from {image.source}; wanted the same affine. "
            "Resample it to the image's grid or mend its header."
        )


def _furthest(one: NDArray[np.float64], two: NDArray[np.float64], shape: tuple[int, ...]) -> float:
    corners = np.array(list(product(*((0, side - 1) for side in shape))))
    difference = corners @ (one - two)[:3, :3].T + (one - two)[:3, 3]
    return float(np.linalg.norm(difference, axis=1).max())


def checked_image(volume: Volume) -> Volume:
    """The volume itself. Raises ValueError when a voxel is not finite or all are equal."""
    odd = int(volume.voxels.size - np.isfinite(volume.voxels).sum())
    if odd:
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(volume.voxels))[0])
        raise ValueError(
            f"Found {odd} voxels that are not finite in {volume.source}, the first at {where}; wanted numbers. "
            "Download or convert the file again."
        )
    if volume.voxels.min() == volume.voxels.max():
        raise ValueError(f"Found one value in all of {volume.source}; wanted a picture. Remove this volume.")
    return volume


def robust_unit(volume: Volume) -> Float:
    """Voxels to 0..1 between the 0.5 and 99.5 percentile of the whole volume, clipped. Raises as `checked_image`."""
    return windowed(checked_image(volume).voxels, ROBUST)


def binary(volume: Volume) -> NDArray[np.uint8]:
    """A mask's voxels as 0 and 1. Raises ValueError for values other than 0 with one of 1 and 255."""
    inside = volume.voxels != 0
    values = np.unique(volume.voxels[inside]).tolist()
    if values not in ([], [1], [255]):
        shown = ", ".join(f"{value:g}" for value in [0, *values[:8]])
        raise ValueError(
            f"Found the values {shown} in {volume.source}; wanted 0 with 1 or 255. Give a mask of tumour alone."
        )
    return inside.astype(np.uint8)
