"""Distances in mm against a computation by all pairs, with a spacing that differs by axis, in planes and volumes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from training.metrics.surface import hd95, surface_dice

SHAPES = [((6, 7), (0.5, 1.3)), ((4, 4, 5), (3.0, 0.7, 0.9))]
# Between the distances that these spacings give, so that rounding decides nothing.
TOLERANCE = 1.017


def _border(mask: np.ndarray) -> np.ndarray:
    """Places of the pixels with a neighbour outside, by looking at each."""
    padded = np.pad(mask, 1)
    places = []
    for place in np.argwhere(padded):
        steps = [sign * row for row in np.eye(mask.ndim, dtype=int) for sign in (1, -1)]
        if not all(padded[tuple(place + step)] for step in steps):
            places.append(place - 1)
    return np.array(places)


def _distances(guess: np.ndarray, truth: np.ndarray, spacing: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    one, other = (_border(mask) * np.array(spacing) for mask in (guess, truth))
    table = np.linalg.norm(one[:, None] - other[None], axis=-1)
    return table.min(axis=1), table.min(axis=0)


@pytest.mark.parametrize(("shape", "spacing"), SHAPES, ids=["plane", "volume"])
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_both_are_what_all_pairs_give(shape: tuple[int, ...], spacing: tuple[float, ...], data: st.DataObject) -> None:
    guess, truth = (data.draw(arrays(np.bool_, shape)) for _ in range(2))
    assume(guess.any() and truth.any())
    there, back = _distances(guess, truth, spacing)
    wanted = max(np.quantile(there, 0.95), np.quantile(back, 0.95))
    assert hd95(guess, truth, spacing) == pytest.approx(wanted, abs=1e-4)
    assert hd95(truth, guess, spacing) == pytest.approx(wanted, abs=1e-4)
    within = np.concatenate([there, back]) <= TOLERANCE
    assert surface_dice(guess, truth, spacing, tolerance=TOLERANCE) == pytest.approx(within.mean(), abs=1e-6)


def test_a_shift_costs_what_the_spacing_says() -> None:
    mask = np.zeros((20, 20), bool)
    mask[5:12, 4:10] = True
    assert hd95(np.roll(mask, 3, axis=0), mask, (0.5, 4.0)) == pytest.approx(1.5)
    assert hd95(np.roll(mask, 3, axis=1), mask, (0.5, 4.0)) == pytest.approx(12)
    assert surface_dice(np.roll(mask, 1, axis=0), mask, (0.5, 4.0), tolerance=0.6) == 1


def test_the_truth_lies_on_itself_even_at_the_border_of_the_picture() -> None:
    everything = np.ones((4, 5), bool)
    assert hd95(everything, everything, (1, 1)) == 0
    assert surface_dice(everything, everything, (1, 1), tolerance=0) == 1


def test_one_side_empty_has_no_distance_and_both_empty_have_none_to_cover() -> None:
    nothing, something = np.zeros((4, 4), bool), np.eye(4, dtype=bool)
    for guess, truth in ((nothing, something), (something, nothing)):
        assert math.isnan(hd95(guess, truth, (1, 1)))
        assert math.isnan(surface_dice(guess, truth, (1, 1), tolerance=1))
    assert hd95(nothing, nothing, (1, 1)) == 0
    assert surface_dice(nothing, nothing, (1, 1), tolerance=1) == 1


@pytest.mark.parametrize("shapes", [((4, 4), (4, 5)), ((4,), (4,))])
def test_masks_of_different_grids(shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    one, other = (np.ones(shape, bool) for shape in shapes)
    with pytest.raises(ValueError, match=r"Found masks of shapes .*; wanted the same, with two or three axes\. Bring"):
        hd95(one, other, (1, 1))


@pytest.mark.parametrize("spacing", [(1.0,), (1.0, 0.0), (1.0, math.nan), (1.0, math.inf)])
def test_a_spacing_that_is_none(spacing: tuple[float, ...]) -> None:
    mask = np.ones((3, 3), bool)
    with pytest.raises(
        ValueError, match=r"Found spacing .* for 2 axes; wanted a positive number of mm for each\. Leave"
    ):
        surface_dice(mask, mask, spacing, tolerance=1)


@pytest.mark.parametrize("tolerance", [-1.0, math.nan])
def test_a_tolerance_that_is_none(tolerance: float) -> None:
    mask = np.ones((3, 3), bool)
    with pytest.raises(ValueError, match=r"Found a tolerance of .* mm; wanted 0 or more\. Give"):
        surface_dice(mask, mask, (1, 1), tolerance=tolerance)
