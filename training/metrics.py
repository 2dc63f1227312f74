"""Metrics per image, and intervals over images."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def dice_per_image(logits: Tensor, target: Tensor) -> Tensor:
    """Dice of logits > 0 against target > 0.5, (batch, ...) to (batch,); both empty gives 1."""
    guess, truth = (logits > 0).flatten(1), (target > 0.5).flatten(1)
    overlap, total = (guess & truth).sum(dim=1), guess.sum(dim=1) + truth.sum(dim=1)
    return torch.where(total > 0, 2 * overlap / total.clamp(min=1), 1.0)


def dice(guess: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    """2 |A and B| / (|A| + |B|); both empty gives 1, one empty gives 0."""
    total = int(guess.sum()) + int(truth.sum())
    return 1.0 if total == 0 else 2 * int((guess & truth).sum()) / total


def iou(guess: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    """|A and B| / |A or B|; both empty gives 1, one empty gives 0."""
    union = int((guess | truth).sum())
    return 1.0 if union == 0 else int((guess & truth).sum()) / union


def bootstrap_interval(
    values: Sequence[float],
    statistic: Callable[[NDArray[np.float64]], float] = lambda sample: float(sample.mean()),
    *,
    draws: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """95 % percentile interval of ``statistic`` over resampled images.

    Draws for which it is NaN, such as an AUROC of one class only, are left out. Raises ValueError without values.
    """
    if len(values) == 0:
        raise ValueError("Found no values; wanted at least one. Measure something first.")
    array, rng = np.asarray(values, np.float64), np.random.default_rng(seed)
    drawn = [statistic(array[rng.integers(0, len(array), len(array))]) for _ in range(draws)]
    low, high = np.nanpercentile(drawn, (2.5, 97.5))
    return float(low), float(high)


def auroc(scores: Sequence[float], positive: Sequence[bool]) -> float:
    """Probability that a positive scores above a negative, ties half. NaN unless both kinds are there."""
    truth = np.asarray(positive, bool)
    values = np.asarray(scores, np.float64)
    above, below = values[truth], values[~truth]
    if not len(above) or not len(below):
        return float("nan")
    difference = above[:, None] - below[None, :]
    return float((difference > 0).mean() + 0.5 * (difference == 0).mean())
