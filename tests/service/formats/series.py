"""Small MR series made by code, and what is asked of the image they give."""

from __future__ import annotations

from typing import Any

import numpy as np

from service.formats.dicom_series import read_slices
from service.formats.options import Options
from service.image import Image
from tests.service.formats.dicom_files import (
    mr_slices,
    ramp,
)

NONE = Options()
AXIAL = (1, 0, 0, 0, 1, 0)


def volume(depth: int = 5) -> np.ndarray[Any, Any]:
    return np.stack([ramp(12, 10) + 100 * z for z in range(depth)]).astype(np.uint16)


def read(files: list[bytes], options: Options = NONE) -> Image:
    return read_slices(len(files), files.__getitem__, options)


def levels(image: Image) -> list[int]:
    """The lowest value of each slice, which tells them apart."""
    return [int(slab.min()) for slab in image.slab(0, image.depth)]


def codes(image: Image) -> set[str]:
    return {flag.code for flag in image.flags}


def phased(**about: Any) -> list[bytes]:
    """Two volumes at one place; the second is 1000 brighter. Attributes are (first, second)."""
    both = []
    for number in range(2):
        one = {name: pair[number] for name, pair in about.items()}
        both += mr_slices(volume(3) + 1000 * number, **one)
    return both
