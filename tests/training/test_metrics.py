"""Metrics: conventions for empty masks, golden numbers, and intervals that hold."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from training.metrics import auroc, bootstrap_interval, dice, dice_per_image, iou

MASKS = arrays(np.bool_, (5, 6))
NOTHING, ALL = np.zeros((5, 6), bool), np.ones((5, 6), bool)


def test_empty_against_empty_is_right_and_against_something_is_wrong() -> None:
    assert dice(NOTHING, NOTHING) == iou(NOTHING, NOTHING) == 1
    assert dice(NOTHING, ALL) == iou(ALL, NOTHING) == 0


def test_half_of_a_mask() -> None:
    half = ALL.copy()
    half[:, 3:] = False
    assert dice(half, ALL) == pytest.approx(2 / 3)
    assert iou(half, ALL) == pytest.approx(1 / 2)


@given(MASKS, MASKS)
def test_dice_and_iou_say_the_same_and_do_not_mind_the_order(one: np.ndarray, other: np.ndarray) -> None:
    assert dice(one, other) == dice(other, one)
    assert 0 <= iou(one, other) <= dice(one, other) <= 1
    assert dice(one, other) == pytest.approx(2 * iou(one, other) / (1 + iou(one, other)))
    assert (dice(one, other) == 1) == np.array_equal(one, other)


@given(arrays(np.bool_, (3, 1, 5, 6)), arrays(np.bool_, (3, 1, 5, 6)))
def test_the_batch_of_torch_gives_what_numpy_gives(guess: np.ndarray, truth: np.ndarray) -> None:
    logits = torch.from_numpy(np.where(guess, 2.0, -2.0))
    found = dice_per_image(logits, torch.from_numpy(truth.astype(np.float32)))
    wanted = [dice(one, other) for one, other in zip(guess, truth, strict=True)]
    assert found.tolist() == pytest.approx(wanted, abs=1e-6)


def test_a_logit_of_0_is_background() -> None:
    assert dice_per_image(torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2)).item() == 1
    assert dice_per_image(torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2)).item() == 0


def test_the_interval_is_seeded_and_golden() -> None:
    values = np.linspace(0, 1, 50)
    low, high = bootstrap_interval(values)
    assert (low, high) == bootstrap_interval(values)
    assert (low, high) == pytest.approx((0.418, 0.582), abs=0.01)


def test_the_interval_covers_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(200):
        low, high = bootstrap_interval(rng.normal(0.5, 0.2, 60), draws=300)
        inside += low <= 0.5 <= high
    assert 0.88 <= inside / 200 <= 0.99


def test_an_interval_of_another_statistic() -> None:
    low, high = bootstrap_interval([0.0, 1.0, 2.0, 50.0], lambda sample: float(np.median(sample)))
    assert 0 <= low <= 1.5 <= high <= 50


@given(st.floats(-1e6, 1e6), st.integers(1, 20))
def test_equal_values_have_no_spread(value: float, count: int) -> None:
    assert bootstrap_interval([value] * count, draws=20) == pytest.approx((value, value))


def test_an_interval_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="Found no values; wanted at least one"):
        bootstrap_interval([])


def test_the_area_under_the_curve() -> None:
    assert auroc([0.1, 0.2, 0.8, 0.9], [False, False, True, True]) == 1
    assert auroc([0.9, 0.8, 0.2, 0.1], [False, False, True, True]) == 0
    assert auroc([0.1, 0.4, 0.35, 0.8], [False, False, True, True]) == pytest.approx(0.75)
    assert auroc([0.5, 0.5, 0.5], [False, True, True]) == 0.5


def test_the_area_needs_both_kinds() -> None:
    assert math.isnan(auroc([0.1, 0.2], [True, True]))
    assert math.isnan(auroc([], []))


@given(st.lists(st.tuples(st.integers(-50, 50), st.booleans()), min_size=2))
def test_the_area_knows_only_the_order(pairs: list[tuple[int, bool]]) -> None:
    scores, truth = [score for score, _ in pairs], [positive for _, positive in pairs]
    stretched = [3.0 * score + 7 for score in scores]
    opposite = [-score for score in scores]
    assert auroc(stretched, truth) == pytest.approx(auroc(scores, truth), nan_ok=True)
    assert auroc(opposite, truth) == pytest.approx(1 - auroc(scores, truth), nan_ok=True)
