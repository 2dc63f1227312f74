"""Small NIfTI files and what their images say."""

from __future__ import annotations

import struct
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray

from service.formats.limits import Limits
from service.formats.options import Options

NONE = Options(Limits(min_side=2))
SHAPE = (10, 12, 9)


def numbers(shape: tuple[int, ...] = SHAPE, kind: str = "int16") -> NDArray[Any]:
    return np.arange(np.prod(shape)).reshape(shape).astype(kind)


def saved(
    volume: NDArray[Any], affine: NDArray[Any] | None = None, kind: Any = nibabel.Nifti1Image, **header: Any
) -> bytes:
    image = kind(volume, np.diag([1.0, 2.0, 3.0, 1.0]) if affine is None else affine, dtype=volume.dtype)
    image.header.set_xyzt_units("mm", "sec")
    for name, value in header.items():
        image.header[name] = value
    return bytes(image.to_bytes())


def edited(content: bytes, at: int, fmt: str, *values: Any) -> bytes:
    changed = bytearray(content)
    struct.pack_into(fmt, changed, at, *values)
    return bytes(changed)


DIM, DATATYPE, VOX_OFFSET, SLOPE, FORMS = 40, 70, 108, 112, 252
