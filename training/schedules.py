"""How the learning rate changes: warm-up, then one of five curves."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from service.manifest import Frozen, Positive

if TYPE_CHECKING:
    from training.recipe import Recipe, Schedule

Kind = Literal["cosine", "constant", "step", "warm_restarts", "poly"]


class Rate(Frozen):
    """The curve of the learning rate over the epochs.

    ``cosine``: half a cosine from the greatest rate to ``floor`` (Loshchilov & Hutter 2017, arXiv:1608.03983);
    ``warm_restarts``: the same over ``first`` epochs and again over periods ``longer`` times as long each; ``step``:
    times ``factor`` every ``every`` epochs; ``poly``: (1 - progress) ** ``power``; ``constant``.

    Attributes:
        kind: the curve.
        per: whether the rate changes with every batch or stays the same over an epoch.
        warm_up: epochs over which the rate first rises linearly, times the curve. 0 for none.
        floor: lowest rate of the two cosines.
    """

    kind: Kind = "cosine"
    per: Literal["batch", "epoch"] = "batch"
    warm_up: Annotated[float, Field(ge=0)] = 1.0
    floor: Annotated[float, Field(ge=0)] = 0.0
    every: Positive = 20
    factor: Annotated[float, Field(gt=0)] = 0.1
    first: Positive = 10
    longer: Positive = 2
    power: Annotated[float, Field(gt=0)] = 0.9


def learning_rate(recipe: Recipe, progress: float) -> float:
    """Rate after ``progress`` epochs, fractions allowed."""
    schedule, rate = recipe.schedule, recipe.schedule.rate
    if rate.per == "epoch":
        progress = math.floor(progress)
    warm = min(1.0, progress / rate.warm_up + 0.02) if rate.warm_up else 1.0
    return rate.floor + (schedule.learning_rate - rate.floor) * warm * _curve(schedule, rate, progress)


def _curve(schedule: Schedule, rate: Rate, progress: float) -> float:
    """Share of the way from the floor to the greatest rate, 0 to 1."""
    share = min(1.0, progress / schedule.epochs)
    match rate.kind:
        case "cosine":
            return _half_cosine(share)
        case "warm_restarts":
            return _half_cosine(_in_period(rate, progress))
        case "step":
            return float(rate.factor ** (math.floor(progress) // rate.every))
        case "poly":
            return float((1 - share) ** rate.power)
        case "constant":
            return 1.0


def _half_cosine(share: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * share))


def _in_period(rate: Rate, progress: float) -> float:
    """How far the current period is through, 0 to below 1."""
    begin, length = 0.0, float(rate.first)
    while progress >= begin + length:
        begin, length = begin + length, length * rate.longer
    return (progress - begin) / length
