"""One good file of each format and coding: where tampering begins."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable, Mapping

import numpy as np
from pydicom import dcmread
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)

from tests.hostile.corpus import dicoms, volumes, zips
from tests.service.formats.pictures import deep, gradient, saved, saved_deep, tiff

PICTURE = gradient(48, 64)


def _compressed(syntax: str) -> bytes:
    made = dcmread(io.BytesIO(dicoms.picture()))
    made.compress(syntax, generate_instance_uid=False)
    return dicoms.written(made, syntax)


def _jpeg() -> bytes:
    pixels = np.frombuffer(dicoms.dataset().PixelData, np.uint8).reshape(dicoms.SIDE, dicoms.SIDE)
    return dicoms.written(dicoms.dataset(PixelData=dicoms.items(saved(pixels, "JPEG"))), JPEGBaseline8Bit)


SEEDS: Mapping[str, Callable[[], bytes]] = {
    "png": lambda: saved(PICTURE, "PNG"),
    "png in 16 bit": lambda: saved_deep(deep(), ".png"),
    "png with a palette": lambda: saved(PICTURE[..., 0], "PNG", bits=8),
    "jpeg": lambda: saved(PICTURE, "JPEG"),
    "jpeg, progressive": lambda: saved(PICTURE, "JPEG", progressive=True),
    "tiff": lambda: tiff(PICTURE),
    "tiff in lzw": lambda: saved(PICTURE, "TIFF", compression="tiff_lzw"),
    "bmp": lambda: saved(PICTURE, "BMP"),
    "webp": lambda: saved(PICTURE, "WEBP"),
    "webp, lossless": lambda: saved(PICTURE, "WEBP", lossless=True),
    "dicom": dicoms.picture,
    "dicom, deflated": lambda: dicoms.written(dicoms.dataset(), DeflatedExplicitVRLittleEndian),
    "dicom in rle": lambda: _compressed(RLELossless),
    "dicom in jpeg": _jpeg,
    "dicom in jpeg 2000": lambda: _compressed(JPEG2000Lossless),
    "dicom in jpeg-ls": lambda: _compressed(JPEGLSLossless),
    "nifti": volumes.Nifti().file,
    "nifti, gzipped": lambda: gzip.compress(volumes.Nifti().file(), mtime=0),
    "nrrd": volumes.nrrd,
    "nrrd, gzipped": lambda: volumes.nrrd(gzip.compress(b"\1\0" * 2304, mtime=0), encoding="gzip"),
    "zip": zips.series,
}
