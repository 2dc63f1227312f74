"""DICOM series of single-frame MR slices: found in a tree, sorted along their normal, read as one volume."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from training.volume import Volume

HEADER = ("PatientID", "StudyInstanceUID", "StudyDate", "SeriesInstanceUID", "SeriesDescription", "Modality")
NEEDED = ("SOPInstanceUID", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "Rows", "Columns")
# Share of the usual distance between slices by which one may be off, and mm below which two lie at one place.
UNEVEN, SAME_PLACE = 0.05, 1e-3
# DICOM's axes point to Left and Posterior, NIfTI's to Right and Anterior.
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True)
class SeriesHeader:
    """What the first file of a folder says of the series in it; empty texts where it says nothing."""

    folder: Path
    first: Path
    patient: str
    study: str
    date: str
    series: str
    description: str
    modality: str


@dataclass(frozen=True, eq=False)
class Series:
    """A series as a volume (slices, rows, columns), slices in order along the normal.

    Attributes:
        volume: voxels float32 after rescale slope and intercept.
        instances: SOP instance UID of each slice.
        numbers: instance number of each slice, 0 where there is none.
        header: what the first slice says.
    """

    volume: Volume
    instances: tuple[str, ...]
    numbers: tuple[int, ...]
    header: Dataset


def find_series(root: Path) -> list[SeriesHeader]:
    """Each folder below ``root`` that holds ``.dcm`` files, sorted by path. One file a folder is opened, no more.

    Raises FileNotFoundError when there is none, ValueError for a file that is no DICOM.
    """
    found = []
    for folder, folders, names in os.walk(root, followlinks=True):
        folders.sort()
        files = _dicom_names(names)
        if files:
            found.append(_header(Path(folder), Path(folder, files[0])))
    if not found:
        raise FileNotFoundError(f"Found no .dcm file below {root}; wanted one folder for each series. Give its parent.")
    return found


def _dicom_names(names: Sequence[str]) -> list[str]:
    # Archives made on a Mac bring shadow files that begin so.
    return sorted(name for name in names if name.lower().endswith(".dcm") and not name.startswith("._"))


def _header(folder: Path, first: Path) -> SeriesHeader:
    header = _opened(first, pixels=False)
    patient, study, date, series, description, modality = (str(header.get(key, "")).strip() for key in HEADER)
    return SeriesHeader(folder, first, patient, study, date, series, description, modality)


def _opened(path: Path, *, pixels: bool) -> Dataset:
    try:
        return pydicom.dcmread(path, stop_before_pixels=not pixels, specific_tags=None if pixels else list(HEADER))
    except (InvalidDicomError, OSError, EOFError, ValueError, AttributeError) as error:
        raise ValueError(f"Found no readable DICOM in {path} ({error}); wanted a slice. Download it again.") from error


def read_series(folder: Path) -> Series:
    """The one series in ``folder``.

    Raises:
        FileNotFoundError: the folder holds no ``.dcm`` file.
        ValueError: a file is broken or lacks its geometry, the folder mixes series, grids or time points, or slices are
            missing.
    """
    names = _dicom_names(os.listdir(folder))
    if not names:
        raise FileNotFoundError(f"Found no .dcm file in {folder}; wanted the slices of a series. Restore them.")
    slices = [_slice(folder / name) for name in names]
    _check_one_grid(slices, folder)
    slices.sort(key=_along)
    _check_even(slices, folder)
    voxels = np.stack([_pixels(one) for one in slices])
    volume = Volume(voxels, LPS_TO_RAS @ _affine(slices), folder)
    numbers = tuple(int(one.get("InstanceNumber") or 0) for one in slices)
    return Series(volume, tuple(str(one.SOPInstanceUID) for one in slices), numbers, slices[0])


def _slice(path: Path) -> Dataset:
    one = _opened(path, pixels=True)
    missing = [name for name in NEEDED if one.get(name) is None]
    if missing or int(one.get("NumberOfFrames") or 1) > 1:
        what = f"no {', '.join(missing)}" if missing else f"{one.NumberOfFrames} frames"
        raise ValueError(f"Found {what} in {path}; wanted a single slice with its geometry. Convert it to NIfTI.")
    return one


def _check_one_grid(slices: Sequence[Dataset], folder: Path) -> None:
    series = {str(one.get("SeriesInstanceUID", "")) for one in slices}
    if len(series) > 1:
        raise ValueError(f"Found {len(series)} series in {folder}; wanted one. Give each series its own folder.")
    for one in slices[1:]:
        if not _one_grid(one, slices[0]):
            raise ValueError(
                f"Found {one.filename} on another grid than {slices[0].filename}; wanted equal rows, columns, pixel "
                "spacing and orientation. Take localisers out of the folder."
            )


def _one_grid(one: Dataset, other: Dataset) -> bool:
    return (one.Rows, one.Columns) == (other.Rows, other.Columns) and all(
        np.allclose(_numbers(one, name), _numbers(other, name), atol=1e-3)
        for name in ("PixelSpacing", "ImageOrientationPatient")
    )


def _numbers(one: Dataset, name: str) -> NDArray[np.float64]:
    return np.array([float(value) for value in one[name].value])


def _normal(one: Dataset) -> NDArray[np.float64]:
    axes = _numbers(one, "ImageOrientationPatient")
    return np.cross(axes[:3], axes[3:])


def _along(one: Dataset) -> float:
    return float(_normal(one) @ _numbers(one, "ImagePositionPatient"))


def _check_even(slices: Sequence[Dataset], folder: Path) -> None:
    steps = np.diff([_along(one) for one in slices])
    if (steps < SAME_PLACE).any():
        at = int(np.argmax(steps < SAME_PLACE))
        raise ValueError(
            f"Found {slices[at].filename} and {slices[at + 1].filename} at one place; wanted one time point. "
            "Give each time point its own folder."
        )
    usual = float(np.median(steps)) if len(steps) else 0.0
    if (np.abs(steps - usual) > UNEVEN * usual).any():
        raise ValueError(
            f"Found slices {steps.min():.3g} to {steps.max():.3g} mm apart in {folder}; wanted even distances. "
            "Download the missing slices."
        )


def _affine(slices: Sequence[Dataset]) -> NDArray[np.float64]:
    first, last = slices[0], slices[-1]
    down, across = _numbers(first, "PixelSpacing")
    axes = _numbers(first, "ImageOrientationPatient")
    origin = _numbers(first, "ImagePositionPatient")
    step = _normal(first) * float(first.get("SliceThickness") or 1.0)
    if len(slices) > 1:
        step = (_numbers(last, "ImagePositionPatient") - origin) / (len(slices) - 1)
    affine = np.eye(4)
    affine[:3] = np.stack([step, axes[3:] * down, axes[:3] * across, origin], axis=1)
    return affine


def _pixels(one: Dataset) -> NDArray[np.float32]:
    try:
        raw: NDArray[Any] = one.pixel_array
    except (AttributeError, ValueError, RuntimeError, NotImplementedError) as error:
        raise ValueError(f"Found no readable pixels in {one.filename} ({error}); wanted one. Restore it.") from error
    slope, intercept = float(one.get("RescaleSlope") or 1), float(one.get("RescaleIntercept") or 0)
    return raw.astype(np.float32) * np.float32(slope) + np.float32(intercept)
