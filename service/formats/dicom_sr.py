"""The findings as a DICOM measurement report (PS3.16 TID 1500), each group pointing to its segment.

A group per segment of the segmentation that ``format=dicom-seg`` gives for the same request. In a volume the area and
the axes are those of the largest slice; a group that is all of a label has no axes, and in a volume no area. Lengths
need a pixel spacing; without one a group has no measurements. Nothing found, or nothing evaluated, is said of each
label.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from highdicom.sr import (
    AlgorithmIdentification,
    CodedConcept,
    ComprehensiveSR,
    DeviceObserverIdentifyingAttributes,
    FindingSite,
    Measurement,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    ObserverContext,
    PlanarROIMeasurementsAndQualitativeEvaluations,
    QualitativeEvaluation,
    ReferencedSegment,
    ReferencedSegmentationFrame,
    SourceImageForMeasurementGroup,
    SourceImageForSegmentation,
    TrackingIdentifier,
    VolumetricROIMeasurementsAndQualitativeEvaluations,
)
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import MRImageStorage

from service.engine import Answer
from service.formats.dicom_foreign import series_of
from service.formats.dicom_object import (
    NAME,
    TYPE_2,
    Kind,
    Reference,
    SegType,
    describe,
    dicom_of,
    finish,
    reference,
    uid,
    weights_digest,
    weights_of,
)
from service.formats.dicom_seg import Made, make_seg
from service.formats.dicom_segments import Segment, breast, codes_of, side_of, tracked
from service.image import Image
from service.manifest import Label

KIND = Kind("SR", 9002)
Group = (
    PlanarROIMeasurementsAndQualitativeEvaluations
    | VolumetricROIMeasurementsAndQualitativeEvaluations
    | MeasurementsAndQualitativeEvaluations
)
PROCEDURES = {
    "MG": CodedConcept("71651007", "SCT", "Mammography"),
    "US": CodedConcept("47079000", "SCT", "Ultrasonography of breast"),
    "MR": CodedConcept("241615005", "SCT", "MRI of breast"),
}
IMAGING = CodedConcept("363679005", "SCT", "Imaging procedure")
PRESENCE = CodedConcept("121052", "DCM", "Presence of property")
PRESENT = CodedConcept("121053", "DCM", "Present")
ABSENT = CodedConcept("121054", "DCM", "Absent")
NOT_EVALUATED = CodedConcept("373121007", "SCT", "Not Evaluated")
AREA, VOLUME = codes.SCT.Area, codes.SCT.Volume
LONG_AXIS, SHORT_AXIS = codes.SCT.LongAxis, codes.SCT.ShortAxis
MILLILITRE = CodedConcept("ml", "UCUM", "milliliter")
MM, MM2 = codes.UCUM.Millimeter, codes.UCUM.SquareMillimeter
QUADRANTS = {
    "upper_outer": CodedConcept("76365002", "SCT", "Upper outer quadrant of breast"),
    "upper_inner": CodedConcept("77831004", "SCT", "Upper inner quadrant of breast"),
    "lower_outer": CodedConcept("33564002", "SCT", "Lower outer quadrant of breast"),
    "lower_inner": CodedConcept("19100000", "SCT", "Lower inner quadrant of breast"),
}


def encode_sr(answer: Answer, seg_type: SegType = "binary") -> bytes:
    """The file. Raises as `service.formats.dicom_seg.make_seg`."""
    source, seg = dicom_of(answer.image), make_seg(answer, seg_type)
    references = [reference(source, z) for z in range(answer.image.depth)]
    groups = [_measured(part, answer, seg) for part in seg.segments] if seg else _nothing(answer, references[0])
    evidence = [_evidence(answer.image, z) for z in range(answer.image.depth)]
    made = ComprehensiveSR(
        evidence=[*evidence, seg.dataset] if seg else evidence,
        content=_report(answer, groups),
        is_complete=True,
        content_qualification="RESEARCH",
        **describe(answer, KIND),
    )
    return finish(made, source, {one.instance: one for one in references})


def _evidence(image: Image, z: int) -> Dataset:
    """An instance as highdicom takes it for evidence: of a class that it knows, its own is put in after."""
    header, dataset = dicom_of(image).instance(z), Dataset()
    for keyword in TYPE_2:
        setattr(dataset, keyword, "")
    dataset.SOPClassUID, dataset.SOPInstanceUID = MRImageStorage, reference(dicom_of(image), z).instance
    of = series_of(header)
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = of.study, of.series
    return dataset


def _report(answer: Answer, groups: Sequence[Group]) -> MeasurementReport:
    device = DeviceObserverIdentifyingAttributes(
        uid=uid("device", NAME, answer.manifest.name, answer.manifest.version, weights_digest(answer)),
        name=NAME,
        manufacturer_name=NAME,
        model_name=f"{answer.manifest.name} {answer.manifest.version}",
    )
    observer = ObserverContext(codes.DCM.Device, device)
    return MeasurementReport(
        ObservationContext(observer_device_context=observer),
        PROCEDURES.get(answer.image.modality or "", IMAGING),
        groups,
    )


def _measured(part: Segment, answer: Answer, seg: Made) -> Group:
    category, kind = codes_of(part.label)
    common: dict[str, Any] = {
        "tracking_identifier": TrackingIdentifier(part.tracking_uid, part.name),
        "finding_type": kind,
        "finding_category": category,
        "finding_sites": _sites(part, answer.image),
        "algorithm_id": _algorithm(answer),
        "measurements": _measurements(part, answer.image),
        "qualitative_evaluations": [QualitativeEvaluation(PRESENCE, PRESENT)],
    }
    if answer.image.depth == 1:
        return PlanarROIMeasurementsAndQualitativeEvaluations(referenced_segment=_frame(part, answer, seg), **common)
    return VolumetricROIMeasurementsAndQualitativeEvaluations(referenced_segment=_segment(part, answer, seg), **common)


def _nothing(answer: Answer, where: Reference) -> list[Group]:
    """What is said of each label that could have been found and was not."""
    said = ABSENT if answer.result.status == "none_found" else NOT_EVALUATED
    names = set(answer.result.mask.names.values())
    return [_absent(label, said, answer, where) for label in answer.manifest.labels if label.name in names]


def _absent(label: Label, said: CodedConcept, answer: Answer, where: Reference) -> Group:
    category, kind = codes_of(label)
    frames = None if where.frame is None else [where.frame]
    return MeasurementsAndQualitativeEvaluations(
        TrackingIdentifier(tracked(label, 0, answer), label.name),
        finding_type=kind,
        finding_category=category,
        finding_sites=[_site(answer.image)],
        algorithm_id=_algorithm(answer),
        qualitative_evaluations=[QualitativeEvaluation(PRESENCE, said)],
        source_images=[SourceImageForMeasurementGroup(where.sop_class, where.instance, frames)],
    )


def _sites(part: Segment, image: Image) -> list[FindingSite]:
    quadrant = part.findings[0].location.quadrant if part.rank else None
    return [_site(image, QUADRANTS[quadrant] if quadrant else None)]


def _site(image: Image, modifier: CodedConcept | None = None) -> FindingSite:
    return FindingSite(breast(), side_of(image), modifier)


def _algorithm(answer: Answer) -> AlgorithmIdentification:
    digests = [f"sha256 {file}={digest}" for file, digest in weights_of(answer).items()]
    name = f"{NAME} {answer.manifest.name}"
    return AlgorithmIdentification(name, answer.manifest.version, digests, codes.DCM.ArtificialIntelligence, NAME)


def _measurements(part: Segment, image: Image) -> list[Measurement]:
    found = part.findings
    sizes: list[tuple[Code | CodedConcept, float | None, Code | CodedConcept]] = []
    if part.rank or image.depth == 1:
        sizes.append((AREA, _sum(one.area_mm2 for one in found), MM2))
    if part.rank:
        sizes += [(LONG_AXIS, found[0].long_axis_mm, MM), (SHORT_AXIS, found[0].short_axis_mm, MM)]
    sizes.append((VOLUME, _sum(one.volume_ml for one in found), MILLILITRE))
    return [Measurement(name, round(value, 6), unit) for name, value, unit in sizes if value is not None]


def _sum(parts: Iterable[float | None]) -> float | None:
    known = list(parts)
    return None if None in known else float(sum(one for one in known if one is not None))


def _sources(part: Segment, answer: Answer) -> list[SourceImageForSegmentation]:
    source = dicom_of(answer.image)
    slices = sorted({z for finding in part.findings for z in range(*finding.slices)})
    named: dict[tuple[str, str], list[int]] = {}
    for one in (reference(source, z) for z in slices):
        named.setdefault((one.sop_class, one.instance), []).extend([] if one.frame is None else [one.frame])
    return [SourceImageForSegmentation(*one, frames or None) for one, frames in named.items()]


def _frame(part: Segment, answer: Answer, seg: Made) -> ReferencedSegmentationFrame:
    named = seg.dataset.SOPClassUID, seg.dataset.SOPInstanceUID
    (source,) = _sources(part, answer)
    return ReferencedSegmentationFrame(*named, seg.frames[part.number][0], part.number, source)


def _segment(part: Segment, answer: Answer, seg: Made) -> ReferencedSegment:
    named = seg.dataset.SOPClassUID, seg.dataset.SOPInstanceUID
    return ReferencedSegment(*named, part.number, seg.frames[part.number], _sources(part, answer))
