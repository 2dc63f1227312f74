"""Where in the breast: told where it can be, else the reason why not."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.image import Image
from service.location import Location, Place, locate


def image(modality: str | None = "MR", laterality: str | None = None) -> Image:
    return Image(np.zeros((1, 8, 8, 1), np.uint8), modality=modality, laterality=laterality)


NIPPLE = (70.0, -90.0, 20.0)


def beside(hour: float, distance: float = 30.0) -> Place:
    """A place at that hour of the clock around the nipple, as a reader who faces the patient sees it, and deeper."""
    angle = hour / 12 * 2 * math.pi
    return NIPPLE[0] + distance * math.sin(angle), NIPPLE[1] + 40.0, NIPPLE[2] + distance * math.cos(angle)


@pytest.mark.parametrize("hour", range(1, 13))
@pytest.mark.parametrize("laterality", ["L", "R"])
def test_every_hour_of_either_breast(hour: int, laterality: str) -> None:
    assert locate(beside(hour), image(laterality=laterality), [NIPPLE]).clock_face == hour


@pytest.mark.parametrize(
    ("laterality", "hour", "quadrant"),
    [
        ("L", 2, "upper_outer"),
        ("L", 10, "upper_inner"),
        ("L", 4, "lower_outer"),
        ("L", 8, "lower_inner"),
        ("R", 10, "upper_outer"),
        ("R", 2, "upper_inner"),
        ("R", 8, "lower_outer"),
        ("R", 4, "lower_inner"),
    ],
)
def test_outer_is_away_from_the_other_breast(laterality: str, hour: int, quadrant: str) -> None:
    assert locate(beside(hour), image(laterality=laterality), [NIPPLE]).quadrant == quadrant


def test_of_two_nipples_the_nearest_counts_and_tells_the_side() -> None:
    right = (-NIPPLE[0], NIPPLE[1], NIPPLE[2])
    assert locate(beside(2), image(), [right, NIPPLE]).quadrant == "upper_outer"
    mirrored = (-beside(2)[0], *beside(2)[1:])
    assert locate(mirrored, image(), [right, NIPPLE]) == Location("upper_outer", 10)


@pytest.mark.parametrize(
    ("place", "about", "nipples", "said"),
    [
        (beside(2), image("MG", "L"), [NIPPLE], "a quadrant needs two"),
        (None, image(laterality="L"), [NIPPLE], "does not say how it lies"),
        (beside(2), image(laterality="L"), [], "nipple is not known"),
        (beside(2), image(), [NIPPLE], "which breast"),
        (beside(2), image(laterality="B"), [NIPPLE], "which breast"),
        (beside(2, 4.9), image(laterality="L"), [NIPPLE], "behind the nipple"),
    ],
)
def test_null_comes_with_its_reason(place: Place | None, about: Image, nipples: list[Place], said: str) -> None:
    location = locate(place, about, nipples)
    assert (location.quadrant, location.clock_face) == (None, None)
    assert said in str(location.reason)


@given(st.floats(0, 12), st.floats(6, 80), st.sampled_from("LR"))
def test_quadrant_and_clock_agree(hour: float, distance: float, laterality: str) -> None:
    location = locate(beside(hour, distance), image(laterality=laterality), [NIPPLE])
    assert location.clock_face is not None
    assert location.quadrant is not None
    upper, outer = location.quadrant.split("_")
    assert (location.clock_face in (9, 10, 11, 12, 1, 2, 3)) or upper == "lower"
    left_half = location.clock_face in (12, 1, 2, 3, 4, 5, 6)
    right_half = location.clock_face in (6, 7, 8, 9, 10, 11, 12)
    assert left_half if (outer == "outer") == (laterality == "L") else right_half
