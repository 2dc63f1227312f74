"""Findings against shapes whose size is known."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from service.image import Image, Mask, Region
from service.measure import Finding, Findings, findings
from service.result import Part
from service.source import Source

NAMES = {1: "lesion", 2: "fat"}
SPACING = st.floats(0.05, 0.4)


def found(labels: NDArray[Any], parts: tuple[Part, ...] = (), **about: Any) -> tuple[Finding, ...]:
    """Findings of labels (height, width) or (depth, height, width)."""
    grid = labels[np.newaxis] if labels.ndim == 2 else labels
    image = Image(np.zeros((*grid.shape, 1), np.uint8), **about)
    return findings(Mask(grid.astype(np.uint8), NAMES), image, parts)


def ellipse(long: float, short: float, angle: float, spacing: tuple[float, float]) -> NDArray[np.bool_]:
    """Pixels with their centre inside an ellipse of these half axes (mm), turned by ``angle``; spacing is (y, x)."""
    dy, dx = spacing
    height, width = (2 * math.ceil(long / d) + 7 for d in spacing)
    y, x = np.mgrid[:height, :width]
    # Off the pixel grid, so that no symmetry helps.
    y, x = (y - height / 2 + 0.3) * dy, (x - width / 2 - 0.2) * dx
    along, across = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
    return np.asarray((along / long) ** 2 + (across / short) ** 2 <= 1)


@given(st.floats(5, 12), st.floats(0.4, 1), st.floats(0, math.pi), SPACING, SPACING)
def test_a_turned_ellipse_on_uneven_pixels(long: float, ratio: float, angle: float, dy: float, dx: float) -> None:
    short = long * ratio
    plane = ellipse(long, short, angle, (dy, dx))
    (one,) = found(plane, spacing=(None, dy, dx), spacing_source="user")
    assert one.area_mm2 == pytest.approx(math.pi * long * short, rel=0.03)
    assert one.area_mm2 == pytest.approx(plane.sum() * dy * dx)
    assert one.long_axis_mm == pytest.approx(2 * long, abs=1.5 * max(dy, dx))
    # Near a circle the long axis may lie anywhere, hence a share of the difference beside the pixels.
    assert one.short_axis_mm == pytest.approx(2 * short, abs=1.5 * max(dy, dx) + 0.01 * long)
    assert one.volume_ml is None


@given(st.integers(1, 30), st.integers(1, 30))
def test_a_rectangle_has_its_area_centroid_box_and_outline(width: int, height: int) -> None:
    plane = np.zeros((40, 50))
    plane[5 : 5 + height, 7 : 7 + width] = 1
    (one,) = found(plane)
    assert (one.id, one.label, one.area_px, one.slices) == (1, "lesion", width * height, (0, 1))
    assert one.box == (7, 5, 7 + width, 5 + height)
    assert one.centroid == pytest.approx((7 + (width - 1) / 2, 5 + (height - 1) / 2, 0))
    xs, ys = zip(*one.contour, strict=True)
    assert (min(xs), max(xs), min(ys), max(ys)) == (7, 6 + width, 5, 4 + height)
    assert len(one.contour) <= 4


@pytest.mark.parametrize("spacing", [(None, None, None), (1.0, None, None), (1.0, 0.5, None), (1.0, None, 0.5)])
def test_no_millimetres_without_spacing(spacing: Any) -> None:
    (one,) = found(np.ones((3, 4, 5)), spacing=spacing, depth_axis="space")
    assert (one.area_mm2, one.long_axis_mm, one.short_axis_mm, one.volume_ml) == (None, None, None, None)
    assert one.longest_mm is None
    assert one.long_axis_px > 0


def test_volume_is_that_of_space_only() -> None:
    ball = np.zeros((10, 20, 20))
    ball[2:7, 5:15, 5:15] = 1
    known = {"spacing": (2.0, 0.5, 0.4), "spacing_source": "nifti"}
    (one,) = found(ball, depth_axis="space", **known)
    assert one.volume_ml == pytest.approx(500 * 0.4 / 1000)
    assert (one.slices, one.area_px) == ((2, 7), 100)
    assert one.centroid == pytest.approx((9.5, 9.5, 4))
    over_time = found(ball, depth_axis="time", **known)
    assert len(over_time) == 5
    assert all(each.volume_ml is each.longest_mm is None for each in over_time)
    (flat,) = found(ball, depth_axis="space", spacing=(None, 0.5, 0.4))
    assert flat.volume_ml is None
    assert flat.area_mm2 == pytest.approx(20)


def rotation(first: float, second: float, third: float) -> NDArray[np.float64]:
    """Turned by these angles about z, y and z again."""
    turn = np.eye(3)
    for angle, (i, j) in ((first, (0, 1)), (second, (0, 2)), (third, (0, 1))):
        step = np.eye(3)
        step[[i, j], [i, j]] = math.cos(angle)
        step[i, j], step[j, i] = -math.sin(angle), math.sin(angle)
        turn = step @ turn
    return turn


ANGLE = st.floats(0, math.pi)


@settings(max_examples=25)
@given(st.tuples(*[st.floats(4, 8)] * 3), st.tuples(ANGLE, ANGLE, ANGLE), st.tuples(*[st.floats(0.3, 0.9)] * 3))
def test_a_turned_ellipsoid_on_uneven_voxels(half: Any, angles: Any, spacing: Any) -> None:
    turn = rotation(*angles)
    form = turn @ np.diag(np.array(half) ** -2.0) @ turn.T
    sides = [2 * math.ceil(max(half) / d) + 5 for d in spacing]
    z, y, x = (np.arange(n) - n / 2 + 0.3 for n in sides)
    at = np.stack(np.meshgrid(z * spacing[0], y * spacing[1], x * spacing[2], indexing="ij"), -1)
    inside = np.einsum("...i,ij,...j->...", at[..., ::-1], form, at[..., ::-1]) <= 1
    (one,) = found(inside, spacing=spacing, spacing_source="nifti", depth_axis="space")
    assert one.volume_ml == pytest.approx(4 / 3 * math.pi * math.prod(half) / 1000, rel=0.05)
    # Parallel cuts of an ellipsoid are alike and the one through its centre is the largest.
    short, long = sorted(1 / np.sqrt(np.linalg.eigvalsh(form[:2, :2])))
    # The nearest slice lies up to half a slice beside the centre.
    tolerance = 1.5 * max(spacing[1:]) + 2 * long * (1 - math.sqrt(1 - (spacing[0] / 2 / min(half)) ** 2))
    assert one.long_axis_mm == pytest.approx(2 * long, abs=tolerance)
    assert one.short_axis_mm == pytest.approx(2 * short, abs=tolerance + 0.01 * long)
    assert one.area_mm2 == pytest.approx(math.pi * long * short, rel=0.06)
    # Over planes of every direction, the cut along its longest axis is there, however it lies in the slices.
    assert one.longest_mm == pytest.approx(2 * max(half), abs=1.5 * max(spacing))
    assert one.longest_mm >= one.long_axis_mm - 1e-4


def test_the_centroid_lies_in_the_patient_where_the_source_says_how() -> None:
    labels = np.zeros((3, 8, 9))
    labels[1, 2:5, 4:7] = 1
    assert found(labels, depth_axis="space")[0].centroid_mm is None
    affine = np.array([[0, -0.5, 0, 10], [0.4, 0, 0, -20], [0, 0, -2, 5], [0, 0, 0, 1.0]])
    (one,) = found(labels, depth_axis="space", source=Source("nifti", affine))
    assert one.centroid == pytest.approx((5, 3, 1))
    assert one.centroid_mm == pytest.approx((10 - 0.5 * 3, -20 + 0.4 * 5, 5 - 2))


def test_frames_over_time_lie_at_one_place() -> None:
    labels = np.zeros((3, 8, 9))
    labels[2, 2:5, 4:7] = 1
    (one,) = found(labels, depth_axis="time", source=Source("dicom", np.diag([0.5, 0.4, 1.0, 1.0])))
    assert one.centroid == pytest.approx((5, 3, 2))
    assert one.centroid_mm == pytest.approx((2.5, 1.2, 0))


def test_a_nipple_in_the_mask_places_the_other_findings() -> None:
    labels = np.zeros((1, 60, 60))
    labels[0, 28:32, 28:32] = 2
    labels[0, 4:14, 44:54] = 1
    image = Image(
        np.zeros((1, 60, 60, 1), np.uint8),
        laterality="L",
        source=Source("dicom", np.array([[1, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1.0]])),
    )
    lesion, nipple = findings(Mask(labels.astype(np.uint8), {1: "lesion", 2: "left_nipple"}), image)
    assert (lesion.location.quadrant, lesion.location.clock_face) == ("upper_outer", 1)
    assert nipple.location.quadrant is None


def test_the_largest_slice_is_measured_by_its_largest_part() -> None:
    volume = np.zeros((2, 40, 40))
    volume[0, 2:30, 2:10] = 1
    # In the largest slice a wide block and, apart from it, a small jagged piece; both join through slice 0.
    volume[1, 2:30, 2:12] = 1
    volume[0, 28:30, 2:20] = 1
    volume[1, 28, 17] = volume[1, 29, 18] = volume[1, 28, 19] = volume[1, 27, 18] = 1
    (one,) = found(volume, depth_axis="space")
    assert one.area_px == 284
    assert one.long_axis_px == pytest.approx(math.hypot(28, 10), abs=1)
    assert set(one.contour) == {(2, 2), (11, 2), (2, 29), (11, 29)}


def test_findings_come_by_falling_size_over_all_labels() -> None:
    plane = np.zeros((20, 20))
    plane[0:2, 0:2], plane[5:10, 5:10], plane[15:18, 15:18] = 1, 2, 1
    out = found(plane)
    assert [(one.id, one.label, one.area_px) for one in out] == [(1, "fat", 25), (2, "lesion", 9), (3, "lesion", 4)]


@pytest.mark.parametrize(
    ("rows", "columns", "touches"),
    [
        (slice(0, 3), slice(4, 6), True),
        (slice(17, 20), slice(4, 6), True),
        (slice(4, 6), slice(0, 3), True),
        (slice(4, 6), slice(27, 30), True),
        (slice(1, 19), slice(1, 29), False),
    ],
)
def test_touches_border_is_about_the_pictures_edge(rows: slice, columns: slice, touches: bool) -> None:
    plane = np.zeros((20, 30))
    plane[rows, columns] = 1
    (one,) = found(plane)
    assert one.touches_border is touches


def test_score_is_the_mean_over_all_parts_that_are_known() -> None:
    labels = np.zeros((3, 4, 4))
    labels[0, 1:3, 1:3] = labels[1, 1:3, 1:3] = 1
    labels[1, 1, 1] = 0
    first = Part("lesion", Region(1, 1, 3, 3), (1, 1, 0), 4, 2.0)
    second = Part("lesion", Region(1, 1, 3, 3, 1, 2), (2, 1, 1), 3, 2.7)
    elsewhere = Part("lesion", Region(0, 0, 1, 1, 2, 3), (0, 0, 2), 1, 1.0)
    (one,) = found(labels, (first, second, elsewhere), depth_axis="space")
    assert one.score == pytest.approx(4.7 / 7)
    (one,) = found(labels, (first,), depth_axis="space")
    assert one.score == pytest.approx(0.5)
    (one,) = found(labels, (elsewhere,), depth_axis="space")
    assert one.score is None


def test_an_empty_mask_has_no_findings() -> None:
    assert found(np.zeros((4, 4))) == ()


def test_findings_that_wait_are_the_same() -> None:
    labels = np.zeros((1, 12, 12), np.uint8)
    labels[0, 2:5, 2:5] = labels[0, 8:10, 8:10] = 1
    mask, image = Mask(labels, {1: "lesion"}), Image(np.zeros((1, 12, 12, 1), np.uint8))
    later, now = Findings(mask, image, ()), findings(mask, image)
    assert len(later) == 2
    assert (tuple(later), later[0], later[:1]) == (now, now[0], now[:1])
