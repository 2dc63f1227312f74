"""Learning rates: each curve at places that can be worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.recipe import Recipe
from training.schedules import learning_rate

KINDS = ("cosine", "constant", "step", "warm_restarts", "poly")


def recipe(rate: dict[str, Any], epochs: int = 100) -> Recipe:
    content = {
        "name": "tiny",
        "task": "whole",
        "network": {"path": "models.unet.tiny"},
        "dataset": {"path": "training.phantoms.tiny.cases"},
        "input": {"size": [32, 32]},
        "schedule": {"epochs": epochs, "learning_rate": 1.0, "rate": {"warm_up": 0, **rate}},
    }
    return Recipe.model_validate(content)


@pytest.mark.parametrize(
    ("rate", "values"),
    [
        ({"kind": "constant"}, {0: 1, 50: 1, 99.9: 1}),
        ({"kind": "step", "every": 20, "factor": 0.1}, {0: 1, 19.9: 1, 20: 0.1, 40: 0.01, 99: 1e-4}),
        ({"kind": "poly", "power": 0.9}, {0: 1, 50: 0.5**0.9, 100: 0}),
        ({"kind": "cosine", "floor": 0.2}, {0: 1, 50: 0.6, 100: 0.2}),
        ({"kind": "warm_restarts", "first": 10, "longer": 2}, {0: 1, 5: 0.5, 10: 1, 20: 0.5, 30: 1, 50: 0.5, 70: 1}),
        ({"kind": "cosine", "per": "epoch"}, {50: 0.5, 50.9: 0.5}),
        ({"kind": "constant", "warm_up": 4}, {0: 0.02, 2: 0.52, 4: 1}),
    ],
    ids=lambda one: one.get("kind", "") if isinstance(one, dict) else "",
)
def test_a_curve_at_places_known_by_hand(rate: dict[str, Any], values: dict[float, float]) -> None:
    for progress, value in values.items():
        assert learning_rate(recipe(rate), progress) == pytest.approx(value, abs=1e-9)


@given(st.sampled_from(KINDS), st.sampled_from(["batch", "epoch"]), st.floats(0, 40), st.floats(0, 0.5))
def test_a_rate_stays_between_floor_and_its_greatest(kind: str, per: str, progress: float, floor: float) -> None:
    found = learning_rate(recipe({"kind": kind, "per": per, "floor": floor, "first": 3}, epochs=40), progress)
    assert floor - 1e-12 <= found <= 1 + 1e-12
