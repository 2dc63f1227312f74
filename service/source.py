"""Where an image came from: all that outputs need to land on the same voxels and millimetres.

Kept apart from everything that is answered or logged: DICOM headers name the patient, so nothing here has a ``repr``
that shows them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pydicom import Dataset

Affine = NDArray[np.float64]
SourceKind = Literal["raster", "dicom", "nifti", "nrrd"]

# DICOM's axes point to Left, Posterior, Superior (LPS), NIfTI's to Right, Anterior, Superior. Its own inverse.
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True)
class Flag:
    """Something the reader must know: a stable code and one plain sentence."""

    code: str
    text: str


@dataclass(frozen=True, eq=False, repr=False)
class DicomSource:
    """The DICOM instances an image was read from.

    Attributes:
        headers: data sets without pixels, file meta information included; one for each file read.
        frames: for each slice of the image the index of its instance in ``headers`` and its frame number, 1-based.
    """

    headers: tuple[Dataset, ...]
    frames: tuple[tuple[int, int], ...]

    def instance(self, z: int) -> Dataset:
        """The data set that slice ``z`` of the image is in."""
        return self.headers[self.frames[z][0]]


@dataclass(frozen=True, eq=False, repr=False)
class Stored:
    """How a NIfTI or NRRD file lays out the volume that the image shows turned.

    Attributes:
        shape: the file's three spatial axes, fastest first, as ``array[i, j, k]`` in NIfTI.
        axes: for depth, height and width of the image the file's axis.
        flips: for depth, height and width whether the image runs against the file.
        affine: 4 x 4, from the file's voxel index (i, j, k) to its own unit, RAS.
        header: the file's header: nibabel's for NIfTI, fields by name for NRRD.
        phase: which volume of several, None where the file holds one.
    """

    shape: tuple[int, int, int]
    axes: tuple[int, int, int]
    flips: tuple[bool, bool, bool]
    affine: Affine
    header: Any
    phase: int | None = None

    def turned(self, volume: NDArray[Any]) -> NDArray[Any]:
        """An array of the file's ``shape`` (more axes may follow) as (depth, height, width, ...); a view."""
        rest = range(3, volume.ndim)
        return volume.transpose(*self.axes, *rest)[self._steps]

    def turned_back(self, volume: NDArray[Any]) -> NDArray[Any]:
        """The exact way back: (depth, height, width, ...) on the image's grid to the file's ``shape``; a view."""
        inverse = (self.axes.index(0), self.axes.index(1), self.axes.index(2))
        return volume[self._steps].transpose(*inverse, *range(3, volume.ndim))

    @property
    def _steps(self) -> tuple[slice, slice, slice]:
        z, y, x = (slice(None, None, -1 if flip else 1) for flip in self.flips)
        return z, y, x


@dataclass(frozen=True, eq=False, repr=False)
class Source:
    """What a file said beside its voxels.

    Attributes:
        kind: which reader made the image.
        affine: 4 x 4, from the image's voxel index (x, y, z), centres at whole numbers, to mm in the patient, LPS; None
            where the file does not place its voxels in a patient.
        dicom: the instances, where the source is DICOM.
        stored: the layout of the file, where the source is NIfTI or NRRD.
    """

    kind: SourceKind
    affine: Affine | None = None
    dicom: DicomSource | None = None
    stored: Stored | None = None

    def at(self, x: float, y: float, z: float) -> tuple[float, float, float] | None:
        """Where voxel (x, y, z) of the image lies in the patient, mm LPS; None where unknown."""
        if self.affine is None:
            return None
        place = self.affine @ (x, y, z, 1.0)
        return float(place[0]), float(place[1]), float(place[2])
