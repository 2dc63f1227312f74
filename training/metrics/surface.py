"""Distances between the borders of a mask and of the truth, in millimetres, by MONAI.

A border is made of the pixels or voxels of the mask that have a face neighbour outside it; the picture's own border
counts as outside. Spacing is mm per step of each array axis in its order, (row, column) or (slice, row, column).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from monai.metrics import compute_hausdorff_distance, compute_surface_dice
from numpy.typing import NDArray
from torch import Tensor

Mask = NDArray[np.bool_]


def hd95(guess: Mask, truth: Mask, spacing: Sequence[float]) -> float:
    """95th percentile of the Hausdorff distance in mm: the larger one of both directions.

    NaN when exactly one side is empty (there is no distance to nothing; count these cases beside the mean), 0 when
    both are. Raises ValueError for shapes or spacings that do not fit.
    """
    nothing = _without_border(guess, truth, spacing)
    if nothing is not None:
        return 0.0 if nothing else math.nan
    masks = _batch(guess), _batch(truth)
    with _quietly():
        return float(compute_hausdorff_distance(*masks, include_background=True, percentile=95, spacing=list(spacing)))


def surface_dice(guess: Mask, truth: Mask, spacing: Sequence[float], *, tolerance: float) -> float:
    """Share of both borders that lies within ``tolerance`` mm of the other one, 0 to 1 (arXiv 2111.05408).

    Each border pixel counts once. NaN when exactly one side is empty, 1 when both are. Raises ValueError for shapes
    or spacings that do not fit and for a negative tolerance.
    """
    if not tolerance >= 0:
        raise ValueError(f"Found a tolerance of {tolerance} mm; wanted 0 or more. Give the reader's own variation.")
    nothing = _without_border(guess, truth, spacing)
    if nothing is not None:
        return 1.0 if nothing else math.nan
    masks = _batch(guess), _batch(truth)
    with _quietly():
        return float(compute_surface_dice(*masks, [tolerance], include_background=True, spacing=list(spacing)))


@contextmanager
def _quietly() -> Iterator[None]:
    """MONAI 1.6 warns of an argument that it passes to itself."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*always_return_as_numpy", category=FutureWarning)
        yield


def _without_border(guess: Mask, truth: Mask, spacing: Sequence[float]) -> bool | None:
    """Whether both are empty; None where both have a border."""
    if guess.shape != truth.shape or guess.ndim not in (2, 3):
        raise ValueError(
            f"Found masks of shapes {guess.shape} and {truth.shape}; wanted the same, with two or three axes. Bring "
            "both to one grid."
        )
    if len(spacing) != guess.ndim or not all(0 < one < math.inf for one in spacing):
        raise ValueError(
            f"Found spacing {tuple(spacing)} for {guess.ndim} axes; wanted a positive number of mm for each. Leave the "
            "case out where the spacing is unknown."
        )
    here, there = bool(guess.any()), bool(truth.any())
    return None if here and there else here == there


def _batch(mask: Mask) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(mask))[None, None]
