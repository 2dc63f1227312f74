"""Accuracy, confusion matrix and AUROC of each class against the rest."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.metrics.classify import accuracy, auroc, auroc_one_vs_rest, confusion_matrix

CASES = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1)


def test_rows_are_the_truth_and_columns_the_guess() -> None:
    found = confusion_matrix([0, 1, 1, 2], [0, 0, 1, 2], 3)
    assert found.tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 1]]


@given(CASES)
def test_the_diagonal_is_the_accuracy_and_rows_count_the_truth(pairs: list[tuple[int, int]]) -> None:
    guess, truth = zip(*pairs, strict=True)
    table = confusion_matrix(guess, truth, 3)
    assert table.sum() == len(pairs)
    assert table.sum(axis=1).tolist() == [truth.count(label) for label in range(3)]
    assert accuracy(guess, truth) == pytest.approx(np.trace(table) / table.sum())
    assert confusion_matrix(truth, guess, 3).tolist() == table.T.tolist()


def test_each_class_against_the_rest() -> None:
    """Scores of class 0 tell it apart, those of class 1 say nothing, class 2 is absent."""
    probabilities = np.array([[0.8, 0.1, 0.1], [0.7, 0.1, 0.2], [0.2, 0.1, 0.7], [0.1, 0.1, 0.8]])
    found = auroc_one_vs_rest(probabilities, [0, 0, 1, 1])
    assert found[:2] == [1, 0.5]
    assert math.isnan(found[2])


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=2))
def test_two_classes_have_one_area(pairs: list[tuple[float, bool]]) -> None:
    score, truth = np.array([one for one, _ in pairs]), [int(positive) for _, positive in pairs]
    first, second = auroc_one_vs_rest(np.stack([-score, score], axis=1), truth)
    assert first == pytest.approx(second, nan_ok=True)
    assert second == pytest.approx(auroc(score.tolist(), [bool(one) for one in truth]), nan_ok=True)


def test_cases_that_do_not_pair_up() -> None:
    for measure in (accuracy, lambda guess, truth: confusion_matrix(guess, truth, 2)):
        with pytest.raises(ValueError, match=r"Found 1 guesses for 2 cases; wanted one each\. Pair them"):
            measure([0], [0, 1])
    with pytest.raises(ValueError, match=r"Found 1 rows of probabilities for 2 cases; wanted one each\. Pair"):
        auroc_one_vs_rest(np.ones((1, 2)), [0, 1])


def test_ambiguous_cases_have_no_row() -> None:
    with pytest.raises(ValueError, match=r"Found class ids -1 to 1; wanted 0 to 1\. Leave ambiguous cases out"):
        confusion_matrix([0, 1], [-1, 1], 2)


def test_the_accuracy_of_nothing() -> None:
    with pytest.raises(ValueError, match=r"Found no cases; wanted at least one\. Measure something first"):
        accuracy([], [])
