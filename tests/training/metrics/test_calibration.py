"""Reliability bins and the expected calibration error."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from training.metrics.calibration import reliability, top_label

PROBABILITIES = arrays(np.float64, 12, elements=st.floats(0, 1))
TRUTHS = arrays(np.bool_, 12)


def test_bins_of_a_few_values() -> None:
    found = reliability(np.array([0.1, 0.3, 0.35, 1.0]), np.array([0, 1, 0, 1]), bins=4)
    assert found.counts.tolist() == [1, 2, 0, 1]
    assert found.edges.tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert found.confidence == pytest.approx([0.1, 0.325, math.nan, 1], nan_ok=True)
    assert found.frequency == pytest.approx([0, 0.5, math.nan, 1], nan_ok=True)
    assert found.error == pytest.approx((1 * 0.1 + 2 * 0.175 + 0) / 4)


def test_one_half_of_which_half_are_right_is_calibrated() -> None:
    truth = np.arange(100).reshape(10, 10) % 2
    assert reliability(np.full((10, 10), 0.5), truth).error == 0
    assert reliability(np.full((10, 10), 0.9), truth).error == pytest.approx(0.4)


@given(PROBABILITIES, TRUTHS, st.integers(1, 20))
def test_the_error_lies_between_the_overall_gap_and_the_mean_gap(p: np.ndarray, truth: np.ndarray, bins: int) -> None:
    error = reliability(p, truth, bins).error
    assert abs(p.mean() - truth.mean()) - 1e-9 <= error <= np.abs(p - truth).mean() + 1e-9


@given(PROBABILITIES, TRUTHS)
def test_bins_of_images_add_up_to_those_of_all_pixels(p: np.ndarray, truth: np.ndarray) -> None:
    parts = reliability(p[:5], truth[:5]) + reliability(p[5:], truth[5:])
    whole = reliability(p, truth)
    assert parts.counts.tolist() == whole.counts.tolist()
    assert parts.error == pytest.approx(whole.error)


def test_categories_are_calibrated_by_their_highest_probability() -> None:
    confidence, right = top_label(np.array([[0.7, 0.2, 0.1], [0.2, 0.3, 0.5]]), [0, 1])
    assert confidence.tolist() == [0.7, 0.5]
    assert right.tolist() == [True, False]


def test_nothing_has_no_error() -> None:
    assert math.isnan(reliability(np.zeros(0), np.zeros(0)).error)


@pytest.mark.parametrize("value", [-0.1, 1.1, math.nan])
def test_logits_are_no_probabilities(value: float) -> None:
    with pytest.raises(ValueError, match=r"Found a value that is no probability; wanted 0 to 1\. Apply sigmoid"):
        reliability(np.array([0.5, value]), np.array([0, 1]))


def test_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match=r"Found probabilities of shape \(2,\) for a truth of \(3,\); wanted the same"):
        reliability(np.zeros(2), np.zeros(3))
    with pytest.raises(ValueError, match=r"Found 0 bins; wanted at least one\. 15 are usual"):
        reliability(np.zeros(2), np.zeros(2), bins=0)
    with pytest.raises(ValueError, match=r"Found 15 and 10 bins; wanted as many\. Bin all images alike"):
        reliability(np.zeros(2), np.zeros(2)) + reliability(np.zeros(2), np.zeros(2), bins=10)
