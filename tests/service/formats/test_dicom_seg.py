"""The segmentation, read back by two readers: highdicom, and pydicom with the standard's formulas written out here."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from typing import Any

import highdicom as hd
import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydicom import Dataset

from service.formats.dicom_seg import encode_seg, make_seg
from service.formats.dicom_segments import MOST_COUNTED, segments
from service.image import Image
from tests.service.formats.answers import CODED, answer_to
from tests.service.formats.dicom_sources import PATIENT, cine, enhanced_mr, mammogram, mr_series, ultrasound
from tests.service.formats.segmentations import blocks, group, read
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
