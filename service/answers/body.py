"""An answer as the JSON of the contract."""

from __future__ import annotations

from service.answers import schemas
from service.answers.clock import Clock
from service.engine import Answer
from service.formats.dicom_object import incomplete
from service.formats.rle import mask_document
from service.image import NO_SPACING, Image
from service.measure import Finding
from service.result import StageResult


def answer_body(answer: Answer, clock: Clock) -> schemas.AnswerBody:
    """The JSON answer. The clock gets the time to build it as ``encode``."""
    with clock.span("encode"):
        mask = schemas.MaskBody.model_validate(mask_document(answer.result.mask))
        findings = [_finding(finding) for finding in answer.findings]
        stages = [_stage(stage) for stage in answer.result.stages]
    return schemas.AnswerBody(
        pipeline=answer.manifest.name,
        version=answer.manifest.version,
        evidence=answer.manifest.evidence.level,
        status=answer.result.status,
        image=_image(answer.image),
        stages=stages,
        findings=findings,
        mask=mask,
        classification=_classification(answer),
        measurements=[schemas.MeasurementBody.model_validate(vars(one)) for one in answer.measurements],
        flags=_flags(answer),
        provenance=dict(answer.provenance),
        timings_ms=_timings(clock),
    )


def _timings(clock: Clock) -> schemas.TimingsBody:
    return schemas.TimingsBody(
        decode=round(clock["decode"], 3),
        stages=round(clock["stages"], 3),
        encode=round(clock["encode"], 3),
        total=round(clock.total, 3),
    )


def _image(image: Image) -> schemas.ImageBody:
    return schemas.ImageBody(
        width=image.width,
        height=image.height,
        depth=image.depth,
        depth_axis=image.depth_axis,
        spacing_mm=None if image.spacing == NO_SPACING else image.spacing,
        spacing_source=image.spacing_source,
        modality=image.modality,
        laterality=image.laterality,
        view=image.view,
    )


def _stage(stage: StageResult) -> schemas.StageBody:
    regions = [
        schemas.RegionBody(
            box=look.region.box,
            slice=look.region.z0,
            label=look.label,
            score=look.score,
            widened=look.widened,
            touches_border=look.touches_border,
        )
        for look in stage.regions
    ]
    return schemas.StageBody(
        name=stage.name,
        kind=stage.kind,
        localisation=stage.localisation,
        regions=regions,
        milliseconds=round(stage.milliseconds, 3),
    )


def _finding(finding: Finding) -> schemas.FindingBody:
    location = finding.location
    placed = {
        "quadrant": location.quadrant,
        "clock_face": location.clock_face,
        "location_reason": location.reason,
    }
    measured = {name: getattr(finding, name) for name in schemas.FindingBody.model_fields if name not in placed}
    return schemas.FindingBody.model_validate({**measured, **placed})


def _flags(answer: Answer) -> list[schemas.FlagBody]:
    lacking = incomplete(answer.image)
    flags = answer.flags if lacking is None else (*answer.flags, lacking)
    return [schemas.FlagBody(code=flag.code, text=flag.text) for flag in flags]


def _classification(answer: Answer) -> schemas.ClassificationBody:
    found = answer.result.classification
    return schemas.ClassificationBody(scores=None if found.scores is None else dict(found.scores), reason=found.reason)
