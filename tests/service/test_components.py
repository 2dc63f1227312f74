"""Connected components, in a slice and through slices."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from service.components import components
from service.image import Region, paste

VOLUMES = arrays.arrays(bool, st.tuples(st.integers(1, 4), st.integers(1, 7), st.integers(1, 7)))


def painted(shape: tuple[int, ...], spatial: bool, present: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Each component's number on its voxels; overlapping ones would show as a wrong count."""
    numbers = np.zeros(shape, np.int32)
    for n, one in enumerate(components(present.astype(np.uint8), 1, spatial=spatial), start=1):
        assert Region.around(one.pixels) == Region(0, 0, one.region.width, one.region.height, 0, one.region.depth)
        here = numbers[one.region.slices]
        assert not here[one.pixels > 0].any()
        paste(np.where(one.pixels > 0, n, here).astype(np.int32), one.region, numbers)
    return numbers


def flooded(present: NDArray[np.bool_], spatial: bool) -> NDArray[np.int32]:
    """The same by brute force: the smallest number spreads to its neighbours until nothing moves."""
    numbers = np.where(present, np.arange(1, present.size + 1).reshape(present.shape), 0)
    while True:
        spread = numbers.copy()
        for dz in (-1, 0, 1) if spatial else (0,):
            for dy in (-1, 0, 1):
                for dx in (-1, 0, 1):
                    moved = shifted(numbers, (dz, dy, dx))
                    better = present & (moved > 0) & (moved < spread)
                    spread[better] = moved[better]
        if np.array_equal(spread, numbers):
            return numbers.astype(np.int32)
        numbers = spread


def shifted(numbers: NDArray[Any], by: tuple[int, int, int]) -> NDArray[Any]:
    padded = np.pad(numbers, 1)
    z, y, x = (slice(1 + d, 1 + d + n) for d, n in zip(by, numbers.shape, strict=True))
    return padded[z, y, x]


@given(VOLUMES, st.booleans())
def test_components_are_those_of_flooding(present: NDArray[np.bool_], spatial: bool) -> None:
    numbers, wanted = painted(present.shape, spatial, present), flooded(present, spatial)
    np.testing.assert_array_equal(numbers > 0, present)
    pairs = set(zip(numbers[present].tolist(), wanted[present].tolist(), strict=True))
    assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})


@pytest.mark.parametrize(("spatial", "count"), [(True, 1), (False, 4)])
def test_a_fork_that_joins_only_in_another_slice_is_one(spatial: bool, count: int) -> None:
    present = np.zeros((3, 5, 9), bool)
    present[0, 2, 1] = present[0, 2, 7] = True
    present[1, 2, 1:8] = True
    present[2, 3, 0] = True  # touches by a corner
    assert len(components(present.astype(np.uint8), 1, spatial=spatial)) == count


def test_a_gap_of_a_slice_parts() -> None:
    present = np.zeros((3, 2, 2), bool)
    present[0], present[2] = True, True
    assert [one.size for one in components(present.astype(np.uint8), 1, spatial=True)] == [4, 4]


@pytest.mark.parametrize(("left", "count"), [(1, 1), (2, 2), (5, 2)])
def test_parts_of_neighbouring_slices_join_where_they_touch_and_not_beside(left: int, count: int) -> None:
    present = np.zeros((2, 3, 8), bool)
    present[0, 1, 0] = present[1, 1, left] = True
    assert len(components(present.astype(np.uint8), 1, spatial=True)) == count


def test_nothing_has_no_components() -> None:
    assert components(np.zeros((3, 4, 5), np.uint8), 1, spatial=True) == []
