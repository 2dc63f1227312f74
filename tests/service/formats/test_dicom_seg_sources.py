"""DICOM SEG of sources that lack something, or say odd things: dates, names, instances, frames."""

from __future__ import annotations

import datetime
import io
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom import Dataset

from service.engine import Answer
from service.errors import BadParameter, InputError, UnusableImage
from service.formats.dicom import read_instance
from service.formats.dicom_object import incomplete
from service.formats.dicom_seg import encode_seg
from service.formats.options import Options
from tests.service.formats.answers import CODED, answer_to, manifest, picture
from tests.service.formats.dicom_files import decimal, enhanced_mr, instance, item, placed, ramp, saved
from tests.service.formats.dicom_sources import PATIENT, cine, mr_series, ultrasound
from tests.service.formats.segmentations import blocks, group, read


def every(dataset: Dataset) -> Iterator[pydicom.DataElement]:
    """All elements, those of items too."""
    for element in dataset:
        yield element
        if element.VR == "SQ":
            for item in element.value:
                yield from every(item)


def dates_of(content: bytes) -> set[str]:
    return {str(element.value)[:8] for element in every(read(content)) if element.VR in ("DA", "DT") and element.value}


@pytest.mark.parametrize(
    ("gone", "date"),
    [
        ((), "20240102"),
        (("ContentDate",), "20240102"),
        (("ContentDate", "StudyDate"), "19000101"),
    ],
)
def test_dates_are_the_source_s_and_never_today_s(gone: tuple[str, ...], date: str) -> None:
    image = ultrasound(PatientBirthDate="")
    assert image.source is not None
    assert image.source.dicom is not None
    for keyword in gone:
        delattr(image.source.dicom.headers[0], keyword)
    content = encode_seg(answer_to(image, blocks(image.region.shape)))
    assert dates_of(content) == {date}
    assert datetime.date.today().strftime("%Y%m%d") not in dates_of(content)


def test_what_the_source_lacks_is_written_empty_and_said() -> None:
    image = ultrasound()
    assert image.source is not None
    assert image.source.dicom is not None
    assert incomplete(image) is None
    for keyword in ("PatientSex", "StudyID", "ReferringPhysicianName", "StudyTime", "PatientBirthDate"):
        delattr(image.source.dicom.headers[0], keyword)
    flag = incomplete(image)
    assert flag is not None
    assert flag.code == "source_incomplete"
    assert "lacks PatientBirthDate, PatientSex, StudyTime, ReferringPhysicianName, StudyID," in flag.text
    seg = read(encode_seg(answer_to(image, blocks(image.region.shape))))
    assert (seg.PatientSex, seg.StudyID, str(seg.ReferringPhysicianName), seg.StudyTime) == ("", "", "", "")
    assert seg.PatientName == PATIENT
    assert incomplete(picture(9, 9)) is None


@pytest.mark.filterwarnings("ignore:.*:UserWarning")
def test_odd_values_of_the_source_are_no_obstacle() -> None:
    odd = {"PatientSex": "W", "PatientBirthDate": "unknown", "StudyTime": "noon", "ContentTime": "x"}
    image = ultrasound()
    assert image.source is not None
    assert image.source.dicom is not None
    stream = io.BytesIO()
    made = image.source.dicom.headers[0]
    for keyword, value in odd.items():
        made.add(pydicom.DataElement(keyword, made[keyword].VR, value, validation_mode=0))
    made.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    pydicom.dcmwrite(stream, made, enforce_file_format=True)
    header = pydicom.dcmread(io.BytesIO(stream.getvalue()))
    dicom = replace(image.source.dicom, headers=(header,))
    image = replace(image, source=replace(image.source, dicom=dicom))
    seg = read(encode_seg(answer_to(image, blocks(image.region.shape))))
    assert (seg.PatientSex, seg.StudyTime, seg.ContentTime) == ("W", "noon", "000000")


def test_names_in_any_script_arrive() -> None:
    japanese = "Yamada^Tarou=山田^太郎=やまだ^たろう"
    image = ultrasound(SpecificCharacterSet=["", "ISO 2022 IR 87"], PatientName=japanese)
    assert image.source is not None
    assert image.source.dicom is not None
    stream = io.BytesIO()
    made = image.source.dicom.headers[0]
    made.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    pydicom.dcmwrite(stream, made, enforce_file_format=True)
    dicom = replace(image.source.dicom, headers=(pydicom.dcmread(io.BytesIO(stream.getvalue())),))
    image = replace(image, source=replace(image.source, dicom=dicom))
    seg = read(encode_seg(answer_to(image, blocks(image.region.shape))))
    assert (seg.SpecificCharacterSet, str(seg.PatientName)) == ("ISO_IR 192", japanese)


def without(keyword: str) -> Answer:
    image = ultrasound()
    assert image.source is not None
    assert image.source.dicom is not None
    delattr(image.source.dicom.headers[0], keyword)
    return answer_to(image, blocks(image.region.shape))


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID"])
def test_a_source_that_cannot_be_named_is_refused(keyword: str) -> None:
    with pytest.raises(UnusableImage, match="without the UIDs of its study, series, instance or class") as caught:
        encode_seg(without(keyword))
    assert caught.value.code == "source_incomplete"


def test_the_instance_may_be_named_before_the_data_set_only() -> None:
    answer = without("SOPInstanceUID")
    assert answer.image.source is not None
    assert answer.image.source.dicom is not None
    answer.image.source.dicom.headers[0].file_meta.MediaStorageSOPInstanceUID = "1.2.3.77"
    assert read(encode_seg(answer)).SourceImageSequence[0].ReferencedSOPInstanceUID == "1.2.3.77"


def test_labels_on_several_frames_need_a_frame_of_reference() -> None:
    image = cine()
    with pytest.raises(UnusableImage, match="labels on 2 frames that have no places of their own") as caught:
        encode_seg(answer_to(image, blocks(image.region.shape)))
    assert caught.value.code == "needs_frame_of_reference"


def test_one_of_several_frames_at_one_place_keeps_its_place() -> None:
    image = mr_series((3, 9, 7))
    assert image.source is not None
    assert image.source.dicom is not None
    place = image.source.dicom.instance(0).ImagePositionPatient
    for header in image.source.dicom.headers:
        header.ImagePositionPatient = place
    labels = blocks((3, 9, 7))
    labels[:-1] = 0
    seg = read(encode_seg(answer_to(replace(image, depth_axis="time"), labels)))
    position = group(seg, 0, "PlanePositionSequence")
    assert position is not None
    assert position.ImagePositionPatient == place
    assert seg.FrameOfReferenceUID == "1.2.3.9"


SPACE = {"FrameOfReferenceUID": "1.2.3.9", "Modality": "MR"}


@pytest.mark.parametrize("axes", [(0, 0, 0, 0, 0, 0), (2, 0, 0, 0, 2, 0), (1, 0, 0, 1, 0, 0)])
def test_an_orientation_that_cannot_be_is_not_handed_on(axes: tuple[int, ...]) -> None:
    image = read_instance(saved(instance(ramp(12, 10), **SPACE, **placed((1, 2, 3), axes))), Options())
    seg = read(encode_seg(answer_to(image, blocks((1, 12, 10)))))
    assert [group(seg, 0, f"Plane{name}Sequence") for name in ("Position", "Orientation")] == [None, None]
    assert "FrameOfReferenceUID" not in seg


def test_frames_of_several_orientations_never_get_that_of_the_first() -> None:
    made = enhanced_mr(np.stack([ramp(12, 10)] * 2), [(0, 0, 0), (0, 0, 2)])
    made.FrameOfReferenceUID, turned = "1.2.3.9", (0, 1, 0, 0, 0, -1)
    made.PerFrameFunctionalGroupsSequence[1].PlaneOrientationSequence = [item(ImageOrientationPatient=decimal(*turned))]
    image = read_instance(saved(made), Options())
    labels = blocks((2, 12, 10))
    with pytest.raises(UnusableImage, match="labels on 2 frames that have no places of their own"):
        encode_seg(answer_to(image, labels))
    labels[0] = 0
    orientation = group(read(encode_seg(answer_to(image, labels))), 0, "PlaneOrientationSequence")
    assert orientation is not None
    assert tuple(orientation.ImageOrientationPatient) == turned


def test_a_picture_is_no_source() -> None:
    with pytest.raises(InputError, match="Send the DICOM file") as caught:
        encode_seg(answer_to(picture(9, 9), blocks((1, 9, 9))))
    assert caught.value.code == "needs_dicom"


def test_a_label_without_codes_is_refused() -> None:
    plain = manifest(tuple(replace_codes(label) for label in CODED))
    image = ultrasound()
    with pytest.raises(BadParameter, match="label lesion without DICOM codes") as caught:
        encode_seg(answer_to(image, blocks(image.region.shape), manifest=plain))
    assert caught.value.code == "needs_codes"


def replace_codes(label: Any) -> Any:
    return label.model_copy(update={"type": None})
