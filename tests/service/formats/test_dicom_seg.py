"""The segmentation, read back by two readers: highdicom, and pydicom with the standard's formulas written out here."""

import datetime
import io
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import highdicom as hd
import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydicom import Dataset

from service.engine import Answer
from service.errors import BadParameter, InputError, UnusableImage
from service.formats.dicom_object import incomplete
from service.formats.dicom_seg import encode_seg, make_seg
from service.formats.dicom_segments import MOST_COUNTED, segments
from service.image import Image
from tests.service.formats.answers import CODED, answer_to, manifest, picture
from tests.service.formats.dicom_sources import PATIENT, cine, enhanced_mr, mammogram, mr_series, ultrasound
from tests.service.formats.test_nifti_out import rotation

TYPES = ("binary", "labelmap")
IDS = {label.type.value: label.id for label in CODED if label.type}
SEVERAL_FILES = {"mr": lambda: mr_series((4, 9, 7)), "enhanced": lambda: enhanced_mr((4, 9, 7))}
ONE_FRAME = {
    "mammogram": mammogram,
    "ultrasound": ultrasound,
    "retired class": lambda: ultrasound(sop_class="1.2.840.10008.5.1.4.1.1.6"),
    "private class": lambda: ultrasound(sop_class="1.2.3.4.5.6.7"),
    "one slice": lambda: mr_series((1, 9, 7)),
    "no spacing": lambda: ultrasound(spacing=(None, None, None)),
}


def noise(shape: tuple[int, ...], seed: int = 5) -> NDArray[np.uint8]:
    """Both labels strewn about, few enough for each lesion to count."""
    labels = np.random.default_rng(seed).choice([0, 0, 0, 0, 0, 0, 1, 3], shape).astype(np.uint8)
    labels[-1, 0, 0] = 1
    return labels


def blocks(shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Two lesions and some tissue in the last slice, the larger lesion through two slices where there are two."""
    labels = np.zeros(shape, np.uint8)
    labels[-2:, 2:6, 1:4] = 1
    labels[-1, 7:9, 5:7] = 1
    labels[-1, 0:2] = 3
    return labels


def read(content: bytes) -> Dataset:
    """As pydicom reads it."""
    return pydicom.dcmread(io.BytesIO(content))


def group(seg: Dataset, frame: int, macro: str) -> Dataset | None:
    """A functional group of a frame (from 0), its own or shared."""
    for groups in (seg.PerFrameFunctionalGroupsSequence[frame], seg.SharedFunctionalGroupsSequence[0]):
        if macro in groups:
            return groups[macro].value[0]
    return None


def label_planes(seg: Dataset) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Each frame (from 0) as label ids, by the codes of its segments."""
    ids = {one.SegmentNumber: one.SegmentedPropertyTypeCodeSequence[0].CodeValue for one in seg.SegmentSequence}
    stored = seg.pixel_array.reshape(-1, seg.Rows, seg.Columns)
    for frame, plane in enumerate(stored):
        if seg.SegmentationType == "LABELMAP":
            table = np.zeros(max(ids) + 1, np.uint8)
            for number, value in ids.items():
                table[number] = IDS.get(value, 0)
            yield frame, table[plane]
        else:
            identified = group(seg, frame, "SegmentIdentificationSequence")
            assert identified is not None
            yield frame, plane.astype(np.uint8) * IDS[ids[identified.ReferencedSegmentNumber]]


def plane_affine(seg: Dataset, frame: int) -> NDArray[np.float64]:
    """(column, row) to mm LPS: PS3.3 C.7.6.2.1.1, equation C.7.6.2.1-1."""
    position, orientation, measures = (
        group(seg, frame, f"{name}Sequence") for name in ("PlanePosition", "PlaneOrientation", "PixelMeasures")
    )
    assert position is not None
    assert orientation is not None
    assert measures is not None
    cosines, (between_rows, between_columns) = orientation.ImageOrientationPatient, measures.PixelSpacing
    affine = np.zeros((3, 3))
    affine[:, 0] = np.array(cosines[:3], float) * float(between_columns)
    affine[:, 1] = np.array(cosines[3:], float) * float(between_rows)
    affine[:, 2] = position.ImagePositionPatient
    return affine


def landed(content: bytes, image: Image) -> NDArray[np.uint8]:
    """Labels on the image's grid, each frame put where its place in the patient is."""
    seg, volume = read(content), np.zeros(image.region.shape, np.uint8)
    assert image.source is not None
    assert image.source.affine is not None
    for frame, plane in label_planes(seg):
        where = plane_affine(seg, frame)
        for column, row in ((0, 0), (image.width - 1, 0), (0, image.height - 1)):
            voxel = np.linalg.inv(image.source.affine) @ [*(where @ (column, row, 1)), 1]
            assert voxel[:2] == pytest.approx((column, row), abs=1e-3)
            assert voxel[2] == pytest.approx(round(voxel[2]), abs=1e-3)
        z = round(voxel[2])
        assert not volume[z][plane > 0].any()
        volume[z] += plane
    return volume


ANGLES = st.tuples(*[st.floats(-math.pi, math.pi)] * 3)
FLIPS = st.sampled_from([np.diag(signs) for signs in ((1, 1, 1), (-1, 1, -1), (1, -1, -1), (-1, -1, 1), (1, 1, -1))])


@settings(max_examples=20)
@given(
    # Frames of fewer pixels than a byte has bits, which no reader of ours lets in, are packed wrongly by highdicom.
    st.tuples(st.integers(1, 4), st.integers(4, 9), st.integers(4, 9)),
    st.tuples(*[st.floats(0.3, 4)] * 3),
    st.one_of(FLIPS, ANGLES.map(rotation)),
    st.sampled_from(TYPES),
)
def test_a_series_lands_on_the_same_voxels_and_millimetres(shape: Any, spacing: Any, turn: Any, kind: Any) -> None:
    image, labels = mr_series(shape, spacing, turn), noise(shape)
    content = encode_seg(answer_to(image, labels), kind)
    np.testing.assert_array_equal(landed(content, image), labels)
    measures = read(content).SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert [float(part) for part in measures.PixelSpacing] == pytest.approx(spacing[1:], rel=1e-6)


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("source", SEVERAL_FILES)
def test_highdicom_reads_the_same_volume(source: str, kind: Any) -> None:
    turn = rotation((0.3, -0.2, 2.5))
    make = mr_series if source == "mr" else enhanced_mr
    image, labels = make((4, 9, 7), (2.5, 0.7, 0.4), turn), blocks((4, 9, 7))
    answer = answer_to(image, labels)
    seg = hd.seg.segread(io.BytesIO(encode_seg(answer, kind)))
    volume = seg.get_volume(combine_segments=True)
    assert image.source is not None
    assert image.source.affine is not None
    parts = {part.number: part.label.id for part in segments(answer)}
    seen = np.zeros_like(labels)
    for k, j, i in np.argwhere(volume.array):
        x, y, z, _ = np.linalg.inv(image.source.affine) @ volume.affine @ (k, j, i, 1)
        assert (x, y, z) == pytest.approx((round(x), round(y), round(z)), abs=1e-3)
        seen[round(z), round(y), round(x)] = parts[volume.array[k, j, i]]
    np.testing.assert_array_equal(seen, labels)


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("source", [*SEVERAL_FILES, *ONE_FRAME, "clip"])
def test_each_frame_names_the_frame_it_came_from(source: str, kind: Any) -> None:
    image = {**SEVERAL_FILES, **ONE_FRAME, "clip": cine}[source]()
    assert image.source is not None
    assert image.source.dicom is not None
    labels = blocks(image.region.shape)
    if source == "clip":
        labels[:-1] = 0
    seg, seen = read(encode_seg(answer_to(image, labels), kind)), np.zeros_like(labels)
    named = {
        (image.source.dicom.instance(z).SOPInstanceUID, image.source.dicom.frames[z][1]): z for z in range(image.depth)
    }
    for frame, plane in label_planes(seg):
        derivation = group(seg, frame, "DerivationImageSequence")
        assert derivation is not None
        (came_from,) = derivation.SourceImageSequence
        assert came_from.SpatialLocationsPreserved == "YES"
        z = named[came_from.ReferencedSOPInstanceUID, int(came_from.get("ReferencedFrameNumber", 1))]
        assert came_from.ReferencedSOPClassUID == image.source.dicom.instance(z).SOPClassUID
        assert ("ReferencedFrameNumber" in came_from) == (source in ("enhanced", "clip"))
        seen[z] += plane
    np.testing.assert_array_equal(seen, labels)
    (series,) = seg.ReferencedSeriesSequence
    listed = [one.ReferencedSOPInstanceUID for one in series.ReferencedInstanceSequence]
    assert sorted(listed) == sorted({one.SOPInstanceUID for one in image.source.dicom.headers})


@pytest.mark.parametrize("source", [*SEVERAL_FILES, *ONE_FRAME])
def test_the_object_is_what_viewers_take(source: str) -> None:
    image = {**SEVERAL_FILES, **ONE_FRAME}[source]()
    content = encode_seg(answer_to(image, blocks(image.region.shape)))
    seg = hd.seg.segread(io.BytesIO(content))
    assert content[:132] == bytes(128) + b"DICM"
    assert (seg.SegmentationType, seg.file_meta.TransferSyntaxUID) == ("BINARY", "1.2.840.10008.1.2.1")
    assert (seg.PatientName, seg.PatientID, seg.StudyInstanceUID) == (PATIENT, "ID-7", "1.2.3")
    assert (seg.ContentQualification, seg.Modality) == ("RESEARCH", "SEG")
    measures = seg.SharedFunctionalGroupsSequence[0].get("PixelMeasuresSequence")
    assert bool(measures) == (source != "no spacing")
    if source in ("mammogram", "ultrasound"):
        assert [float(part) for part in measures[0].PixelSpacing] == list(image.spacing[1:])
        assert "FrameOfReferenceUID" not in seg


def test_labelmap_is_compressed_and_keeps_odd_sizes() -> None:
    image = mammogram(23, 17)
    labels = noise((1, 23, 17))
    seg = read(encode_seg(answer_to(image, labels), "labelmap"))
    assert seg.file_meta.TransferSyntaxUID == pydicom.uid.RLELossless
    ((_, plane),) = label_planes(seg)
    np.testing.assert_array_equal(plane, labels[0])


def test_segments_say_what_they_are_and_who_says_so() -> None:
    image = mammogram()
    seg = read(encode_seg(answer_to(image, blocks(image.region.shape))))
    assert [one.SegmentLabel for one in seg.SegmentSequence] == ["lesion 1", "lesion 2", "fibroglandular"]
    first, _, tissue = seg.SegmentSequence
    assert first.SegmentedPropertyCategoryCodeSequence[0].CodeValue == "49755003"
    assert first.SegmentedPropertyTypeCodeSequence[0].CodeValue == "52988006"
    assert tissue.SegmentedPropertyTypeCodeSequence[0].CodeValue == "1342375003"
    assert (first.SegmentAlgorithmType, first.TrackingID) == ("AUTOMATIC", "lesion 1")
    (algorithm,) = first.SegmentationAlgorithmIdentificationSequence
    assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("Breast Cascade ultrasound", "1.0.0")
    assert algorithm.AlgorithmFamilyCodeSequence[0].CodeValue == "123110"
    assert algorithm.AlgorithmParameters == f"sha256 a.onnx={'0123456789abcdef' * 4}"
    (region,) = first.AnatomicRegionSequence
    assert region.CodeValue == "76752008"
    assert region.AnatomicRegionModifierSequence[0].CodeMeaning == "Left"
    colour = hd.color.CIELabColor.from_dicom_value(first.RecommendedDisplayCIELabValue)
    assert colour.to_rgb() == pytest.approx((230, 30, 40), abs=1)


def test_given_boxes_make_it_semiautomatic() -> None:
    image = ultrasound()
    seg = read(encode_seg(answer_to(image, blocks(image.region.shape), localisation="given")))
    assert {one.SegmentAlgorithmType for one in seg.SegmentSequence} == {"SEMIAUTOMATIC"}


def test_too_many_fragments_are_one_segment() -> None:
    labels = np.zeros((1, 21, 40), np.uint8)
    labels[0, ::4, ::4] = 1
    answer = answer_to(ultrasound(21, 40), labels)
    assert len(answer.findings) > MOST_COUNTED
    (only,) = segments(answer)
    assert (only.name, only.rank, len(only.findings)) == ("lesion", 0, len(answer.findings))
    ((_, plane),) = label_planes(read(encode_seg(answer)))
    np.testing.assert_array_equal(plane, labels[0])


def test_nothing_found_is_no_object() -> None:
    image = mammogram()
    assert encode_seg(answer_to(image, np.zeros(image.region.shape, np.uint8))) == b""
    assert make_seg(answer_to(image, np.zeros(image.region.shape, np.uint8))) is None


@pytest.mark.parametrize("source", [*SEVERAL_FILES, *ONE_FRAME])
@pytest.mark.parametrize("kind", TYPES)
def test_equal_answers_are_equal_bytes(source: str, kind: Any) -> None:
    make = {**SEVERAL_FILES, **ONE_FRAME}[source]

    def content() -> bytes:
        image = make()
        return encode_seg(answer_to(image, blocks(image.region.shape)), kind)

    assert content() == content()


def test_whatever_differs_has_another_uid_and_is_still_tracked() -> None:
    base, other_mask, other_patient = ultrasound(), ultrasound(), ultrasound(PatientName="Somebody^Else")
    labels, grown = blocks(base.region.shape), blocks(base.region.shape)
    grown[0, 6, 2] = 1
    made = [
        make_seg(answer_to(base, labels)),
        make_seg(answer_to(other_mask, grown)),
        make_seg(answer_to(other_patient, labels)),
        make_seg(answer_to(ultrasound(), labels), "labelmap"),
    ]
    assert all(made)
    assert len({one.dataset.SOPInstanceUID for one in made if one}) == 4
    assert len({one.dataset.SeriesInstanceUID for one in made if one}) == 1
    assert len({one.segments[0].tracking_uid for one in made if one}) == 1
    assert all(str(one.dataset.SOPInstanceUID).startswith("2.25.") for one in made if one)
    assert len({part.tracking_uid for part in made[0].segments}) == 3  # type: ignore[union-attr]


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
