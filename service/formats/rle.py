"""Run lengths of masks as COCO writes them.

Counts run down the columns, left to right, and start with zeros (a mask that is set in its first pixel starts with
count 0). The string form stores each count from the fourth on as the difference to the count before the last, in
groups of five bits, lowest first, 0x20 marking that more follow and 48 added to give printable characters.
Format: https://github.com/cocodataset/cocoapi/blob/master/common/maskApi.c
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from service.errors import UnusableImage
from service.image import Mask

BITS, VALUE, SIGN, MORE, FIRST = 5, 0x1F, 0x10, 0x20, 48
# Twelve groups hold 60 bits; longer numbers are no pixel counts.
LONGEST = 12


def counts_of(plane: NDArray[Any]) -> list[int]:
    """Run lengths of the non-zero pixels of (height, width)."""
    height, width = plane.shape
    filled = np.flatnonzero(plane.any(axis=0))
    if filled.size == 0:
        return [plane.size]
    # Columns on either side of all that is filled are one run each, and are not turned.
    first, end = int(filled[0]), int(filled[-1]) + 1
    flat = cv2.transpose((plane[:, first:end] != 0).view(np.uint8)).reshape(-1)
    begun = [first * height] if flat[0] and first > 0 else []
    ended = [end * height] if flat[-1] and end < width else []
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + (first * height + 1)
    runs: list[int] = np.diff(np.concatenate(([0], begun, changes, ended, [plane.size])).astype(np.int64)).tolist()
    return [0, *runs] if plane[0, 0] else runs


def plane_of(counts: list[int], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Pixels of (height, width) ``size``. Raises UnusableImage when the runs do not fill it."""
    runs = np.asarray(counts, np.int64)
    height, width = size
    if runs.size == 0 or runs.min() < 0 or int(runs.sum()) != height * width:
        raise UnusableImage(
            "run lengths that do not fill the mask",
            f"counts of at least 0 that sum to {height * width}",
            "Check the size and the counts.",
            "malformed",
        )
    return np.repeat(np.arange(runs.size) % 2 == 1, runs).reshape(width, height).T


def packed(counts: list[int]) -> str:
    """Counts as COCO's string."""
    numbers = np.asarray(counts, np.int64)
    numbers[3:] -= np.asarray(counts, np.int64)[1:-2]
    groups = int(np.abs(numbers).max()).bit_length() // BITS + 1
    shifted = numbers[:, None] >> (BITS * np.arange(groups))
    low, rest = shifted & VALUE, shifted >> BITS
    # A number ends at the first group whose sign bit alone tells all higher ones.
    ends = rest == np.where(low & SIGN, -1, 0)
    last = ends.argmax(axis=1)[:, None]
    position = np.arange(groups)
    characters = low + FIRST + np.where(position < last, MORE, 0)
    return str(characters[position <= last].astype(np.uint8).tobytes(), "ascii")


def unpacked(text: str) -> list[int]:
    """Counts of COCO's string. Raises UnusableImage when it is none."""
    groups = np.frombuffer(text.encode("utf-8"), np.uint8).astype(np.int64) - FIRST
    ends = np.flatnonzero((groups & MORE) == 0)
    starts = np.concatenate(([0], ends[:-1] + 1))
    if not _well_formed(groups, starts, ends):
        raise UnusableImage(
            "a string that holds no run lengths", "COCO's compressed counts", "Send the string unchanged.", "malformed"
        )
    position = np.arange(groups.size) - np.repeat(starts, ends - starts + 1)
    numbers = np.add.reduceat((groups & VALUE) << BITS * position, starts)
    numbers -= np.where(groups[ends] & SIGN, 1 << BITS * (ends - starts + 1), 0)
    numbers[1::2] = np.cumsum(numbers[1::2])
    numbers[2::2] = np.cumsum(numbers[2::2])
    counts: list[int] = numbers.tolist()
    return counts


def _well_formed(groups: NDArray[np.int64], starts: NDArray[np.int64], ends: NDArray[np.int64]) -> bool:
    if ends.size == 0 or ends[-1] != groups.size - 1:
        return False
    return bool(groups.min() >= 0 and groups.max() < 2 * MORE and (ends - starts).max() < LONGEST)


def encode(plane: NDArray[Any]) -> str:
    """COCO's string of the non-zero pixels of (height, width)."""
    return packed(counts_of(plane))


def decode(text: str, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Pixels of (height, width) ``size``. Raises UnusableImage for a string that does not describe such a mask."""
    return plane_of(unpacked(text), size)


def mask_document(mask: Mask) -> dict[str, Any]:
    """The answer's ``mask``: every label the mask names, those without a pixel too; a string per slice for volumes."""
    planes = list(mask.labels)
    labels = {name: [encode(plane == label) for plane in planes] for label, name in mask.names.items()}
    return {
        "encoding": "coco-rle",
        "size": list(mask.labels.shape[1:]),
        "labels": labels if len(planes) > 1 else {name: strings[0] for name, strings in labels.items()},
    }
