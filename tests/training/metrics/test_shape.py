"""Solidity on pixel centres: published figures, exactness, and what is left out."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra.numpy import arrays
from scipy.spatial import Delaunay, QhullError

from tests.training.drawn import blobs, crescent, disc, ellipse, ring, square
from training.metrics.shape import Shape, shape_of, solidity


@pytest.mark.parametrize("mask", [disc(8), disc(30), ellipse(40, 14, 33), ellipse(20, 7, 33), square(21)])
def test_convex_shapes_are_solid(mask: np.ndarray) -> None:
    assert solidity(mask) >= 0.99


def test_a_crescent_is_not() -> None:
    assert solidity(crescent()) < 0.8
    assert solidity(crescent(40, 40, 22)) == pytest.approx(0.529, abs=0.02)


def test_two_blobs_as_one_region_and_as_two() -> None:
    """0.611 as one, for a gap and a size of which only the ratio matters."""
    assert solidity(blobs(16, 22)) == pytest.approx(0.611, abs=0.02)
    assert shape_of(blobs(16, 22)) == Shape(1.0, 2, 0)


def test_a_hole_is_counted() -> None:
    found = shape_of(ring(25, 10))
    assert found.hole_area == disc(10).sum()
    assert found.solidity == pytest.approx(ring(25, 10).sum() / disc(25).sum(), abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(arrays(np.bool_, (7, 9)))
def test_the_hull_is_exact(mask: np.ndarray) -> None:
    points = np.argwhere(mask)
    try:
        hull = Delaunay(points)
    except (QhullError, ValueError):
        return
    # A third of a cell lies between a grid point and the next line through others: rounding does not decide.
    inside = hull.find_simplex(np.argwhere(np.ones_like(mask)), tol=1e-6) >= 0
    assert solidity(mask) == pytest.approx(len(points) / inside.sum())


@given(arrays(np.bool_, (7, 9)))
def test_neither_turning_nor_mirroring_nor_shifting_matters(mask: np.ndarray) -> None:
    wanted = pytest.approx(solidity(mask), nan_ok=True)
    assert solidity(np.rot90(mask)) == wanted
    assert solidity(mask[::-1]) == wanted
    assert solidity(np.pad(mask, ((3, 0), (0, 5)))) == wanted


@pytest.mark.parametrize("mask", [np.eye(9, dtype=bool), np.ones((1, 9), bool), np.ones((1, 1), bool)])
def test_lines_and_points_are_solid(mask: np.ndarray) -> None:
    assert solidity(mask) == 1


def test_a_line_with_a_gap_is_not() -> None:
    assert solidity(np.array([[True, False, True, True]])) == 0.75


def test_specks_are_left_out_and_parts_weigh_by_their_area() -> None:
    mask = np.zeros((128, 128), bool)
    mask[:4, :4] = True  # 16 pixels are a speck
    mask |= disc(10, 100, 100) | crescent()
    one, other = disc(10, 100, 100), crescent()
    found = shape_of(mask)
    assert found.parts == 2
    wanted = (solidity(one) * one.sum() + solidity(other) * other.sum()) / (one.sum() + other.sum())
    assert found.solidity == pytest.approx(wanted)
    assert shape_of(mask, speck=15).parts == 3


def test_nothing_has_no_shape() -> None:
    nothing = np.zeros((8, 8), bool)
    assert math.isnan(solidity(nothing))
    found = shape_of(nothing)
    assert math.isnan(found.solidity)
    assert (found.parts, found.hole_area) == (0, 0)
