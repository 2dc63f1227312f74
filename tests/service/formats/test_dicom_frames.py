"""The frames of one instance: sorted where they have places, in order of time, or pictures of their own."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread

from service.errors import BadParameter, UnusableImage
from service.formats.dicom import read_instance
from service.formats.options import Options
from tests.service.formats.dicom_files import (
    decimal,
    enhanced_mr,
    instance,
    placed,
    ramp,
    saved,
)
from tests.service.formats.series import AXIAL, NONE, codes, volume


def test_frames_of_an_enhanced_instance_are_sorted() -> None:
    order = (3, 0, 4, 1, 2)
    made = enhanced_mr(volume()[list(order)], [(0, 0, 2 * z) for z in order])
    image = read_instance(saved(made), Options(raw=frozenset(("MR",))))
    np.testing.assert_array_equal(image.slab(0, 5)[..., 0], volume())
    assert image.source.dicom.frames == ((0, 2), (0, 4), (0, 5), (0, 1), (0, 3))
    assert image.spacing == (2.0, 0.7, 0.5)
    np.testing.assert_allclose(image.source.at(2, 3, 4), (1.0, 2.1, 8.0))


def test_windows_and_rescaling_of_single_frames() -> None:
    made = enhanced_mr(volume(2), [(0, 0, 0), (0, 0, 2)])
    for number, group in enumerate(made.PerFrameFunctionalGroupsSequence):
        extra = dcmread(
            io.BytesIO(saved(instance(ramp(8, 8), RescaleSlope=decimal(number + 1)[0], RescaleIntercept=decimal(5)[0])))
        )
        group.PixelValueTransformationSequence = [extra]
    image = read_instance(saved(made), Options(raw=frozenset(("MR",))))
    np.testing.assert_allclose(image.slab(1, 2)[0, ..., 0], volume()[1] * 2.0 + 5)


def test_fewer_descriptions_than_frames() -> None:
    made = enhanced_mr(volume(), [(0, 0, z) for z in range(3)])
    with pytest.raises(UnusableImage, match="describes 3 of its 5 frames"):
        read_instance(saved(made), NONE)


@pytest.mark.parametrize(
    ("about", "axis", "flagged"),
    [({"Modality": "US"}, "time", False), ({"FrameTime": decimal(40)[0]}, "time", False), ({}, "none", True)],
)
def test_frames_without_a_place(about: dict[str, Any], axis: str, flagged: bool) -> None:
    image = read_instance(saved(instance(volume(), **about)), NONE)
    assert (image.depth_axis, "frames_unplaced" in codes(image)) == (axis, flagged)


@pytest.mark.parametrize(
    ("about", "axis", "flagged"),
    [({"Modality": "US"}, "time", False), ({"Modality": "NM"}, "none", True), ({}, "none", True)],
)
def test_the_one_position_of_a_classic_multi_frame_instance_places_none_of_its_frames(
    about: dict[str, Any], axis: str, flagged: bool
) -> None:
    """Image Plane (PS3.3 C.7.6.2) is of single frames; more of them have places in functional groups (C.7.6.16)."""
    one = {**placed((0, 0, 5), AXIAL), "SpacingBetweenSlices": decimal(2)[0], "FrameOfReferenceUID": "1.2.9"}
    image = read_instance(saved(instance(volume(), **one, **about)), NONE)
    assert (image.depth, image.depth_axis, "frames_unplaced" in codes(image)) == (5, axis, flagged)
    assert (image.spacing, image.source.affine) == ((None, 0.7, 0.5), None)
    assert "orientation_unusable" not in codes(image)


def test_a_phase_of_a_picture_is_refused() -> None:
    with pytest.raises(BadParameter, match="phase=1; wanted 0 to 0"):
        read_instance(saved(instance(ramp())), Options(phase=1))
