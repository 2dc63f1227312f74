"""Figures from per-image rows, each with its 95 % bootstrap interval.

The generator starts from `SEED` every time, so the same rows give the same figures, to the digit, on any machine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from service.manifest import Metric
from training.metrics import bootstrap_interval

DRAWS, SEED = 2000, 0
Pairs = NDArray[np.float64]
Groups = Sequence[str] | None


def mean(name: str, values: Sequence[float], on: str, groups: Groups = None) -> Metric | None:
    """The mean of values, None without one. ``groups``, one a value, are resampled as a whole."""
    if not values:
        return None
    interval = None
    if _several(len(values), groups):
        interval = bootstrap_interval(values, groups=groups, draws=DRAWS, seed=SEED)
    return metric(name, float(np.mean(values)), interval, on, len(values))


def ratio(name: str, above: Sequence[float], below: Sequence[float], on: str, groups: Groups = None) -> Metric | None:
    """Sum over sum, None where nothing is below. Images are drawn in pairs of both."""
    if not sum(below):
        return None
    pairs = np.array([above, below], np.float64).T
    return resampled(name, pairs, _quotient, on, groups)


def _quotient(pairs: Pairs) -> float:
    whole = float(pairs[:, 1].sum())
    return float(pairs[:, 0].sum()) / whole if whole else float("nan")


def resampled(name: str, pairs: Pairs, statistic: Callable[[Pairs], float], on: str, groups: Groups = None) -> Metric:
    """Any statistic of rows of numbers, (images, columns)."""
    if not _several(len(pairs), groups):
        return metric(name, statistic(pairs), None, on, len(pairs))
    order = np.arange(len(pairs), dtype=np.float64)
    interval = bootstrap_interval(
        order.tolist(), lambda drawn: statistic(pairs[drawn.astype(int)]), groups=groups, draws=DRAWS, seed=SEED
    )
    return metric(name, statistic(pairs), interval, on, len(pairs))


def _several(count: int, groups: Groups) -> bool:
    """Whether there is more than one image or group: of one alone no interval is known."""
    return count > 1 if groups is None else len(set(groups)) > 1


def metric(name: str, value: float, interval: tuple[float, float] | None, on: str, n: int) -> Metric:
    """As manifests keep it: four digits behind the point."""
    told = None if interval is None else (round(interval[0], 4), round(interval[1], 4))
    return Metric(name=name, value=round(value, 4), interval=told, on=on, n=n)


def known(metrics: Sequence[Metric | None]) -> tuple[Metric, ...]:
    """Those that could be told."""
    return tuple(one for one in metrics if one is not None)
