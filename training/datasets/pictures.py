"""Picture files of any data set: reading at full depth, sizes from the header alone, one file per name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pydicom
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from pydicom.errors import InvalidDicomError

from training.datasets.case import Case, Picture

JPEG = (".jpg", ".jpeg")
SUFFIXES = (".png", *JPEG, ".bmp", ".tif", ".tiff")
DICOM = ".dcm"
# Photographs were outlined as their pixels lie in the file, whatever the camera wrote about turning them.
AS_STORED = cv2.IMREAD_IGNORE_ORIENTATION


def read_plane(path: Path) -> Picture:
    """A picture as grey (height, width), uint8 or, where the file has more, uint16; of DICOM, dark is low.

    Raises FileNotFoundError for a file that is not there, ValueError for one that is no picture.
    """
    if path.suffix.lower() == DICOM:
        return _dicom_plane(path)
    return _decoded(path, cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH | AS_STORED)


def grey_picture(case: Case) -> Picture:
    """The case's picture by `read_plane`."""
    return read_plane(case.image)


def colour_picture(case: Case) -> Picture:
    """The case's picture, uint8 (height, width, 3), red first. Raises like `read_plane`."""
    return np.ascontiguousarray(_decoded(case.image, cv2.IMREAD_COLOR | AS_STORED)[..., ::-1])


def read_unchanged(path: Path) -> Picture:
    """A picture as its file has it: (height, width) or (height, width, 3 or 4), blue first, alpha last."""
    return _decoded(path, cv2.IMREAD_UNCHANGED)


def eight_bits(picture: Picture) -> NDArray[np.uint8]:
    """Any picture as grey uint8 (height, width): 8 bits stay, anything deeper is stretched from its least to its most.

    Colour is turned grey first. A flat deep picture becomes 0.
    """
    plane = cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_RGB2GRAY) if picture.ndim == 3 else picture
    if plane.dtype == np.uint8:
        return np.asarray(plane, np.uint8)
    low, high = float(plane.min()), float(plane.max())
    if high <= low:
        return np.zeros(plane.shape, np.uint8)
    return np.asarray(np.round((plane.astype(np.float32) - low) * (255 / (high - low))), np.uint8)


def picture_size(path: Path) -> tuple[int, int]:
    """(height, width) from the file's header. Raises like `read_plane`."""
    if path.suffix.lower() == DICOM:
        header = _dicom(path, stop_before_pixels=True)
        return int(header.Rows), int(header.Columns)
    try:
        with Image.open(path) as picture:
            return picture.height, picture.width
    except FileNotFoundError as error:
        raise _missing(path) from error
    except UnidentifiedImageError as error:
        raise _unreadable(path) from error


def unique_stems(paths: Iterable[Path]) -> dict[str, Path]:
    """Paths by stem, sorted. Raises ValueError when two files share one: nobody could say which is meant."""
    found: dict[str, Path] = {}
    for path in sorted(paths):
        if path.stem in found:
            raise ValueError(
                f"Found {found[path.stem].name} and {path.name} in {path.parent}; wanted one file named {path.stem}. "
                "Remove or rename one."
            )
        found[path.stem] = path
    return found


def pictures_in(folder: Path) -> dict[str, Path]:
    """Pictures of a folder by stem, hidden files aside. Raises FileNotFoundError without any, see `unique_stems`."""
    seen = (path for path in folder.glob("*") if not path.name.startswith("."))
    found = unique_stems(path for path in seen if path.suffix.lower() in SUFFIXES)
    if not found:
        raise FileNotFoundError(f"Found no picture in {folder}; wanted {', '.join(SUFFIXES)}. Give another folder.")
    return found


def readable(paths: Iterable[Path]) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """(index, grey uint8 picture) of every file that can be read: what is broken is told when it is trained on."""
    for index, path in enumerate(paths):
        try:
            yield index, eight_bits(read_plane(path))
        except (OSError, ValueError):
            continue


def _decoded(path: Path, flags: int) -> Picture:
    if not path.is_file():
        raise _missing(path)
    picture = cv2.imdecode(np.fromfile(path, np.uint8), flags) if path.stat().st_size else None
    if picture is None:
        raise _unreadable(path)
    return picture


def _dicom_plane(path: Path) -> Picture:
    dataset = _dicom(path)
    plane = dataset.pixel_array
    if plane.ndim != 2:
        raise ValueError(f"Found an array of shape {plane.shape} in {path}; wanted one grey frame. Give another file.")
    if dataset.get("PhotometricInterpretation") == "MONOCHROME1":
        return np.asarray(2 ** int(dataset.BitsStored) - 1 - plane.astype(np.int32), np.uint16)
    return np.asarray(plane)


def _dicom(path: Path, **options: Any) -> pydicom.Dataset:
    try:
        return pydicom.dcmread(path, **options)
    except FileNotFoundError as error:
        raise _missing(path) from error
    except (InvalidDicomError, EOFError) as error:
        raise _unreadable(path) from error


def _missing(path: Path) -> FileNotFoundError:
    return FileNotFoundError(f"Found no file {path}; wanted a picture or mask. Restore it or take it off the list.")


def _unreadable(path: Path) -> ValueError:
    return ValueError(f"Found no readable picture in {path}; wanted PNG, JPEG, BMP, TIFF or DICOM. Restore the file.")
