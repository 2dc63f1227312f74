"""Spacing with its source, ultrasound regions, laterality, view; and nothing that somebody typed is ever repeated."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydicom import uid as uids

from service.formats import dicom_stand_ins as stand_ins
from service.formats.dicom import read_instance
from service.formats.options import Options
from service.formats.read import read_image
from service.image import Image, Region
from tests.service.formats.dicom_files import CANARY, decimal, instance, item, placed, ramp, region, saved
from tests.service.formats.pictures import gradient

NONE = Options()
PIXEL, IMAGER = {"PixelSpacing": decimal(0.2, 0.1)}, {"ImagerPixelSpacing": decimal(0.08, 0.06)}
FACTOR = {"EstimatedRadiographicMagnificationFactor": decimal(1.25)[0]}
DISTANCES = {"DistanceSourceToDetector": decimal(660)[0], "DistanceSourceToPatient": decimal(600)[0]}
TISSUE = {"SequenceOfUltrasoundRegions": [region((10, 5, 59, 39))]}


def read(options: Options = NONE, **about: Any) -> Image:
    return read_instance(saved(instance(ramp(), **about)), options)


def codes(image: Image) -> set[str]:
    return {flag.code for flag in image.flags}


@pytest.mark.parametrize(
    ("about", "spacing", "source"),
    [
        ({}, (None, None, None), "none"),
        (PIXEL, (None, 0.2, 0.1), "pixel_spacing"),
        ({**PIXEL, **IMAGER, **FACTOR}, (None, 0.2, 0.1), "pixel_spacing"),
        ({**PIXEL, **TISSUE, "Modality": "US"}, (None, 0.2, 0.1), "pixel_spacing"),
        (IMAGER, (None, 0.08, 0.06), "imager"),
        ({**IMAGER, "Modality": "OT"}, (None, 0.08, 0.06), "imager"),
        ({**IMAGER, "Modality": "MR"}, (None, None, None), "none"),
        ({**IMAGER, **TISSUE, "Modality": "US"}, (None, 0.3, 0.2), "us_region"),
        ({**IMAGER, **FACTOR}, (None, 0.064, 0.048), "imager_magnified"),
        ({**IMAGER, **DISTANCES}, (None, 0.08 / 1.1, 0.06 / 1.1), "imager_magnified"),
        ({**IMAGER, **FACTOR, **DISTANCES}, (None, 0.064, 0.048), "imager_magnified"),
        ({**IMAGER, "EstimatedRadiographicMagnificationFactor": decimal(0)[0]}, (None, 0.08, 0.06), "imager"),
        ({**IMAGER, "EstimatedRadiographicMagnificationFactor": decimal(120)[0]}, (None, 0.08, 0.06), "imager"),
        ({**TISSUE, "Modality": "US"}, (None, 0.3, 0.2), "us_region"),
        ({"SequenceOfUltrasoundRegions": [region((10, 5, 59, 39), (0.02, -0.03))]}, (None, 0.3, 0.2), "us_region"),
        ({"SequenceOfUltrasoundRegions": [region((10, 5, 59, 39), units=4)]}, (None, None, None), "none"),
        ({"SequenceOfUltrasoundRegions": [region((10, 5, 59, 39), (0.0, 0.0))]}, (None, None, None), "none"),
        ({"PixelSpacing": decimal(0, 0.1)}, (None, None, None), "none"),
        ({"PixelSpacing": decimal(-1, 0.1)}, (None, None, None), "none"),
        ({"ImagerPixelSpacing": decimal(0, 0.1)}, (None, None, None), "none"),
    ],
)
def test_spacing_has_a_source(about: dict[str, Any], spacing: tuple[Any, ...], source: str) -> None:
    image = read(**about)
    assert image.spacing == pytest.approx(spacing)
    assert image.spacing_source == source
    assert ("spacing_unusable" in codes(image)) == (
        source == "none" and {"PixelSpacing", "ImagerPixelSpacing"} & {*about} != set() and "Modality" not in about
    )


def test_spacing_of_the_caller_wins() -> None:
    image = read_image(saved(instance(ramp(), **PIXEL)), Options(spacing=(0.5, 0.4)))
    assert (image.spacing, image.spacing_source) == ((None, 0.5, 0.4), "user")


def test_the_region_of_tissue_is_in_focus() -> None:
    image = read(Modality="US", **TISSUE)
    assert image.focus == image.field == Region(10, 5, 60, 40)
    assert "ultrasound region 10,5,60,40" in image.notes


def test_a_region_at_the_edge_is_clipped_and_one_outside_ignored() -> None:
    assert read(SequenceOfUltrasoundRegions=[region((10, 5, 80, 48))]).focus == Region(10, 5, 80, 48)
    outside = read(SequenceOfUltrasoundRegions=[region((90, 5, 120, 40))])
    assert (outside.focus, "us_region_unusable" in codes(outside)) == (None, True)
    turned = read(SequenceOfUltrasoundRegions=[region((30, 5, 20, 40))])
    assert (turned.focus, "us_region_unusable" in codes(turned)) == (None, True)


def test_regions_of_one_scale_are_seen_together() -> None:
    image = read(
        SequenceOfUltrasoundRegions=[region((0, 5, 29, 39)), region((35, 8, 69, 41)), region((0, 0, 79, 4), data=10)]
    )
    assert (image.focus, image.spacing) == (Region(0, 5, 70, 42), (None, pytest.approx(0.3), pytest.approx(0.2)))
    assert "multi_region" in codes(image)


def test_of_regions_of_several_scales_the_largest_counts() -> None:
    image = read(SequenceOfUltrasoundRegions=[region((0, 5, 19, 39), (0.01, 0.01)), region((25, 5, 69, 41))])
    assert (image.focus, image.spacing[1]) == (Region(25, 5, 70, 42), pytest.approx(0.3))
    assert "multi_region" in codes(image)


def test_outside_of_the_region_can_be_blacked_out() -> None:
    content = saved(instance(gradient(48, 80), Modality="US", **TISSUE))
    image = read_image(content, Options(hide_outside=True))
    pixels = image.slab(0, 1)[0]
    np.testing.assert_array_equal(pixels[5:40, 10:60], gradient(48, 80)[5:40, 10:60])
    pixels[5:40, 10:60] = 0
    assert not pixels.any()


def test_between_several_regions_all_is_black() -> None:
    """Burnt-in text stands there as often as around them."""
    regions = [region((0, 5, 29, 39)), region((35, 20, 69, 41))]
    content = saved(instance(gradient(48, 80), Modality="US", SequenceOfUltrasoundRegions=regions))
    pixels = read_image(content, Options(hide_outside=True)).slab(0, 1)[0]
    for rows, columns in ((slice(5, 40), slice(0, 30)), (slice(20, 42), slice(35, 70))):
        np.testing.assert_array_equal(pixels[rows, columns], gradient(48, 80)[rows, columns])
        pixels[rows, columns] = 0
    assert not pixels.any()


def test_outside_of_the_region_of_a_cine() -> None:
    cine = np.stack([gradient(48, 80)[..., 0]] * 3)
    image = read_image(saved(instance(cine, Modality="US", **TISSUE)), Options(hide_outside=True))
    assert (image.voxels.shape, image.voxels.dtype) == ((3, 48, 80, 1), np.uint8)
    assert not image.slab(1, 3)[:, :5].any()
    assert image.slab(1, 2)[0, 6:39, 11:59].any()


def test_whole_takes_the_focus_away() -> None:
    content = saved(instance(ramp(), Modality="US", **TISSUE))
    assert read_image(content, Options(whole=True)).focus is None


@pytest.mark.parametrize(
    ("about", "laterality", "view"),
    [
        ({"ImageLaterality": "L", "ViewPosition": "CC"}, "L", "CC"),
        ({"Laterality": "R", "ViewPosition": "mlo"}, "R", "MLO"),
        ({"ImageLaterality": "", "Laterality": "B"}, "B", None),
        ({"ImageLaterality": "X", "ViewPosition": CANARY}, None, None),
        ({"ViewCodeSequence": [item(CodeValue="399368009", CodeMeaning="MLO")]}, None, "MLO"),
        ({"ViewCodeSequence": [item(CodeValue="R-10242", CodeMeaning="cc")]}, None, "CC"),
        ({"ViewCodeSequence": [item(CodeValue="1", CodeMeaning=CANARY)], "ViewPosition": "ML"}, None, "ML"),
    ],
)  # fmt: skip
def test_laterality_and_view(about: dict[str, Any], laterality: str | None, view: str | None) -> None:
    image = read(**about)
    assert (image.laterality, image.view) == (laterality, view)


@pytest.mark.parametrize(
    ("about", "flag"),
    [
        ({"PresentationIntentType": "FOR PROCESSING"}, "for_processing"),
        ({"SOPClassUID": uids.DigitalMammographyXRayImageStorageForProcessing}, "for_processing"),
        ({"BurnedInAnnotation": "YES"}, "burned_in_text"),
        ({"Modality": "US"}, "burned_in_text_possible"),
        ({"LossyImageCompression": "01"}, "lossy"),
    ],
)
def test_flags(about: dict[str, Any], flag: str) -> None:
    assert flag in codes(read(**about))
    assert flag not in codes(read(PresentationIntentType="FOR PRESENTATION", BurnedInAnnotation="NO"))


def test_no_text_of_the_file_is_repeated() -> None:
    texts = (
        "Modality",
        "ViewPosition",
        "ImageLaterality",
        "PresentationIntentType",
        "PresentationLUTShape",
        "BodyPartExamined",
    )
    image = read(**dict.fromkeys(texts, CANARY[:16]), **PIXEL)
    assert CANARY[:5] not in repr(image)
    assert CANARY[:5] not in repr((image.notes, image.flags, image.modality, image.view, image.laterality))
    assert image.modality is None


def test_the_source_keeps_what_outputs_need_and_no_pixels() -> None:
    content = saved(instance(ramp(), **placed((1, 2, 3), (1, 0, 0, 0, 1, 0), (0.7, 0.5))))
    source = read_instance(content, NONE).source
    header = source.dicom.instance(0)
    assert (str(header.PatientName), "PixelData" in header) == (CANARY, False)
    assert header.file_meta.TransferSyntaxUID == uids.ExplicitVRLittleEndian
    assert header.preamble == b"\0" * 128
    np.testing.assert_allclose(source.at(2, 3, 0), (1 + 2 * 0.5, 2 + 3 * 0.7, 3))


@pytest.mark.parametrize("axes", [(1, 0, 0, 1, 0, 0), (2, 0, 0, 0, 1, 0), (1, 0, 0, 0, 1)])
def test_directions_that_cannot_be_place_nothing(axes: tuple[float, ...]) -> None:
    image = read(FrameOfReferenceUID="1.2.9", **placed((1, 2, 3), axes))
    assert image.source.affine is None
    assert "orientation_unusable" in codes(image)
    # What is not believed here is not written either.
    assert stand_ins.placed(image, [0]) is None


def test_a_place_that_can_be_is_not_flagged() -> None:
    image = read(FrameOfReferenceUID="1.2.9", **placed((1, 2, 3), (1, 0, 0, 0, 1, 0), (0.7, 0.5)))
    assert "orientation_unusable" not in codes(image)
    assert stand_ins.placed(image, [0]) is not None
    assert "orientation_unusable" not in codes(read(ImageOrientationPatient=[1, 0, 0, 0, 1, 0]))


@pytest.mark.parametrize("delta", [float("nan"), float("inf"), 1e308, 5e-324])
def test_scales_of_a_region_that_cannot_be(delta: float) -> None:
    image = read(SequenceOfUltrasoundRegions=[region((10, 5, 59, 39), (delta, delta))])
    assert (image.spacing[1:], image.spacing_source) == ((None, None), "none")
    assert "spacing_unusable" in codes(image)
