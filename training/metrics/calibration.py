"""Whether probabilities mean what they say (Guo et al. 2017, arXiv 1706.04599)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Reliability:
    """Bins of equal width over 0 to 1, the data of a reliability plot; those of several images add up.

    Attributes:
        counts: pixels or cases in each bin, (bins,).
        probabilities: sum of their probabilities, (bins,).
        positives: how many of them are true, (bins,).
    """

    counts: Values
    probabilities: Values
    positives: Values

    def __add__(self, other: Reliability) -> Reliability:
        if len(self.counts) != len(other.counts):
            raise ValueError(
                f"Found {len(self.counts)} and {len(other.counts)} bins; wanted as many. Bin all images alike."
            )
        return Reliability(
            self.counts + other.counts, self.probabilities + other.probabilities, self.positives + other.positives
        )

    @property
    def edges(self) -> Values:
        """Borders of the bins, (bins + 1,). A bin holds its lower border; the last one holds 1 as well."""
        return np.linspace(0, 1, len(self.counts) + 1)

    @property
    def confidence(self) -> Values:
        """Mean probability of each bin, NaN where it is empty."""
        return _ratio(self.probabilities, self.counts)

    @property
    def frequency(self) -> Values:
        """Share of each bin that is true, NaN where it is empty."""
        return _ratio(self.positives, self.counts)

    @property
    def error(self) -> float:
        """Expected calibration error: |frequency - confidence|, weighted by the bins' counts. NaN without values."""
        gaps = np.abs(self.positives - self.probabilities)
        return float(gaps.sum() / self.counts.sum()) if self.counts.sum() else float("nan")


def _ratio(part: Values, whole: Values) -> Values:
    return np.divide(part, whole, out=np.full_like(part, np.nan), where=whole > 0)


def reliability(probability: NDArray[Any], truth: NDArray[Any], bins: int = 15) -> Reliability:
    """Bins of probabilities 0 to 1 against truth 0 or 1, of pixels or of cases, any equal shapes.

    Raises ValueError for different shapes, for values that are no probabilities, and for less than one bin.
    """
    _check(probability, truth, bins)
    values = probability.ravel().astype(np.float64)
    place = np.minimum((values * bins).astype(np.int64), bins - 1)
    weights = (None, values, truth.ravel().astype(np.float64))
    return Reliability(*(np.bincount(place, one, bins).astype(np.float64) for one in weights))


def _check(probability: NDArray[Any], truth: NDArray[Any], bins: int) -> None:
    if probability.shape != truth.shape:
        raise ValueError(
            f"Found probabilities of shape {probability.shape} for a truth of {truth.shape}; wanted the same. Bring "
            "both to one grid."
        )
    if bins < 1:
        raise ValueError(f"Found {bins} bins; wanted at least one. 15 are usual.")
    if not ((probability >= 0) & (probability <= 1)).all():
        raise ValueError(
            "Found a value that is no probability; wanted 0 to 1. Apply sigmoid or softmax to logits first."
        )


def top_label(probabilities: NDArray[Any], truth: Sequence[int]) -> tuple[Values, NDArray[np.bool_]]:
    """Highest probability of each case and whether its class is right, from (cases, classes), for `reliability`."""
    return probabilities.max(axis=1).astype(np.float64), probabilities.argmax(axis=1) == np.asarray(truth)
