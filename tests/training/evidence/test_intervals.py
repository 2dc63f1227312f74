"""Figures with intervals: the same to the digit every time, and by hand where that is possible."""

from __future__ import annotations

import numpy as np
import pytest

from training.evidence.intervals import known, mean, ratio, resampled

VALUES = [0.0, 0.5, 1.0, 0.25, 0.75]


def test_the_same_rows_give_the_same_figures() -> None:
    assert mean("dice", VALUES, "squares") == mean("dice", VALUES, "squares")
    found = mean("dice", VALUES, "squares")
    assert found is not None
    assert (found.value, found.n, found.on) == (0.5, 5, "squares")
    assert found.interval is not None
    assert 0 <= found.interval[0] < 0.5 < found.interval[1] <= 1


def test_groups_are_drawn_as_a_whole() -> None:
    """Two groups of equal means: whichever is drawn, the mean stays."""
    found = mean("dice", [0.0, 1.0, 0.0, 1.0], "squares", ["a", "a", "b", "b"])
    assert found is not None
    assert found.interval == (0.5, 0.5)


def test_a_ratio_is_of_sums() -> None:
    found = ratio("recall", [1, 0, 2], [1, 1, 2], "squares")
    assert found is not None
    assert found.value == 0.75
    assert ratio("recall", [0, 0], [0, 0], "squares") is None


def test_any_statistic_of_rows() -> None:
    pairs = np.array([[0.1, 1.0], [0.9, 1.0]])
    assert resampled("most", pairs, lambda drawn: float(drawn[:, 1].max()), "x").interval == (1.0, 1.0)


def test_nothing_gives_no_figure() -> None:
    one = mean("dice", VALUES, "squares")
    assert known([None, one, mean("dice", [], "squares")]) == (one,)


@pytest.mark.parametrize("seed", range(3))
def test_the_interval_holds_the_value(seed: int) -> None:
    values = np.random.default_rng(seed).random(20).tolist()
    found = mean("dice", values, "squares")
    assert found is not None
    assert found.interval is not None
    assert found.interval[0] <= found.value <= found.interval[1]


def test_of_one_image_or_one_patient_no_interval_is_known() -> None:
    alone = mean("dice", [0.5], "squares"), mean("dice", [0.25, 0.75], "squares", ["a", "a"])
    for found in (*alone, ratio("recall", [1], [2], "squares")):
        assert found is not None
        assert (found.value, found.interval) == (0.5, None)
