"""Outputs that are pictures hold one slice: this says so in one place."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from service.errors import BadParameter


def only_slice(array: NDArray[Any]) -> NDArray[Any]:
    """(height, width, ...) of a (1, height, width, ...) array. Raises BadParameter for more slices."""
    if array.shape[0] != 1:
        raise BadParameter(
            f"{array.shape[0]} slices",
            "one slice for this output",
            "Ask for one slice or for a format that holds volumes.",
            "needs_one_slice",
        )
    plane: NDArray[Any] = array[0]
    return plane
