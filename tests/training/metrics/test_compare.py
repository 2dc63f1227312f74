"""Intervals over groups, and tests of one method against another."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.metrics import bootstrap_interval
from training.metrics.compare import paired_test

VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=12)


def test_groups_of_one_image_each_are_images() -> None:
    values = np.linspace(0, 1, 30).tolist()
    alone = bootstrap_interval(values, groups=[str(one) for one in range(30)])
    assert alone == bootstrap_interval(values)


def test_copies_of_an_image_do_not_narrow_the_interval_of_groups() -> None:
    patients = np.random.default_rng(0).normal(0.7, 0.2, 20)
    copied, names = np.repeat(patients, 8).tolist(), np.repeat(np.arange(20), 8).astype(str).tolist()
    plain, grouped, alone = (
        high - low
        for low, high in (
            bootstrap_interval(copied),
            bootstrap_interval(copied, groups=names),
            bootstrap_interval(patients.tolist()),
        )
    )
    assert plain < 0.5 * grouped
    assert grouped == pytest.approx(alone, rel=0.01)


def test_whole_groups_are_drawn() -> None:
    """A group of one 0 and one 1 always has the mean 1/2."""
    assert bootstrap_interval([0, 1, 0, 1], groups=["a", "a", "b", "b"]) == (0.5, 0.5)


def test_as_many_groups_as_values() -> None:
    with pytest.raises(ValueError, match=r"Found 1 groups for 2 values; wanted one each\. Name the group"):
        bootstrap_interval([0, 1], groups=["a"])


def test_a_method_that_is_always_a_little_better() -> None:
    rng = np.random.default_rng(0)
    other = rng.uniform(0.2, 0.8, 40)
    found = paired_test((other + rng.uniform(0.01, 0.05, 40)).tolist(), other.tolist())
    assert 0.01 < found.interval[0] < found.difference < found.interval[1] < 0.05
    assert found.p_value < 1e-6
    assert (found.pairs, found.units) == (40, 40)


def test_five_wins_of_five() -> None:
    """Both exact tests: 2 of 2^5 signs are as extreme."""
    found = paired_test([5, 6, 7, 8, 9], [4, 4, 4, 4, 4])
    assert found.p_value == found.p_mean == pytest.approx(2 / 32)


def test_chance_alone_is_significant_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    found = [paired_test(*rng.random((2, 30)).tolist(), draws=1) for _ in range(150)]
    for name in ("p_value", "p_mean"):
        assert 0.02 <= np.mean([getattr(one, name) < 0.05 for one in found]) <= 0.09


def test_the_mean_and_the_ranks_are_different_questions() -> None:
    """Thirty small losses and five large wins: the mean is about zero, the ranks are not."""
    difference = [-0.02] * 30 + [0.15] * 5
    found = paired_test(difference, [0.0] * 35)
    assert found.interval[0] < 0 < found.interval[1]
    assert found.p_mean > 0.2
    assert found.p_value < 0.05


def test_exchanging_by_hand() -> None:
    """The sums of 1, 2, 4 with all eight signs are 7, 5, 3, 1 and their negatives."""
    assert paired_test([1, 2, 4], [0, 0, 0]).p_mean == 2 / 8
    assert paired_test([1, 2, -4], [0, 0, 0]).p_mean == 1
    assert paired_test([1, -2, 4], [0, 0, 0]).p_mean == 6 / 8


def test_drawn_exchanges_agree_with_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    values = rng.normal(0.3, 1, 11).tolist()
    exact = paired_test(values, [0.0] * 11, draws=1).p_mean
    monkeypatch.setattr("training.metrics.compare.EVERY_WAY", 0)
    assert paired_test(values, [0.0] * 11, draws=1).p_mean == pytest.approx(exact, abs=0.02)


def test_no_exchange_of_many_is_as_large_and_p_is_still_not_zero() -> None:
    assert paired_test([1.0] * 60, [0.0] * 60, draws=1).p_mean == 1 / 10000


@settings(max_examples=30, deadline=None)
@given(VALUES)
def test_a_method_against_itself(values: list[float]) -> None:
    found = paired_test(values, values, draws=5)
    assert (found.difference, found.interval, found.p_value, found.p_mean) == (0, (0, 0), 1, 1)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=5))
def test_swapping_the_methods_turns_the_sign(pairs: list[tuple[float, float]]) -> None:
    one, other = ([pair[side] for pair in pairs] for side in (0, 1))
    there, back = paired_test(one, other, draws=20), paired_test(other, one, draws=20)
    assert there.difference == pytest.approx(-back.difference, abs=1e-12)
    assert there.p_value == pytest.approx(back.p_value)
    assert there.p_mean == pytest.approx(back.p_mean)
    assert there.interval == pytest.approx((-back.interval[1], -back.interval[0]), abs=1e-12)
    assert 0 <= there.p_value <= 1


def test_images_that_one_method_has_no_value_for() -> None:
    found = paired_test([0.5, math.nan, 0.9], [0.4, 0.1, math.nan])
    assert found.pairs == 1
    assert found.difference == pytest.approx(0.1)


def test_groups_count_once() -> None:
    """Twenty patients of five images each, one of whom has no value for either method."""
    rng = np.random.default_rng(2)
    other, names = rng.random(100), np.repeat(np.arange(20), 5).astype(str).tolist()
    one = other + np.repeat(rng.normal(0, 0.1, 20), 5)
    other[:5] = math.nan
    grouped, plain = (paired_test(one.tolist(), other.tolist(), groups=groups) for groups in (names, None))
    assert (grouped.pairs, grouped.units, plain.units) == (95, 19, 95)
    assert grouped.p_value > plain.p_value
    assert grouped.p_mean > plain.p_mean
    assert np.ptp(grouped.interval) > 1.5 * np.ptp(plain.interval)


def test_what_does_not_pair_up() -> None:
    with pytest.raises(ValueError, match=r"Found 1 and 2 values; wanted as many, image by image\. Pair"):
        paired_test([1], [1, 2])
    with pytest.raises(ValueError, match=r"Found no pair of values; wanted at least one image that both measured"):
        paired_test([math.nan], [1])
    with pytest.raises(ValueError, match=r"Found 1 groups for 2 values; wanted one each\. Name"):
        paired_test([1, 2], [2, 2], groups=["a"])
