"""How well pictures are told apart by category."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy
from numpy.typing import NDArray


def confusion_matrix(guess: Sequence[int], truth: Sequence[int], classes: int) -> NDArray[np.int64]:
    """(classes, classes): rows are the truth, columns the guess. Raises ValueError for other lengths or ids."""
    one, other = _paired(guess, truth)
    if len(one) and not 0 <= min(one.min(), other.min()) <= max(one.max(), other.max()) < classes:
        raise ValueError(
            f"Found class ids {min(one.min(), other.min())} to {max(one.max(), other.max())}; wanted 0 to "
            f"{classes - 1}. Leave ambiguous cases out and name as many classes as there are."
        )
    return np.bincount(other * classes + one, minlength=classes**2).reshape(classes, classes)


def accuracy(guess: Sequence[int], truth: Sequence[int]) -> float:
    """Share of right guesses. Raises ValueError for other lengths or no cases."""
    one, other = _paired(guess, truth)
    if not len(one):
        raise ValueError("Found no cases; wanted at least one. Measure something first.")
    return float((one == other).mean())


def _paired(guess: Sequence[int], truth: Sequence[int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    if len(guess) != len(truth):
        raise ValueError(f"Found {len(guess)} guesses for {len(truth)} cases; wanted one each. Pair them by case.")
    return np.asarray(guess, np.int64), np.asarray(truth, np.int64)


def auroc(scores: Sequence[float] | NDArray[np.floating], positive: Sequence[bool] | NDArray[np.bool_]) -> float:
    """Probability that a positive scores above a negative, ties half. NaN unless both kinds are there."""
    truth = np.asarray(positive, bool)
    values = np.asarray(scores, np.float64)
    above = int(truth.sum())
    pairs = above * (len(truth) - above)
    if not pairs:
        return float("nan")
    # A positive's rank counts everything below it and half of what ties; other positives are taken off.
    ranks = scipy.stats.rankdata(values)[truth].sum()
    return float((ranks - above * (above + 1) / 2) / pairs)


def auroc_one_vs_rest(probabilities: NDArray[np.floating], truth: Sequence[int]) -> list[float]:
    """AUROC of each class against all others from (cases, classes); NaN for a class that is absent or alone.

    Raises ValueError unless there is one row a case.
    """
    if len(probabilities) != len(truth):
        raise ValueError(
            f"Found {len(probabilities)} rows of probabilities for {len(truth)} cases; wanted one each. Pair them by "
            "case."
        )
    ids = np.asarray(truth)
    return [auroc(column.tolist(), (ids == label).tolist()) for label, column in enumerate(probabilities.T)]
