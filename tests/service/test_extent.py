"""Lengths in a slice and in space, against every pair of points."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from service import extent
from service.extent import axes, longest, outline, rim

VOLUMES = arrays.arrays(np.uint8, st.tuples(*[st.integers(1, 6)] * 3), elements=st.integers(0, 1))
SIDES = st.floats(0.1, 3)


def of(volume: NDArray[np.uint8], spacing: tuple[float, float, float]) -> float:
    return longest((rim(plane, z) for z, plane in enumerate(volume) if plane.any()), spacing)


def test_one_pixel_is_one_pixel_long() -> None:
    assert axes(np.array([[3, 4]], np.int32), (1, 1)) == pytest.approx((1, 1))
    assert axes(np.array([[3, 4]], np.int32), (0.5, 0.25)) == pytest.approx((0.5, 0.25))
    assert axes(np.array([[0, 0], [9, 0]], np.int32), (1, 1)) == pytest.approx((10, 1))


@given(st.integers(1, 9), st.integers(0, 2), SIDES, SIDES, SIDES)
def test_a_row_of_voxels_is_as_long_as_their_number_or_as_one_is_wide(
    n: int, axis: int, x: float, y: float, z: float
) -> None:
    shape = [1, 1, 1]
    shape[2 - axis] = n
    row = np.ones(shape, np.uint8)
    assert of(row, (x, y, z)) >= n * (x, y, z)[axis] - 1e-6
    assert of(row, (x, y, z)) <= math.hypot(n * (x, y, z)[axis], max(x, y, z)) + 1e-6
    assert of(np.ones((1, 1, 1), np.uint8), (x, y, z)) == pytest.approx(max(x, y, z), rel=1e-6)


@given(VOLUMES.filter(lambda volume: bool(volume.any())), SIDES, SIDES, SIDES)
def test_the_longest_axis_is_the_longest_of_all_pairs(volume: NDArray[np.uint8], x: float, y: float, z: float) -> None:
    centres = np.argwhere(volume)[:, ::-1].astype(float)
    faces = np.concatenate([centres + step * np.eye(3)[axis] for axis in range(3) for step in (-0.5, 0.5)]) * (x, y, z)
    every = np.linalg.norm(faces[:, None] - faces[None], axis=-1).max()
    assert of(volume, (x, y, z)) == pytest.approx(every, rel=1e-5)


def test_many_points_are_compared_in_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    z, y, x = np.mgrid[:24, :24, :24] - 11.5
    ball = (x**2 + y**2 + z**2 <= 11.5**2).astype(np.uint8)
    whole = of(ball, (1, 1, 1))
    monkeypatch.setattr(extent, "HELD", 100)
    assert of(ball, (1, 1, 1)) == pytest.approx(whole, rel=1e-9)
    assert whole == pytest.approx(23, abs=1)


def test_the_outline_is_that_of_the_largest_part() -> None:
    plane = np.zeros((9, 9), np.uint8)
    plane[0, 0] = 1
    plane[3:7, 3:8] = 1
    assert set(map(tuple, outline(plane).tolist())) == {(3, 3), (7, 3), (3, 6), (7, 6)}
