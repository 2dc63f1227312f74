"""The local outlier factor: about 1 in a crowd, large for the lonely, untouched by scale and shift."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.training.datasets.tiny_files import blob, texture
from training.prepare.outliers import features, local_outlier_factor, outliers


def crowd(count: int = 60, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, (count, 3))


def test_the_lonely_one_has_the_greatest_factor() -> None:
    rows = np.vstack([crowd(), [[9, 9, 9]]])
    factor = local_outlier_factor(rows, 10)
    assert int(factor.argmax()) == 60
    assert factor[60] > 3
    assert 0.9 < np.median(factor) < 1.1


def test_the_factor_of_a_small_example_is_that_of_the_definition() -> None:
    """Two neighbours each: distances to the second are 2, 1, 2, 9, mean reachabilities 1.5, 2, 1.5, 8.5."""
    factor = local_outlier_factor(np.array([[0.0], [1.0], [2.0], [10.0]]), 2)
    density = np.array([1 / 1.5, 1 / 2, 1 / 1.5, 1 / 8.5])
    wanted = [
        (density[1] + density[2]) / 2 / density[0],
        (density[0] + density[2]) / 2 / density[1],
        (density[0] + density[1]) / 2 / density[2],
        (density[1] + density[2]) / 2 / density[3],
    ]
    assert factor == pytest.approx(wanted, rel=1e-6)


@given(st.floats(0.1, 100), st.floats(-50, 50))
def test_scale_and_shift_change_nothing(scale: float, shift: float) -> None:
    rows = crowd(30)
    assert local_outlier_factor(rows * scale + shift, 5) == pytest.approx(local_outlier_factor(rows, 5), rel=1e-5)


def test_copies_count_as_neighbours() -> None:
    assert np.isfinite(local_outlier_factor(np.vstack([np.zeros((30, 3)), crowd(10)]), 5)).all()


def test_the_share_is_rounded_down_and_none_is_none() -> None:
    rows = np.vstack([crowd(39), [[20, 0, 0]]])
    assert outliers(rows, 0.05).sum() == 2
    assert outliers(rows, 0.05)[39]
    assert not outliers(rows, 0.02).any()
    assert not outliers(rows, 0).any()


def test_too_few_pictures_are_told() -> None:
    for find in (lambda rows: outliers(rows, 0.05), local_outlier_factor):
        with pytest.raises(ValueError, match="Found 20 pictures with a lesion; wanted more than 20 to find outliers"):
            find(crowd(20))


def test_features_tell_pictures_apart_and_are_finite() -> None:
    one, other = (features(texture(seed), blob()) for seed in (1, 2))
    assert one.shape == (133,)
    assert np.isfinite(one).all()
    assert not np.array_equal(one, other)
    assert not np.array_equal(one, features(texture(1), blob((3, 3, 9, 9))))
