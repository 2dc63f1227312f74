"""The secondary capture, read back by pydicom."""

import io
from dataclasses import replace

import numpy as np
import pydicom
import pytest
from pydicom import Dataset

from service.engine import Answer
from service.errors import InputError
from service.formats.dicom_sc import encode_sc, key_slice
from service.formats.overlay import Style, overlay_picture
from service.image import Image
from tests.service.formats.answers import CODED, answer_to, picture
from tests.service.formats.dicom_sources import PATIENT, cine, enhanced_mr, mammogram, mr_series, ultrasound
from tests.service.formats.segmentations import blocks
from tests.service.formats.test_dicom_seg_sources import dates_of

SOURCES = {
    "mr": lambda: mr_series((4, 35, 41)),
    "enhanced": lambda: enhanced_mr((4, 35, 41)),
    "mammogram": lambda: mammogram(121, 95),
    "ultrasound": lambda: ultrasound(121, 95),
    "clip": lambda: cine(4, 35, 41),
}

SIDES = ((1, "L"), (7, "L"), (2, "R"))


def answered(image: Image) -> Answer:
    return answer_to(image, blocks(image.region.shape))


def read(content: bytes) -> Dataset:
    return pydicom.dcmread(io.BytesIO(content))


@pytest.mark.parametrize("source", SOURCES)
def test_the_pixels_are_the_overlay(source: str) -> None:
    answer = answered(SOURCES[source]())
    shown, z = read(encode_sc(answer)), key_slice(answer)
    caption = f"slice {z + 1} of 4" if answer.image.depth > 1 else ""
    expected = overlay_picture(answer.image, answer.result.mask, CODED, z, Style(caption=caption))
    np.testing.assert_array_equal(shown.pixel_array, expected)
    assert (shown.PhotometricInterpretation, shown.BurnedInAnnotation) == ("RGB", "YES")
    assert shown.file_meta.TransferSyntaxUID == pydicom.uid.ExplicitVRLittleEndian


@pytest.mark.parametrize("source", SOURCES)
def test_it_names_the_frame_it_shows(source: str) -> None:
    answer = answered(SOURCES[source]())
    assert answer.image.source is not None
    assert answer.image.source.dicom is not None
    (came_from,) = read(encode_sc(answer)).SourceImageSequence
    header, number = (
        answer.image.source.dicom.instance(key_slice(answer)),
        answer.image.source.dicom.frames[key_slice(answer)][1],
    )
    assert came_from.ReferencedSOPInstanceUID == header.SOPInstanceUID
    assert came_from.get("ReferencedFrameNumber") == (number if "NumberOfFrames" in header else None)


def test_the_notice_is_in_the_pixels() -> None:
    image = ultrasound(200, 300)
    shown = read(encode_sc(answer_to(image, np.zeros(image.region.shape, np.uint8)))).pixel_array
    changed = np.argwhere((shown != 90).any(axis=2))
    assert changed[changed[:, 0] > 100].shape[0] > 50
    # Where nothing was found the picture says so in its upper corner.
    assert changed[changed[:, 0] < 100].shape[0] > 50


def test_a_volume_shows_where_the_largest_finding_is_largest() -> None:
    image = mr_series((5, 35, 41))
    labels = np.zeros(image.region.shape, np.uint8)
    labels[1:4, 3:9, 3:9] = 1
    labels[2, 3:9, 3:12] = 1
    labels[4, 20:24, 20:24] = 3
    assert key_slice(answer_to(image, labels)) == 2
    assert key_slice(answer_to(image, np.zeros_like(labels))) == 2
    # Where two slices show as much of it, the first, whatever else the other shows.
    assert key_slice(answer_to(mr_series((4, 9, 7)), blocks((4, 9, 7)))) == 2


def test_who_where_and_when_are_the_source_s() -> None:
    image = mammogram(121, 95, PatientOrientation=["A", "R"], LossyImageCompression="01")
    shown = read(encode_sc(answered(image)))
    assert (str(shown.PatientName), shown.StudyInstanceUID, shown.Laterality) == (PATIENT, "1.2.3", "L")
    assert list(shown.PatientOrientation) == ["A", "R"]
    assert [float(part) for part in shown.PixelSpacing] == [0.07, 0.07]
    assert shown.LossyImageCompression == "01"
    assert "RESEARCH USE ONLY" in shown.SeriesDescription


def test_equal_answers_are_equal_bytes_without_today_s_date() -> None:
    one, two = (encode_sc(answered(ultrasound(PatientBirthDate=""))) for _ in range(2))
    assert one == two
    assert one[:132] == bytes(128) + b"DICM"
    assert dates_of(one) == {"20240102"}


def test_a_picture_is_no_source() -> None:
    with pytest.raises(InputError, match="Send the DICOM file"):
        encode_sc(answer_to(picture(9, 9), blocks((1, 9, 9))))


def test_each_breast_has_a_series_of_its_own_and_each_picture_a_number() -> None:
    """Laterality is one of the series (PS3.3 C.7.3.1)."""
    pictures = [read(encode_sc(answered(replace(mammogram(InstanceNumber=n), laterality=side)))) for n, side in SIDES]
    left, other_left, right = pictures
    assert left.SeriesInstanceUID == other_left.SeriesInstanceUID != right.SeriesInstanceUID
    assert [made.Laterality for made in pictures] == ["L", "L", "R"]
    assert [made.InstanceNumber for made in pictures] == [1, 7, 2]
