"""Findings as mask shapes of CVAT, in the layout of a task's ``annotations.json``.

A mask's ``points`` are run lengths over its box, row by row, the first of unset pixels (0 when the first pixel is set),
then left, top, right and bottom of the box, right and bottom included.
Format: https://github.com/cvat-ai/cvat, cvat-sdk/cvat_sdk/masks.py
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.engine import Answer
from service.formats.instances import Instance, instances
from service.formats.rle import counts_of
from service.image import Region


def cvat_document(answer: Answer) -> list[dict[str, Any]]:
    """One entry with a shape per finding and slice; ``frame`` is the slice, ``group`` the finding's id."""
    return [{"version": 0, "tags": [], "shapes": [_shape(one) for one in instances(answer)], "tracks": []}]


def mask_points(pixels: NDArray[Any], region: Region) -> list[int]:
    """Non-zero ``pixels`` (height, width) over ``region`` as CVAT's points."""
    runs = counts_of(np.transpose(pixels))
    return [*runs, region.left, region.top, region.right - 1, region.bottom - 1]


def _shape(one: Instance) -> dict[str, Any]:
    return {
        "type": "mask",
        "label": one.label.name,
        "frame": one.region.z0,
        "points": mask_points(one.pixels, one.region),
        "group": one.finding.id,
        "occluded": False,
        "outside": False,
        "z_order": 0,
        "rotation": 0.0,
        "source": "auto",
        "attributes": [],
    }
