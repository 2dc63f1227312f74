"""Overlap of a mask with the truth, per image and pooled over images, and what both empty is worth.

Pooled means one table of counts for all images; then IoU = Dice / (2 - Dice) exactly. The mean over images obeys no
such identity: mean IoU is at least that value, and far above it where many images score exactly 0 or 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

MEASURES = ("dice", "iou", "precision", "recall", "accuracy", "specificity")
AS_OVERLAP = MEASURES[:4]


class Empty(StrEnum):
    """What Dice, IoU, precision and recall are where truth and mask are both empty.

    ``ONE`` rewards silence on pictures without a lesion, ``ZERO`` counts them as failures, ``EXCLUDED`` gives NaN,
    which leaves them out of means. Where only one of both is empty, all four are 0 under each convention.
    """

    ONE = "one"
    ZERO = "zero"
    EXCLUDED = "excluded"

    @property
    def worth(self) -> float:
        """1, 0 or NaN."""
        return {"one": 1.0, "zero": 0.0}.get(self.value, math.nan)


@dataclass(frozen=True)
class Counts:
    """Pixels by truth and mask; counts of images or classes add up."""

    both: int = 0
    mask_only: int = 0
    truth_only: int = 0
    neither: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.both + other.both,
            self.mask_only + other.mask_only,
            self.truth_only + other.truth_only,
            self.neither + other.neither,
        )

    @property
    def truth(self) -> int:
        """Pixels of the truth."""
        return self.both + self.truth_only

    @property
    def mask(self) -> int:
        """Pixels of the mask."""
        return self.both + self.mask_only

    @property
    def pixels(self) -> int:
        """All pixels."""
        return self.truth + self.mask_only + self.neither


def counts(guess: NDArray[np.bool_], truth: NDArray[np.bool_]) -> Counts:
    """Counts of two masks of any, but the same, shape. Raises ValueError for different ones."""
    _check_shapes(guess, truth)
    both, mask, total = (int(np.count_nonzero(one)) for one in (guess & truth, guess, truth))
    return Counts(both, mask - both, total - both, guess.size - mask - total + both)


def class_counts(guess: NDArray[Any], truth: NDArray[Any], classes: int) -> list[Counts]:
    """Counts of each class id 0 to ``classes`` - 1 against all others. Raises ValueError for other shapes or ids."""
    _check_shapes(guess, truth)
    for one in (guess, truth):
        if one.size and not 0 <= int(one.min()) <= int(one.max()) < classes:
            raise ValueError(
                f"Found class ids {one.min()} to {one.max()}; wanted 0 to {classes - 1}. Map the labels to class ids."
            )
    return [counts(guess == one, truth == one) for one in range(classes)]


def _check_shapes(guess: NDArray[Any], truth: NDArray[Any]) -> None:
    if guess.shape != truth.shape:
        raise ValueError(
            f"Found masks of shapes {guess.shape} and {truth.shape}; wanted the same. Bring both to one grid."
        )


def measures(found: Counts, empty: Empty) -> dict[str, float]:
    """MEASURES of one table of counts, 0 to 1. Specificity is NaN where everything is lesion."""
    overlap = {
        "dice": _ratio(2 * found.both, found.mask + found.truth),
        "iou": _ratio(found.both, found.mask + found.truth_only),
        "precision": _ratio(found.both, found.mask),
        "recall": _ratio(found.both, found.truth),
    }
    negatives = found.mask_only + found.neither
    others = {
        "accuracy": _ratio(found.both + found.neither, found.pixels),
        "specificity": found.neither / negatives if negatives else math.nan,
    }
    nothing = found.mask + found.truth == 0
    return (dict.fromkeys(AS_OVERLAP, empty.worth) if nothing else overlap) | others


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


@dataclass(frozen=True)
class Summary:
    """MEASURES of a set of images, as the mean over images and pooled, and how many of them were empty.

    Attributes:
        per_image: mean over the images that count; NaN where none does.
        pooled: of the sum of all counts.
        images: how many.
        empty_truth: images without a lesion, where the convention matters.
        both_empty: those of them on which the mask was empty, too.
    """

    per_image: dict[str, float]
    pooled: dict[str, float]
    images: int
    empty_truth: int
    both_empty: int


def summary(found: Sequence[Counts], empty: Empty) -> Summary:
    """The measures of a set of images, one `Counts` each. Raises ValueError without images."""
    if not found:
        raise ValueError("Found no images; wanted at least one. Measure something first.")
    rows = [measures(one, empty) for one in found]
    return Summary(
        per_image={name: _mean([row[name] for row in rows]) for name in MEASURES},
        pooled=measures(sum(found, Counts()), empty),
        images=len(found),
        empty_truth=sum(one.truth == 0 for one in found),
        both_empty=sum(one.truth + one.mask == 0 for one in found),
    )


def _mean(values: Sequence[float]) -> float:
    counted = [value for value in values if not math.isnan(value)]
    return sum(counted) / len(counted) if counted else math.nan


def pooled_iou(dice: float) -> float:
    """The IoU that belongs to a pooled Dice. A table with a higher one holds means over images, or an error."""
    return dice / (2 - dice)


def class_mean(found: Sequence[Counts], measure: str = "dice", *, frequency_weighted: bool = False) -> float:
    """Mean of a measure over classes that occur, one pooled `Counts` each.

    ``frequency_weighted`` weights each by its pixels in the truth, which mostly reports the background; it is here only
    to compare with tables that did so.
    """
    values = np.array([measures(one, Empty.EXCLUDED)[measure] for one in found])
    weights = np.array([one.truth if frequency_weighted else 1.0 for one in found])
    there = ~np.isnan(values)
    return float(np.average(values[there], weights=weights[there])) if weights[there].sum() > 0 else math.nan


def dice(guess: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    """2 |A and B| / (|A| + |B|); both empty gives 1, one empty gives 0."""
    total = int(guess.sum()) + int(truth.sum())
    return 1.0 if total == 0 else 2 * int((guess & truth).sum()) / total


def iou(guess: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    """|A and B| / |A or B|; both empty gives 1, one empty gives 0."""
    union = int((guess | truth).sum())
    return 1.0 if union == 0 else int((guess & truth).sum()) / union


def dice_per_image(logits: Tensor, target: Tensor) -> Tensor:
    """Dice of logits > 0 against target > 0.5, (batch, ...) to (batch,); both empty gives 1."""
    return _dice_of((logits > 0).flatten(1), (target > 0.5).flatten(1), 1.0)


def class_dice_per_image(logits: Tensor, target: Tensor, label: int, empty: Empty = Empty.EXCLUDED) -> Tensor:
    """Dice of one class of the argmax, logits (batch, classes, ...) and ids (batch, ...) to (batch,)."""
    return _dice_of((logits.argmax(dim=1) == label).flatten(1), (target == label).flatten(1), empty.worth)


def _dice_of(guess: Tensor, truth: Tensor, nothing: float) -> Tensor:
    overlap, total = (guess & truth).sum(dim=1), guess.sum(dim=1) + truth.sum(dim=1)
    return torch.where(total > 0, 2 * overlap / total.clamp(min=1), nothing)
