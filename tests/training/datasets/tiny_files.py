"""Picture and mask files small enough to write by the dozen."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

SIZE = (48, 40)
Box = tuple[int, int, int, int]
REAL = Path(__file__).parents[4] / "shared" / "data"


def texture(seed: int, size: tuple[int, int] = SIZE) -> NDArray[np.uint8]:
    """A grey picture (height, width) unlike that of any other seed."""
    coarse = np.random.default_rng(seed).integers(20, 236, (7, 6), np.uint8)
    return np.asarray(cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC), np.uint8)


def blob(box: Box = (10, 12, 25, 30), size: tuple[int, int] = SIZE) -> NDArray[np.uint8]:
    """0/1 mask, 1 in (left, top, right, bottom)."""
    mask = np.zeros(size, np.uint8)
    left, top, right, bottom = box
    mask[top:bottom, left:right] = 1
    return mask


def write(path: Path, picture: NDArray[np.generic]) -> Path:
    """Write a picture in the format of its suffix, folders included; JPEG at quality 90."""
    path.parent.mkdir(parents=True, exist_ok=True)
    options = [cv2.IMWRITE_JPEG_QUALITY, 90] if path.suffix.lower() in (".jpg", ".jpeg") else []
    done, content = cv2.imencode(path.suffix, picture, options)
    if not done:
        raise OSError(f"Found no way to write {path}.")
    path.write_bytes(content.tobytes())
    return path


def write_dicom(path: Path, plane: NDArray[np.unsignedinteger], photometric: str = "MONOCHROME2") -> Path:
    """Write one frame of uint8 or uint16 as DICOM."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    dataset.Rows, dataset.Columns = plane.shape[-2:]
    if plane.ndim == 3:
        dataset.NumberOfFrames = len(plane)
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, photometric
    bits = plane.dtype.itemsize * 8
    dataset.BitsAllocated = dataset.BitsStored = bits
    dataset.HighBit, dataset.PixelRepresentation = bits - 1, 0
    dataset.PixelData = plane.tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)
    return path
