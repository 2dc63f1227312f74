"""Lengths that are believed, and those that are not."""

import numpy as np
import pytest

from service.answers.parameters import read_parameters
from service.errors import BadParameter
from service.formats.lengths import LEAST_MM, MOST_MM, bounded, plausible
from service.image import Image
from service.source import Source


def image(spacing: tuple[float | None, ...], affine: np.ndarray | None = None) -> Image:
    source = Source("nifti", affine)
    return Image(np.zeros((2, 9, 9, 1), np.uint8), spacing, "nifti", "space", source=source)  # type: ignore[arg-type]


@pytest.mark.parametrize("length", [0, -1, 1e-160, LEAST_MM / 2, MOST_MM * 2, 1e308, float("inf"), float("nan")])
def test_lengths_that_cannot_be_are_unknown_and_flagged(length: float) -> None:
    assert not plausible(length)
    found = bounded(image((2.0, 0.5, length)))
    assert (found.spacing, found.spacing_source) == ((2.0, None, None), "none")
    assert [flag.code for flag in found.flags] == ["spacing_unusable"]
    assert bounded(image((length, 0.5, 0.5))).spacing == (None, 0.5, 0.5)
    assert bounded(found).flags == found.flags


@pytest.mark.parametrize("length", [LEAST_MM, 0.07, MOST_MM])
def test_others_are_left_alone(length: float) -> None:
    kept = image((length, length, None), np.eye(4))
    assert bounded(image((length, length, length))).spacing == (length,) * 3
    assert bounded(bounded(image((None, None, None)))).flags == ()
    assert bounded(kept).source is not None


@pytest.mark.parametrize("number", [float("inf"), float("nan"), 1e7, -1e38])
def test_a_place_far_away_is_none(number: float) -> None:
    affine = np.eye(4)
    affine[1, 3] = number
    found = bounded(image((1.0, 1.0, 1.0), affine))
    assert found.source is not None
    assert (found.source.affine, found.spacing) == (None, (1.0, 1.0, 1.0))
    assert [flag.code for flag in found.flags] == ["spacing_unusable"]


@pytest.mark.parametrize("text", ["1e-160", "1e-7", "0", "101", "nan", "2,1e-9,1"])
def test_of_a_caller_they_are_refused(text: str) -> None:
    with pytest.raises(BadParameter, match=r"in millimetres per pixel, 0\.000001 to 100"):
        read_parameters([("spacing", text)])
