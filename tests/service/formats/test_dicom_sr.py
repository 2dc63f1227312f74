"""The measurement report, read back by highdicom and, item by item, by pydicom."""

import io
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import highdicom as hd
import numpy as np
import pydicom
import pytest
from pydicom import Dataset
from pydicom.sr.codedict import codes

from service.engine import Answer
from service.errors import BadParameter, InputError
from service.formats.dicom_seg import make_seg
from service.formats.dicom_sr import encode_sr
from service.image import Image
from service.location import Location
from tests.service.formats.answers import CODED, answer_to, manifest, picture
from tests.service.formats.dicom_sources import PATIENT, cine, enhanced_mr, mammogram, mr_series, ultrasound
from tests.service.formats.segmentations import blocks

SOURCES = {
    "mr": lambda: mr_series((4, 9, 7)),
    "enhanced": lambda: enhanced_mr((4, 9, 7)),
    "mammogram": mammogram,
    "ultrasound": ultrasound,
    "private class": lambda: ultrasound(sop_class="1.2.3.4.5.6.7"),
}
NAMES = {"Area": "area_mm2", "Long axis": "long_axis_mm", "Short axis": "short_axis_mm", "Volume": "volume_ml"}
UNITS = {"Area": "mm2", "Long axis": "mm", "Short axis": "mm", "Volume": "ml"}


def answered(image: Image, **about: Any) -> Answer:
    return answer_to(image, blocks(image.region.shape), **about)


def read(content: bytes) -> Dataset:
    return pydicom.dcmread(io.BytesIO(content))


def groups(content: bytes) -> list[Dataset]:
    """Measurement groups as pydicom sees them."""
    (measured,) = (item for item in read(content).ContentSequence if named(item) == "Imaging Measurements")
    return list(measured.ContentSequence)


def named(item: Dataset) -> str:
    return str(item.ConceptNameCodeSequence[0].CodeMeaning) if "ConceptNameCodeSequence" in item else ""


def items(group: Dataset, name: str) -> list[Dataset]:
    return [item for item in group.ContentSequence if named(item) == name]


def sizes(group: Dataset) -> dict[str, tuple[float, str]]:
    """Numbers of a group with their units."""
    return {
        named(item): (
            float(item.MeasuredValueSequence[0].NumericValue),
            item.MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0].CodeValue,
        )
        for item in group.ContentSequence
        if item.ValueType == "NUM"
    }


def code(item: Dataset) -> str:
    return str(item.ConceptCodeSequence[0].CodeValue)


@pytest.mark.parametrize("source", SOURCES)
def test_findings_are_measured_as_in_the_answer(source: str) -> None:
    answer = answered(SOURCES[source]())
    first, second, tissue = groups(encode_sr(answer))
    lesions = [finding for finding in answer.findings if finding.label == "lesion"]
    for group, finding in ((first, lesions[0]), (second, lesions[1])):
        expected = {name: getattr(finding, field) for name, field in NAMES.items()}
        expected = {name: value for name, value in expected.items() if value is not None}
        found = sizes(group)
        assert {name: unit for name, (_, unit) in found.items()} == {name: UNITS[name] for name in expected}
        assert {name: value for name, (value, _) in found.items()} == pytest.approx(expected, abs=1e-6)
    volume = answer.image.depth > 1
    assert set(sizes(tissue)) == ({"Volume"} if volume else {"Area"})
    assert set(sizes(first)) == (set(NAMES) if volume else set(NAMES) - {"Volume"})


@pytest.mark.parametrize("kind", ["binary", "labelmap"])
@pytest.mark.parametrize("source", SOURCES)
def test_groups_point_to_the_segmentation_of_the_same_request(source: str, kind: Any) -> None:
    answer = answered(SOURCES[source]())
    seg, report = make_seg(answer, kind), hd.sr.srread(io.BytesIO(encode_sr(answer, kind)))
    assert seg is not None
    content = report.content
    found = content.get_planar_roi_measurement_groups() + content.get_volumetric_roi_measurement_groups()
    assert len(found) == len(seg.segments) == 3
    for part, group in zip(seg.segments, found, strict=True):
        assert (group.tracking_uid, group.tracking_identifier) == (part.tracking_uid, part.name)
        named_so = ("Referenced Segment", "Referenced Segmentation Frame")
        (item,) = (item for item in group[0].ContentSequence if named(item) in named_so)
        (to,) = item.ReferencedSOPSequence
        assert to.ReferencedSOPInstanceUID == seg.dataset.SOPInstanceUID
        assert to.ReferencedSOPClassUID == seg.dataset.SOPClassUID
        assert to.ReferencedSegmentNumber == part.number
        frames = to.ReferencedFrameNumber
        assert ([frames] if isinstance(frames, int) else list(frames)) == seg.frames[part.number]
    evidence = {one.ReferencedSOPInstanceUID: one.ReferencedSOPClassUID for one in instances(report)}
    assert evidence.pop(seg.dataset.SOPInstanceUID) == seg.dataset.SOPClassUID
    assert answer.image.source is not None
    assert answer.image.source.dicom is not None
    assert evidence == {one.SOPInstanceUID: one.SOPClassUID for one in answer.image.source.dicom.headers}


def instances(report: Dataset) -> Iterator[Dataset]:
    for study in report.CurrentRequestedProcedureEvidenceSequence:
        for series in study.ReferencedSeriesSequence:
            yield from series.ReferencedSOPSequence


@pytest.mark.parametrize("kind", ["binary", "labelmap"])
def test_frames_of_a_segment_show_it(kind: Any) -> None:
    answer = answered(mr_series((4, 9, 7)))
    made = make_seg(answer, kind)
    assert made is not None
    shown = pydicom.dcmread(io.BytesIO(made.content)).pixel_array.reshape(-1, 9, 7)
    for part in made.segments:
        slices = len({z for finding in part.findings for z in range(*finding.slices)})
        assert len(made.frames[part.number]) == slices
        for frame in made.frames[part.number]:
            assert (shown[frame - 1] == (1 if kind == "binary" else part.number)).any()


def test_a_group_says_what_where_and_who() -> None:
    content = encode_sr(answered(mammogram()))
    first = groups(content)[0]
    (site,) = items(first, "Finding Site")
    assert code(site) == "76752008"
    assert [code(one) for one in site.ContentSequence] == ["7771000"]
    assert [code(one) for one in items(first, "Finding")] == ["52988006"]
    assert [code(one) for one in items(first, "Presence of property")] == ["121053"]
    assert [one.TextValue for one in items(first, "Algorithm Parameters")] == [
        f"sha256 a.onnx={'0123456789abcdef' * 4}"
    ]
    (procedure,) = (one for one in read(content).ContentSequence if named(one) == "Procedure reported")
    assert code(procedure) == "71651007"


def test_a_known_quadrant_modifies_the_site() -> None:
    answer = answered(mr_series((4, 9, 7)))
    placed = tuple(replace(one, location=Location("upper_outer", 2)) for one in answer.findings)
    first, _, tissue = groups(encode_sr(replace(answer, findings=placed)))
    (site,) = items(first, "Finding Site")
    assert [code(one) for one in site.ContentSequence] == ["76365002"]
    (site,) = items(tissue, "Finding Site")
    assert "ContentSequence" not in site


@pytest.mark.parametrize("source", [*SOURCES, "clip"])
@pytest.mark.parametrize(("status", "said"), [("none_found", "121054"), ("not_evaluated", "373121007")])
def test_nothing_found_is_said_of_every_label(source: str, status: str, said: str) -> None:
    image = {**SOURCES, "clip": cine}[source]()
    answer = answer_to(image, np.zeros(image.region.shape, np.uint8), status=status)
    content = encode_sr(answer)
    report = hd.sr.srread(io.BytesIO(content)).content
    found = report.get_image_measurement_groups()
    assert [group.finding_type.value for group in found] == ["52988006", "1342375003"]
    for group in groups(content):
        assert [code(one) for one in items(group, "Presence of property")] == [said]
        assert sizes(group) == {}
    assert len(report.get_image_measurement_groups(finding_type=codes.SCT.Lesion)) == 1


def test_without_spacing_there_are_no_lengths() -> None:
    for group in groups(encode_sr(answered(ultrasound(spacing=(None, None, None))))):
        assert sizes(group) == {}


@pytest.mark.parametrize("source", SOURCES)
def test_equal_answers_are_equal_bytes(source: str) -> None:
    assert encode_sr(answered(SOURCES[source]())) == encode_sr(answered(SOURCES[source]()))


def test_the_document_is_a_draft_for_research() -> None:
    content = encode_sr(answered(mammogram()))
    report = read(content)
    assert content[:132] == bytes(128) + b"DICM"
    assert (report.CompletionFlag, report.VerificationFlag, report.PreliminaryFlag) == (
        "COMPLETE",
        "UNVERIFIED",
        "PRELIMINARY",
    )
    assert (report.ContentQualification, str(report.PatientName)) == ("RESEARCH", PATIENT)
    assert "RESEARCH USE ONLY" in report.SeriesDescription
    assert report.SOPClassUID == pydicom.uid.ComprehensiveSRStorage


def test_what_it_cannot_be_made_from_is_refused() -> None:
    with pytest.raises(InputError, match="Send the DICOM file"):
        encode_sr(answer_to(picture(9, 9), blocks((1, 9, 9))))
    plain = manifest(tuple(label.model_copy(update={"category": None}) for label in CODED))
    image = ultrasound()
    with pytest.raises(BadParameter, match="label lesion without DICOM codes"):
        encode_sr(answer_to(image, np.zeros(image.region.shape, np.uint8), manifest=plain))
