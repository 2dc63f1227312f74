"""The foreground probability as a 16-bit PNG on the source grid."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from service.formats.plane import only_slice
from service.image import Region
from service.result import Patch

TOP = 65535


def encode_probability(patches: tuple[Patch, ...], grid: Region) -> bytes:
    """PNG of 0 (probability 0, or not looked at) to 65535 (probability 1).

    The highest value counts where patches overlap. Raises BadParameter when ``grid`` has more than one slice.
    """
    plane = only_slice(probability_map(patches, grid))
    _, encoded = cv2.imencode(".png", plane, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    return encoded.tobytes()


def probability_map(patches: tuple[Patch, ...], grid: Region) -> NDArray[np.uint16]:
    """uint16 of the grid's (depth, height, width), 65535 for probability 1."""
    canvas = np.zeros(grid.shape, np.uint16)
    for patch in patches:
        common = patch.region.overlap(grid)
        if common is not None:
            own = patch.probability[common.shifted(-patch.region.left, -patch.region.top, -patch.region.z0).slices]
            there = canvas[common.shifted(-grid.left, -grid.top, -grid.z0).slices]
            np.maximum(there, np.rint(np.clip(own, 0, 1) * TOP).astype(np.uint16), out=there)
    return canvas
