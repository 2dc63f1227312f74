"""Intervals over images, and whether one method is better than another on the same images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import scipy
from numpy.typing import NDArray

Values = NDArray[np.float64]
Statistic = Callable[[Values], float]
# Up to so many units every way to swap the methods is tried (4096), beyond it as many as EXCHANGES are drawn.
EVERY_WAY, EXCHANGES, AT_ONCE = 12, 9999, 512
AT_ONCE_PLACES = 10**6
# Of the largest possible sum: sums this close are equal, whatever the order they were added in.
EQUAL = 1e-12


def _average(sample: Values) -> float:
    return float(sample.mean())


def bootstrap_interval(
    values: Sequence[float],
    statistic: Statistic = _average,
    *,
    groups: Sequence[str] | None = None,
    draws: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """95 % percentile interval of ``statistic`` over resampled images.

    With ``groups``, one name an image, whole groups are resampled: images of one patient are not independent, and
    treating them as such gives intervals that are too narrow. Draws for which the statistic is NaN, such as an AUROC of
    one class only, are left out. Raises ValueError without values or unless there are as many groups as values.
    """
    if len(values) == 0:
        raise ValueError("Found no values; wanted at least one. Measure something first.")
    array, rng = np.asarray(values, np.float64), np.random.default_rng(seed)
    members = _members(groups, len(array))
    if statistic is _average:
        drawn = _means(array, members, rng, draws)
    else:
        drawn = np.array([statistic(array[_resampled(members, len(array), rng)]) for _ in range(draws)])
    low, high = np.nanpercentile(drawn, (2.5, 97.5))
    return float(low), float(high)


def _means(
    values: Values, members: list[NDArray[np.intp]] | None, rng: np.random.Generator, draws: int
) -> NDArray[np.float64]:
    """Means of resampled values, (draws,), many at once: of whole groups by their sums."""
    sums = values if members is None else np.array([values[one].sum() for one in members])
    counts = np.ones(len(values)) if members is None else np.array([float(len(one)) for one in members])
    rows = max(1, AT_ONCE_PLACES // len(sums))
    parts = []
    for start in range(0, draws, rows):
        places = rng.integers(0, len(sums), (min(rows, draws - start), len(sums)))
        parts.append(sums[places].sum(axis=1) / counts[places].sum(axis=1))
    return np.concatenate(parts)


def _members(groups: Sequence[str] | None, count: int) -> list[NDArray[np.intp]] | None:
    if groups is None:
        return None
    if len(groups) != count:
        raise ValueError(
            f"Found {len(groups)} groups for {count} values; wanted one each. Name the group of every image."
        )
    names = np.asarray(groups)
    return [np.flatnonzero(names == name) for name in dict.fromkeys(groups)]


def _resampled(members: list[NDArray[np.intp]] | None, count: int, rng: np.random.Generator) -> NDArray[np.intp]:
    if members is None:
        return rng.integers(0, count, count)
    return np.concatenate([members[one] for one in rng.integers(0, len(members), len(members))])


@dataclass(frozen=True)
class Comparison:
    """One method against another on the same images.

    Attributes:
        difference: mean of one minus other.
        interval: 95 %, by resampling images or groups in pairs.
        p_value: two-sided, Wilcoxon's signed-rank test of a zero median; 1 where nothing differs.
        p_mean: two-sided, of a zero mean difference, by exchanging the methods at random; it asks what the interval
            asks, while ranks do not see how large the few large differences are.
        pairs: images that both methods have a value for.
        units: what the test counts as independent, images or groups.
    """

    difference: float
    interval: tuple[float, float]
    p_value: float
    p_mean: float
    pairs: int
    units: int


def paired_test(
    one: Sequence[float],
    other: Sequence[float],
    *,
    groups: Sequence[str] | None = None,
    draws: int = 2000,
    seed: int = 0,
) -> Comparison:
    """Compare values of two methods image by image; pairs with a NaN are left out.

    With ``groups`` whole groups are resampled and exchanged, and the signed-rank test takes the mean difference of
    each. Raises ValueError for other lengths or without a pair.
    """
    if len(one) != len(other):
        raise ValueError(
            f"Found {len(one)} and {len(other)} values; wanted as many, image by image. Pair them by case."
        )
    difference = np.asarray(one, np.float64) - np.asarray(other, np.float64)
    there = ~np.isnan(difference)
    if not there.any():
        raise ValueError("Found no pair of values; wanted at least one image that both measured. Compare on one split.")
    members = _members(groups, len(difference))
    kept = None if groups is None else [name for name, use in zip(groups, there, strict=True) if use]
    units = difference[there] if members is None else _group_means(difference, members)
    interval = bootstrap_interval(difference[there].tolist(), groups=kept, draws=draws, seed=seed)
    mean, chance = float(difference[there].mean()), _exchanged(_group_sums(difference, members), seed)
    return Comparison(mean, interval, _signed_rank(units), chance, int(there.sum()), len(units))


def _group_means(values: Values, members: list[NDArray[np.intp]]) -> Values:
    parts = [values[one][~np.isnan(values[one])] for one in members]
    return np.array([part.mean() for part in parts if len(part)])


def _group_sums(values: Values, members: list[NDArray[np.intp]] | None) -> Values:
    known = np.nan_to_num(values)
    return known if members is None else np.array([known[one].sum() for one in members])


def _exchanged(sums: Values, seed: int) -> float:
    """Two-sided p of a zero mean by a paired permutation test: each group's difference may as well have the other sign.

    ``sums`` are the groups' sums of differences, so that the mean is over images. The way they are counts as one of the
    drawn ones, so that p is never 0.
    """
    sums = sums[sums != 0]
    ways, extreme = 0, 0
    limit = abs(sums.sum()) - EQUAL * np.abs(sums).sum()
    for signs in _signs(len(sums), seed):
        ways += len(signs)
        extreme += int((np.abs(signs @ sums) >= limit).sum())
    return extreme / ways if len(sums) <= EVERY_WAY else (extreme + 1) / (ways + 1)


def _signs(units: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """Rows of 1 and -1, (ways, units): all there are for few units, else drawn ones."""
    if units <= EVERY_WAY:
        yield np.array(list(product((1.0, -1.0), repeat=units))).reshape(2**units, units)
        return
    rng = np.random.default_rng(seed)
    for start in range(0, EXCHANGES, AT_ONCE):
        yield rng.choice((1.0, -1.0), (min(AT_ONCE, EXCHANGES - start), units))


def _signed_rank(differences: Values) -> float:
    """Two-sided p of zero median. Zeros are left out, as Wilcoxon did."""
    if not differences.any():
        return 1.0
    return float(scipy.stats.wilcoxon(differences, zero_method="wilcox").pvalue)
