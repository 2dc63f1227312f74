"""Slices in order along their normal, whatever order and orientation they come in; gaps, copies, depths, mixtures."""

from __future__ import annotations

import io
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import uid as uids
from scipy.spatial.transform import Rotation

from service.errors import BadParameter, TooLarge, UnusableImage
from service.formats.dicom_series import series_of
from service.formats.limits import Limits
from service.formats.options import Options
from service.formats.read import read_image
from service.image import Region
from tests.service.formats.dicom_files import (
    decimal,
    instance,
    mr_slices,
    placed,
    ramp,
    saved,
)
from tests.service.formats.series import AXIAL, codes, read, volume


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


@pytest.mark.parametrize(
    ("others", "found"),
    [
        ({"SeriesInstanceUID": "1.2.3.5"}, "2 series"),
        (placed((0, 0, 9), (0, 1, 0, 0, 0, -1)), "several orientations"),
        (placed((0, 0, 9), AXIAL, (0.9, 0.9)), "several orientations or spacings"),
        ({"ImagePositionPatient": None}, "1 file of 6 that is no slice of a volume"),
        ({"NumberOfFrames": 1, "Rows": 6, "Columns": 20}, "slices of 2 sizes"),
        ({"SOPClassUID": uids.MRImageStorage, **placed((40, 0, 3), AXIAL)}, "beside each other"),
        ({"FrameOfReferenceUID": "1.2.3.9"}, "slices in 2 frames of reference"),
        ({"StudyInstanceUID": "1.2.4"}, "slices of 2 studies"),
        ({"PatientID": "ZZPHI^CANARY2"}, "slices of 2 patients"),
        ({"PatientID": None}, "slices of 2 patients"),
        ({"Modality": "OT", "SOPClassUID": uids.MRImageStorage, **placed((12.5, -40.25, 17), AXIAL)}, "2 modalities"),
        (placed((12.5, -40.25, 17), AXIAL), "slices of 2 kinds of DICOM object"),
    ],
)
def test_mixtures_are_refused(others: dict[str, Any], found: str) -> None:
    about = {"Modality": "MR", **placed((0, 0, 9), AXIAL), **others}
    other = saved(instance(ramp(12, 10).reshape(about.get("Rows", 12), -1), **about))
    with pytest.raises(UnusableImage, match=found) as caught:
        read([*mr_slices(volume()), other], Options(Limits(min_side=4)))
    assert caught.value.code == "mixed_series"
    assert "CANARY" not in str(caught.value)


def test_slices_that_differ_under_one_uid_are_refused() -> None:
    moved = [*mr_slices(volume(2), SOPInstanceUID="1.2.9"), *mr_slices(volume(3))[2:]]
    with pytest.raises(UnusableImage, match="different slices under one SOPInstanceUID") as caught:
        read(moved)
    assert caught.value.code == "mixed_series"
    both = [mr_slices(volume(1), SOPInstanceUID="1.2.9", AcquisitionNumber=number)[0] for number in (1, 2)]
    with pytest.raises(UnusableImage, match="different slices under one SOPInstanceUID"):
        read(both)


def test_several_pictures_are_no_series() -> None:
    with pytest.raises(UnusableImage, match="2 files of 2 that are no slice of a volume"):
        read([saved(instance(ramp())), saved(instance(ramp()))])


def test_a_series_over_the_budget_is_refused_by_its_headers() -> None:
    with pytest.raises(TooLarge, match="declared voxels of 1200 bytes; wanted at most 1000"):
        read(mr_slices(volume()), Options(Limits(max_volume_bytes=1000)))


def test_more_slices_than_one_request_may_ask_for() -> None:
    files = mr_slices(volume())
    with pytest.raises(TooLarge, match=r"Found 5 slices to look at; wanted at most 4 .*POST /jobs") as caught:
        read_image(files, Options(Limits(max_slices=4)))
    assert caught.value.code == "volume_too_large"
    assert read_image(files, Options(Limits(max_slices=4), slice=3)).field == Region(0, 0, 10, 12, 3, 4)


def test_a_slice_that_is_not_there() -> None:
    with pytest.raises(BadParameter, match="slice=5; wanted 0 to 4"):
        read_image(mr_slices(volume()), Options(slice=5))


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
