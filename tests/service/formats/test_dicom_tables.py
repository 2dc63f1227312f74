"""Tables cost no more than what they give."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import UnusableImage
from service.formats.dicom_palette import MOST_BYTES, _expanded
from service.formats.display import Lut

FIVE = (5, 0, 16)


def words(*numbers: int) -> bytes:
    return np.array(numbers, "<u2").tobytes()


def test_segments_of_each_kind() -> None:
    assert _expanded(words(0, 2, 7, 9, 1, 2, 3, 2, 1, 0, 0), (6, 0, 16), True) == [7, 9, 6, 3, 7, 9]


def test_zeros_at_the_end_are_no_segments() -> None:
    assert _expanded(words(0, 1, 7, 1, 4, 3, 0, 0, 0, 0), FIVE, True) == [7, 6, 5, 4, 3]


@pytest.mark.parametrize("nothing", [(0, 0), (1, 0, 4), (2, 0, 0, 0)])
def test_segments_of_nothing(nothing: tuple[int, ...]) -> None:
    with pytest.raises(UnusableImage, match="colour table has a segment of nothing"):
        _expanded(words(*nothing, 0, 1, 7), FIVE, True)


def test_a_table_that_is_too_long() -> None:
    with pytest.raises(UnusableImage, match="a colour table of 524290 bytes"):
        _expanded(bytes(MOST_BYTES + 2), FIVE, True)


@given(st.lists(st.integers(0, 65535), min_size=1, max_size=9), *[st.integers(-20, 20)] * 3)
def test_entries_between_two_values(entries: list[int], first: int, one: int, other: int) -> None:
    lut, low, high = Lut(first, np.array(entries, np.uint16), 16), min(one, other), max(one, other)
    met = lut(np.arange(low, high + 1, dtype=np.float64))
    assert lut.between(low, high) == (met.min(), met.max())
