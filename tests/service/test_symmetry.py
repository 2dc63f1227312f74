"""Differences between both breasts: known ones of a drawn torso, laws, and what cannot be told with the reason."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.image import Image, Mask
from service.measurement import Measurement
from service.symmetry import SYMMETRY, symmetry
from service.torso import REGIONS, Outlines

SIZE = (200, 180)
NAMES = dict(enumerate(REGIONS, start=1))
MIDDLE = 90
LENGTHS = ("nipple_to_midline_difference", "nipple_height_difference", "breast_retraction")


def torso(
    *, left: tuple[int, int] = (120, 110), right: tuple[int, int] = (60, 110), radii: tuple[int, int] = (20, 20)
) -> np.ndarray:
    """Neck, shoulders and trunk about column 90, breasts and nipples at (x, y); the patient's left is at the right."""
    labels = np.zeros(SIZE, np.uint8)
    shoulders = [(76, 10), (76, 30), (30, 50), (30, 190), (150, 190), (150, 50), (104, 30), (104, 10)]
    cv2.fillPoly(labels, [np.array(shoulders)], 1)
    for (x, y), radius, breast in ((left, radii[0], 2), (right, radii[1], 3)):
        cv2.circle(labels, (x, y), radius, breast, -1)
        cv2.circle(labels, (x, y), 5, breast + 2, -1)
    return labels


def figures(labels: np.ndarray, spacing: Any = (None, None, None)) -> dict[str, Measurement]:
    image = Image(np.zeros((1, *labels.shape, 3), np.uint8), spacing=spacing)
    return {one.name: one for one in symmetry(Mask(labels[None], NAMES), image)}


def outlines(labels: np.ndarray) -> Outlines:
    return Outlines({name: labels == id_ for id_, name in NAMES.items()}, (1.0, 1.0))


def test_what_is_alike_differs_by_nothing() -> None:
    found = figures(torso())
    assert {one.unit for one in found.values()} == {"px", "percent", ""}
    for name, one in found.items():
        wanted = 1 if name.startswith("solidity") and name != "solidity_body" else 0
        assert one.value == pytest.approx(wanted, abs=0.05) or name == "solidity_body"
        assert one.text.endswith(".")
    assert SYMMETRY.labels == set(REGIONS)


def test_known_differences_are_found() -> None:
    found = figures(torso(left=(124, 100), right=(62, 112), radii=(16, 20)))
    assert found["nipple_to_midline_difference"].value == pytest.approx(34 - 28, abs=0.5)
    assert found["nipple_height_difference"].value == pytest.approx(12, abs=0.5)
    assert found["breast_retraction"].value == pytest.approx(np.hypot(6, 12), abs=0.7)
    assert found["lower_contour_difference"].value == pytest.approx(16, abs=0.5)
    areas = [float((cv2.circle(np.zeros(SIZE, np.uint8), (90, 90), r, 1, -1)).sum()) for r in (16, 20)]
    assert found["breast_area_difference"].value == areas[1] - areas[0]
    assert found["breast_area_difference_share"].value == pytest.approx(100 * (1 - areas[0] / areas[1]))
    notch = outlines(torso()).notch
    apart = abs(np.hypot(34, 100 - notch[1]) - np.hypot(28, 112 - notch[1]))
    assert found["nipple_to_notch_difference"].value == pytest.approx(apart, abs=0.7)


def test_a_scale_gives_millimetres() -> None:
    labels = torso(left=(124, 100), radii=(16, 20))
    plain, scaled = figures(labels), figures(labels, (None, 0.5, 0.5))
    for name in LENGTHS:
        assert scaled[name].value == pytest.approx(plain[name].value / 2, rel=0.05)
        assert (plain[name].unit, scaled[name].unit) == ("px", "mm")
    area = "breast_area_difference"
    assert (scaled[area].value, scaled[area].unit) == (plain[area].value / 4, "mm2")
    assert scaled["breast_area_difference_share"].value == plain["breast_area_difference_share"].value


def test_pixels_that_are_not_square_count_as_they_are() -> None:
    labels = torso(left=(124, 100))
    wide = cv2.resize(labels, None, fx=2, fy=1, interpolation=cv2.INTER_NEAREST)
    one, other = figures(labels, (None, 1.0, 1.0)), figures(wide, (None, 1.0, 0.5))
    for name in (*LENGTHS, "nipple_to_notch_difference", "lower_contour_difference", "breast_area_difference"):
        assert one[name].value == pytest.approx(other[name].value, abs=0.6)


places = st.tuples(st.integers(112, 128), st.integers(96, 124))


@settings(max_examples=20, deadline=None)
@given(places, places, st.integers(12, 20), st.integers(12, 20))
def test_the_mirror_image_with_its_sides_changed_has_the_same_figures(
    left: tuple[int, int], other: tuple[int, int], one: int, two: int
) -> None:
    labels = torso(left=left, right=(2 * MIDDLE - other[0], other[1]), radii=(one, two))
    mirrored = np.array([0, 1, 3, 2, 5, 4], np.uint8)[labels[:, ::-1]]
    here, there = figures(labels), figures(np.ascontiguousarray(mirrored))
    for name in here:
        other_name = name.replace("left", "?").replace("right", "left").replace("?", "right")
        assert here[name].value == pytest.approx(there[other_name].value, abs=1e-6)


def test_a_leaning_torso_has_a_leaning_midline() -> None:
    turn = cv2.getRotationMatrix2D((90, 100), 5, 1)
    found = outlines(cv2.warpAffine(torso(), turn, SIZE[::-1], flags=cv2.INTER_NEAREST))
    assert found.midline is not None
    assert np.degrees(np.arctan(found.midline.lean)) == pytest.approx(5, abs=1)
    assert figures(cv2.warpAffine(torso(), turn, SIZE[::-1], flags=cv2.INTER_NEAREST))[
        "nipple_height_difference"
    ].value == pytest.approx(0, abs=1.5)


def test_the_notch_lies_between_neck_and_shoulders() -> None:
    found = outlines(torso())
    assert found.notch[0] == pytest.approx(MIDDLE, abs=0.5)
    assert 40 <= found.notch[1] <= 52


def test_raised_arms_and_hair_hide_the_notch_but_not_the_midline() -> None:
    labels = torso()
    labels[5:60, 10:25] = labels[5:60, 155:170] = 1
    labels[50:60, 10:170] = 1
    found = figures(labels)
    assert "the arms are raised" in found["nipple_to_notch_difference"].text
    assert found["nipple_to_notch_difference"].value is None
    assert found["nipple_to_midline_difference"].value == pytest.approx(0, abs=0.5)


def test_without_a_neck_there_is_no_notch() -> None:
    found = figures(torso()[46:])
    assert found["nipple_to_notch_difference"].value is None
    assert "neck and shoulders are not both in view" in found["nipple_to_notch_difference"].text
    assert found["nipple_to_midline_difference"].value == pytest.approx(0, abs=0.5)


def test_a_body_from_side_to_side_has_no_midline() -> None:
    found = figures(np.ascontiguousarray(torso()[52:, 32:149]))
    for name in (*LENGTHS, "nipple_to_notch_difference", "lower_contour_difference"):
        assert found[name].value is None
        assert "the outline of the body reaches the sides of the picture" in found[name].text
    assert found["breast_area_difference"].value == 0


def test_what_was_not_outlined_is_told() -> None:
    labels = torso()
    labels[labels == 4] = 2
    found = figures(labels)
    assert found["breast_retraction"].value is None
    assert found["breast_retraction"].text.startswith("No left nipple was outlined.")
    assert found["solidity_left_nipple"].value is None
    assert found["lower_contour_difference"].value == pytest.approx(0, abs=0.5)
    empty = figures(np.zeros(SIZE, np.uint8))
    assert all(one.value is None for one in empty.values())
    assert empty["breast_area_difference"].text.startswith("No left and right breast was outlined.")
    assert len(empty) == len(found) == 12


def test_a_volume_is_not_measured() -> None:
    image = Image(np.zeros((2, 20, 20, 3), np.uint8))
    (one,) = symmetry(Mask(np.zeros((2, 20, 20), np.uint8), NAMES), image)
    assert one.value is None
    assert "the image has several slices" in one.text
