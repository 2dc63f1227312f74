"""Slices in order along their normal, whatever order and orientation they come in; gaps, copies, phases, mixtures."""

from __future__ import annotations

import io
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from scipy.spatial.transform import Rotation

from service.errors import BadParameter, TooLarge, UnusableImage
from service.formats.dicom import read_instance
from service.formats.dicom_series import read_slices, series_of
from service.formats.limits import Limits
from service.formats.options import Options
from service.formats.read import read_image
from service.image import Image, Region
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

NONE = Options()
AXIAL = (1, 0, 0, 0, 1, 0)


def volume(depth: int = 5) -> np.ndarray[Any, Any]:
    return np.stack([ramp(12, 10) + 100 * z for z in range(depth)]).astype(np.uint16)


def read(files: list[bytes], options: Options = NONE) -> Image:
    return read_slices(len(files), files.__getitem__, options)


def levels(image: Image) -> list[int]:
    """The lowest value of each slice, which tells them apart."""
    return [int(slab.min()) for slab in image.slab(0, image.depth)]


def codes(image: Image) -> set[str]:
    return {flag.code for flag in image.flags}


@settings(max_examples=25)
@given(st.permutations(range(5)), st.lists(st.floats(-180, 180), min_size=3, max_size=3), st.booleans())
def test_any_order_and_any_orientation(order: list[int], angles: list[float], mirrored: bool) -> None:
    turn = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    axes = [*turn[0], *(-turn[1] if mirrored else turn[1])]
    files = mr_slices(volume(), 2.5, axes)
    image = read([files[z] for z in order], Options(raw=frozenset(("MR",))))
    np.testing.assert_array_equal(image.slab(0, 5)[..., 0], volume())
    assert (image.depth_axis, image.spacing_source) == ("space", "pixel_spacing")
    assert image.spacing == pytest.approx((2.5, 0.7, 0.5), abs=1e-4)
    for z in (0, 4):
        header = image.source.dicom.instance(z)
        position, directions = (
            np.array(header.ImagePositionPatient, float),
            np.array(header.ImageOrientationPatient, float),
        )
        corner = position + 3 * 0.5 * directions[:3] + 7 * 0.7 * directions[3:]
        np.testing.assert_allclose(image.source.at(3, 7, z), corner, atol=1e-3)


def test_slices_of_one_file_each_keep_their_own_window() -> None:
    width = {"Modality": "MR", "WindowWidth": decimal(200)}
    windows = [{"WindowCenter": decimal(centre), **width} for centre in (100, 500)]
    slices = [instance(ramp(12, 10), **one, **placed((0, 0, z), AXIAL)) for z, one in enumerate(windows)]
    image = read([saved(one) for one in slices])
    assert image.slab(0, 1).mean() > image.slab(1, 2).mean()
    assert "modality transformation and window of each slice" in image.notes


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_slices_keep_the_bits_that_each_of_them_stores(order: tuple[int, int]) -> None:
    """Bits Stored and High Bit stand in each instance (PS3.3 C.7.6.3); what lies above the stored ones is no value."""
    about = ({"BitsStored": 12, "HighBit": 11}, {"BitsStored": 16, "HighBit": 15})
    planes = (ramp(12, 10) | 0xF000, ramp(12, 10) + 5000)
    slices = [
        saved(instance(plane, Modality="MR", **bits, **placed((0, 0, z), AXIAL)))
        for z, (plane, bits) in enumerate(zip(planes, about, strict=True))
    ]
    image = read([slices[z] for z in order], Options(raw=frozenset(("MR",))))
    np.testing.assert_array_equal(image.slab(0, 2)[..., 0], [ramp(12, 10), ramp(12, 10) + 5000])


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_slices_of_several_depths_without_a_window_share_one_span(order: tuple[int, int]) -> None:
    planes = (ramp(12, 10) % np.uint16(200), ramp(12, 10) + np.uint16(3000))
    slices = [
        saved(instance(plane, Modality="MR", BitsStored=bits, HighBit=bits - 1, **placed((0, 0, z), AXIAL)))
        for z, (plane, bits) in enumerate(zip(planes, (8, 12), strict=True))
    ]
    image = read([slices[z] for z in order])
    top = int(planes[1].max())
    assert image.slab(0, 2).dtype == np.uint16
    np.testing.assert_allclose(image.slab(0, 2)[..., 0], np.stack(planes) / top * 65535, atol=0.5)


def test_slices_of_one_series_each_keep_their_own_palette() -> None:
    def table(values: range) -> bytes:
        return np.array(values, np.uint8).tobytes()

    channels = [(range(256), range(255, -1, -1), range(256)), (range(255, -1, -1), range(256), range(256))]
    slices = []
    for z, luts in enumerate(channels):
        about: dict[str, Any] = {"PhotometricInterpretation": "PALETTE COLOR", **placed((0, 0, z), AXIAL)}
        for name, lut in zip(("Red", "Green", "Blue"), luts, strict=True):
            about[f"{name}PaletteColorLookupTableDescriptor"] = [256, 0, 8]
            about[f"{name}PaletteColorLookupTableData"] = table(lut)
        slices.append(saved(instance((ramp(12, 10) % 251).astype(np.uint8), **about)))
    image = read(slices)
    index = ramp(12, 10) % 251
    np.testing.assert_array_equal(image.slab(0, 1)[0], np.stack([index, 255 - index, index], -1))
    np.testing.assert_array_equal(image.slab(1, 2)[0], np.stack([255 - index, index, index], -1))


def test_a_missing_slice_is_flagged_and_leaves_no_volume() -> None:
    files = mr_slices(volume(6))
    image = read([*files[:2], *files[3:]])
    assert (image.spacing, image.source.affine) == ((None, 0.7, 0.5), None)
    (flag,) = [flag for flag in image.flags if flag.code == "uneven_slices"]
    assert "One slice seems to be missing" in flag.text


def test_uneven_distances_are_flagged() -> None:
    files = [saved(instance(ramp(12, 10), Modality="MR", **placed((0, 0, z), AXIAL))) for z in (0, 2, 4.4, 6)]
    assert "uneven_slices" in codes(read(files))


def edited(file: bytes, **about: Any) -> bytes:
    made = dcmread(io.BytesIO(file))
    for name, value in about.items():
        setattr(made, name, value)
    return written(made)


def test_a_copy_of_a_slice_is_used_once() -> None:
    files = mr_slices(volume())
    image = read([*files, files[2], files[2]])
    assert (image.depth, "duplicate_slices" in codes(image)) == (5, True)


def test_a_tilted_gantry_keeps_its_affine() -> None:
    files = [
        saved(instance(plane, Modality="MR", **placed((0, 0.3 * z, 2 * z), AXIAL))) for z, plane in enumerate(volume())
    ]
    image = read(files)
    np.testing.assert_allclose(image.source.at(0, 0, 3), (0, 0.9, 6), atol=1e-9)
    assert image.spacing[0] == pytest.approx(2)


def phased(**about: Any) -> list[bytes]:
    """Two volumes at one place; the second is 1000 brighter. Attributes are (first, second)."""
    both = []
    for number in range(2):
        one = {name: pair[number] for name, pair in about.items()}
        both += mr_slices(volume(3) + 1000 * number, **one)
    return both


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


@pytest.mark.parametrize(
    ("others", "found"),
    [
        ({"SeriesInstanceUID": "1.2.3.5"}, "2 series"),
        (placed((0, 0, 9), (0, 1, 0, 0, 0, -1)), "several orientations"),
        (placed((0, 0, 9), AXIAL, (0.9, 0.9)), "several orientations or spacings"),
        ({"ImagePositionPatient": None}, "1 file of 6 that is no slice of a volume"),
        ({"NumberOfFrames": 1, "Rows": 6, "Columns": 20}, "slices of 2 sizes"),
        (placed((40, 0, 3), AXIAL), "beside each other"),
        ({"FrameOfReferenceUID": "1.2.3.9"}, "slices in 2 frames of reference"),
    ],
)
def test_mixtures_are_refused(others: dict[str, Any], found: str) -> None:
    about = {"Modality": "MR", **placed((0, 0, 9), AXIAL), **others}
    other = saved(instance(ramp(12, 10).reshape(about.get("Rows", 12), -1), **about))
    with pytest.raises(UnusableImage, match=found) as caught:
        read([*mr_slices(volume()), other], Options(Limits(min_side=4)))
    assert caught.value.code == "mixed_series"
    assert "CANARY" not in str(caught.value)


def test_several_pictures_are_no_series() -> None:
    with pytest.raises(UnusableImage, match="2 files of 2 that are no slice of a volume"):
        read([saved(instance(ramp())), saved(instance(ramp()))])


def test_a_series_over_the_budget_is_refused_by_its_headers() -> None:
    with pytest.raises(TooLarge, match="declared voxels of 1200 bytes; wanted at most 1000"):
        read(mr_slices(volume()), Options(Limits(max_volume_bytes=1000)))


def test_all_phases_of_a_series_count() -> None:
    files = phased(TemporalPositionIdentifier=(1, 2))
    with pytest.raises(TooLarge, match="declared voxels of 1440 bytes; wanted at most 1000"):
        read(files, Options(Limits(max_volume_bytes=1000), phase=0))


def test_more_slices_than_one_request_may_ask_for() -> None:
    files = mr_slices(volume())
    with pytest.raises(TooLarge, match=r"Found 5 slices to look at; wanted at most 4 .*POST /jobs") as caught:
        read_image(files, Options(Limits(max_slices=4)))
    assert caught.value.code == "volume_too_large"
    assert read_image(files, Options(Limits(max_slices=4), slice=3)).field == Region(0, 0, 10, 12, 3, 4)


def test_a_slice_that_is_not_there() -> None:
    with pytest.raises(BadParameter, match="slice=5; wanted 0 to 4"):
        read_image(mr_slices(volume()), Options(slice=5))


def test_frames_of_an_enhanced_instance_are_sorted() -> None:
    order = (3, 0, 4, 1, 2)
    made = enhanced_mr(volume()[list(order)], [(0, 0, 2 * z) for z in order])
    image = read_instance(saved(made), Options(raw=frozenset(("MR",))))
    np.testing.assert_array_equal(image.slab(0, 5)[..., 0], volume())
    assert image.source.dicom.frames == ((0, 2), (0, 4), (0, 5), (0, 1), (0, 3))
    assert image.spacing == (2.0, 0.7, 0.5)
    np.testing.assert_allclose(image.source.at(2, 3, 4), (1.0, 2.1, 8.0))


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


def test_which_series_a_file_is_of() -> None:
    (first, *_) = mr_slices(volume(1), SeriesInstanceUID="1.9.8")
    assert series_of(first[: first.index(b"\xe0\x7f\x10\0") + 12]) == "1.9.8"
    assert series_of(saved(instance(ramp()))) is None
    assert series_of(b"no file of this kind") is None


def zipped(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with ZipFile(stream, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


def test_a_zip_gives_the_same_as_its_files() -> None:
    files = mr_slices(volume())
    archive = zipped({f"exam/CANARY/{number}.dcm": file for number, file in enumerate(files)})
    one, two = read_image(archive), read_image(files)
    np.testing.assert_array_equal(one.slab(0, 5), two.slab(0, 5))
    assert one.spacing == two.spacing


def test_clutter_and_texts_in_a_zip_are_passed_over() -> None:
    files = {f"{number}.dcm": file for number, file in enumerate(mr_slices(volume()))}
    archive = zipped({**files, "__MACOSX/._0.dcm": b"x", "DICOMDIR": b"x", ".DS_Store": b"x", "README.txt": b"hello"})
    image = read_image(archive)
    assert (image.depth, "1 other file passed over" in image.notes) == (5, True)
