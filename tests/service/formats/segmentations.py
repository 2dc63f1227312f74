"""Small masks, and segmentation objects read back."""

from __future__ import annotations

import io

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom import Dataset


def blocks(shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Two lesions and some tissue in the last slice, the larger lesion through two slices where there are two."""
    labels = np.zeros(shape, np.uint8)
    labels[-2:, 2:6, 1:4] = 1
    labels[-1, 7:9, 5:7] = 1
    labels[-1, 0:2] = 3
    return labels


def read(content: bytes) -> Dataset:
    """As pydicom reads it."""
    return pydicom.dcmread(io.BytesIO(content))


def group(seg: Dataset, frame: int, macro: str) -> Dataset | None:
    """A functional group of a frame (from 0), its own or shared."""
    for groups in (seg.PerFrameFunctionalGroupsSequence[frame], seg.SharedFunctionalGroupsSequence[0]):
        if macro in groups:
            return groups[macro].value[0]
    return None
