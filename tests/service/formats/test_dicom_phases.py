"""Volumes at one place told apart, by whatever their slices say, and one of them chosen."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread

from service.errors import BadParameter, TooLarge, UnusableImage
from service.formats.dicom import read_instance
from service.formats.limits import Limits
from service.formats.options import Options
from tests.service.formats.dicom_files import (
    decimal,
    enhanced_mr,
    instance,
    item,
    mr_slices,
    placed,
    ramp,
    saved,
    written,
)
from tests.service.formats.series import AXIAL, NONE, levels, phased, read, volume


def edited(file: bytes, **about: Any) -> bytes:
    made = dcmread(io.BytesIO(file))
    for name, value in about.items():
        setattr(made, name, value)
    return written(made)


@pytest.mark.parametrize(
    "about",
    [
        {"TemporalPositionIdentifier": (1, 2)},
        {"AcquisitionNumber": (3, 7)},
        {"TriggerTime": (decimal(0)[0], decimal(90)[0])},
        {"EchoTime": (decimal(1.2)[0], decimal(2.4)[0])},
        {"AcquisitionTime": ("101010", "101510")},
        {"AcquisitionNumber": (3, 3), "AcquisitionTime": ("101010", "101510")},
        {"DiffusionBValue": (0.0, 800.0)},
        {"DiffusionBValue": (0.0, 800.0), "AcquisitionTime": ("101510", "101010")},
        {"DiffusionBValue": (800.0, 800.0), "DiffusionGradientOrientation": ([0.0, 0, 1], [1.0, 0, 0])},
    ],
)
def test_phases_are_told_apart_and_one_is_chosen(about: dict[str, Any]) -> None:
    files, raw = phased(**about), frozenset(("MR",))
    for phase in (0, 1):
        image = read(files, Options(phase=phase, raw=raw))
        assert levels(image) == [1000 * phase, 1000 * phase + 100, 1000 * phase + 200]
        assert f"phase {phase} of 2" in image.notes
    with pytest.raises(BadParameter, match=r"Found 2 volumes at one place .*b-values.*phase`, 0 to 1") as caught:
        read(files)
    assert caught.value.code == "needs_phase"
    with pytest.raises(BadParameter, match="phase=2; wanted 0 to 1"):
        read(files, Options(phase=2))


def test_b_values_come_in_order_whatever_the_order_of_acquisition() -> None:
    """b = 0 has no direction; of each higher one there are several (PS3.3 C.8.13.5.9)."""
    along: tuple[dict[str, Any], ...] = (
        {"DiffusionBValue": 800.0, "DiffusionGradientOrientation": [1.0, 0, 0]},
        {"DiffusionBValue": 0.0},
        {"DiffusionBValue": 800.0, "DiffusionGradientOrientation": [0.0, 1, 0]},
    )
    volumes = [mr_slices(volume(3) + 1000 * number, **one) for number, one in enumerate(along)]
    # The times of one slice are in another order than those of the next one.
    files = [
        edited(slices[z], AcquisitionTime=f"1010{(number + z) % 3:02}")
        for number, slices in enumerate(volumes)
        for z in range(3)
    ]
    for phase, number in enumerate((1, 2, 0)):
        image = read(files, Options(phase=phase, raw=frozenset(("MR",))))
        assert levels(image) == [1000 * number, 1000 * number + 100, 1000 * number + 200]


def test_volumes_that_only_two_attributes_together_tell_apart() -> None:
    both = [(0, 1), (0, 2), (800, 1), (800, 2)]
    files = []
    for number, (b_value, time) in enumerate(both):
        about = {"DiffusionBValue": float(b_value), "TemporalPositionIdentifier": time}
        files += mr_slices(volume(3) + 1000 * number, **about)
    for phase in range(4):
        image = read(files[::-1], Options(phase=phase, raw=frozenset(("MR",))))
        assert levels(image) == [1000 * phase, 1000 * phase + 100, 1000 * phase + 200]


def test_slices_at_one_place_that_nothing_tells_apart() -> None:
    with pytest.raises(UnusableImage, match="6 slices at 3 places, and nothing") as caught:
        read(phased())
    assert caught.value.code == "duplicate_positions"


def test_one_place_over_time_is_a_cine() -> None:
    files = [
        saved(instance(ramp(12, 10), Modality="MR", TriggerTime=decimal(t)[0], **placed((0, 0, 5), AXIAL)))
        for t in (30, 10, 20)
    ]
    image = read(files)
    assert (image.depth, image.depth_axis, image.spacing) == (3, "time", (None, 0.7, 0.5))
    assert [float(image.source.dicom.instance(z).TriggerTime) for z in range(3)] == [10, 20, 30]


def test_all_phases_of_a_series_count() -> None:
    files = phased(TemporalPositionIdentifier=(1, 2))
    with pytest.raises(TooLarge, match="declared voxels of 1440 bytes; wanted at most 1000"):
        read(files, Options(Limits(max_volume_bytes=1000), phase=0))


def test_phases_of_an_enhanced_instance() -> None:
    frames = np.concatenate([volume(3), volume(3) + 1000])
    made = enhanced_mr(frames, [(0, 0, 2 * z) for z in (0, 1, 2)] * 2, TemporalPositionIndex=[1, 1, 1, 2, 2, 2])
    content = saved(made)
    assert levels(read_instance(content, Options(phase=1, raw=frozenset(("MR",))))) == [1000, 1100, 1200]
    with pytest.raises(BadParameter, match="2 volumes at one place"):
        read_instance(content, NONE)


def test_b_values_of_an_enhanced_instance() -> None:
    made = enhanced_mr(np.concatenate([volume(3) + 1000, volume(3)]), [(0, 0, 2 * z) for z in (0, 1, 2)] * 2)
    direction = item(DiffusionGradientOrientation=[0.0, 0.0, 1.0])
    for number, group in enumerate(made.PerFrameFunctionalGroupsSequence):
        diffusion = item(DiffusionBValue=800.0 if number < 3 else 0.0)
        if number < 3:
            diffusion.DiffusionGradientDirectionSequence = [direction]
        group.MRDiffusionSequence = [diffusion]
    content = saved(made)
    for phase in (0, 1):
        assert levels(read_instance(content, Options(phase=phase, raw=frozenset(("MR",)))))[0] == 1000 * phase
