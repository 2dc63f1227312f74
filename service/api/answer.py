"""An answer to bytes: one entry per format of the contract."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import orjson

from service.api import schemas
from service.api.clock import Clock
from service.engine import Answer
from service.errors import BadParameter, InputError
from service.formats.coco import coco_document
from service.formats.mask_png import encode_mask
from service.formats.overlay import encode_overlay
from service.formats.polygons import polygon_document
from service.formats.probability import encode_probability
from service.formats.rle import mask_document
from service.image import NO_SPACING, Image
from service.measure import Finding
from service.result import StageResult

JSON, PNG = "application/json", "image/png"


@dataclass(frozen=True)
class Format:
    """One way to write an answer. ``suffix`` ends the names of its files; ``encode`` may look at the clock."""

    name: str
    media_type: str
    suffix: str
    encode: Callable[[Answer, Clock], bytes]


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
        measurements=dict(answer.measurements),
        flags=[schemas.FlagBody(code=flag.code, text=flag.text) for flag in answer.flags],
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
    known = {name: getattr(finding, name) for name in schemas.FindingBody.model_fields}
    return schemas.FindingBody.model_validate(known)


def _classification(answer: Answer) -> schemas.ClassificationBody:
    found = answer.result.classification
    return schemas.ClassificationBody(scores=None if found.scores is None else dict(found.scores), reason=found.reason)


def _json(answer: Answer, clock: Clock) -> bytes:
    return answer_body(answer, clock).model_dump_json().encode()


def _mask(answer: Answer, clock: Clock) -> bytes:
    with clock.span("encode"):
        return encode_mask(answer.result.mask, answer.manifest.labels)


def _overlay(answer: Answer, clock: Clock) -> bytes:
    with clock.span("encode"):
        return encode_overlay(answer.image, answer.result.mask, answer.manifest.labels)


def _probability(answer: Answer, clock: Clock) -> bytes:
    with clock.span("encode"):
        return encode_probability(answer.result.patches, answer.image.region)


def _coco(answer: Answer, clock: Clock) -> bytes:
    with clock.span("encode"):
        return orjson.dumps(coco_document(answer))


def _polygons(answer: Answer, clock: Clock) -> bytes:
    with clock.span("encode"):
        return orjson.dumps(polygon_document(answer.result.mask))


OFFERED: Mapping[str, Format] = {
    one.name: one
    for one in (
        Format("json", JSON, ".json", _json),
        Format("mask", PNG, ".mask.png", _mask),
        Format("overlay", PNG, ".overlay.png", _overlay),
        Format("probability", PNG, ".probability.png", _probability),
        Format("coco", JSON, ".coco.json", _coco),
        Format("polygons", JSON, ".polygons.json", _polygons),
    )
}
# Written from what only a DICOM source holds: patient, study, frame of reference.
FROM_DICOM = frozenset({"dicom-seg", "dicom-sr", "dicom-sc"})
NOT_YET = frozenset({"panel", "nifti", "cvat", "label-studio"})
# What a caller gets who names a media type and no format; the first one where he names all.
BY_MEDIA_TYPE: Mapping[str, str] = {JSON: "json", PNG: "mask"}


def wanted_format(name: str | None, accept: str | None) -> Format:
    """The format asked for by name, else by an ``Accept`` header, else JSON.

    Raises BadParameter for a name that is not offered, InputError with code ``needs_dicom`` or ``not_acceptable``.
    """
    if name is None:
        return OFFERED[_by_accept(accept)]
    if name in OFFERED:
        return OFFERED[name]
    if name in FROM_DICOM:
        raise InputError(
            f"format={name} for a picture that is not DICOM",
            "a DICOM source",
            f"Send the DICOM file, or ask for one of {', '.join(OFFERED)}.",
            "needs_dicom",
        )
    found = f"format={name}, which is not written yet" if name in NOT_YET else f"format={name[:40]}"
    raise BadParameter(found, f"one of {', '.join(OFFERED)}", "Ask for one of these formats.", "unsupported_format")


def _by_accept(accept: str | None) -> str:
    if not accept:
        return "json"
    ranges = sorted((_weighed(part) for part in accept.split(",")), key=lambda pair: -pair[1])
    for media_range, weight in ranges:
        for media_type, name in BY_MEDIA_TYPE.items():
            if weight > 0 and _covers(media_range, media_type):
                return name
    raise InputError(
        f"Accept: {accept[:80]}",
        f"one of {', '.join(BY_MEDIA_TYPE)}",
        "Accept one of these, or give the parameter format.",
        "not_acceptable",
    )


def _weighed(part: str) -> tuple[str, float]:
    media_range, *options = (piece.strip().lower() for piece in part.split(";"))
    weights = [option[2:] for option in options if option.startswith("q=")]
    try:
        return media_range, float(weights[0]) if weights else 1.0
    except ValueError:
        return media_range, 0.0


def _covers(media_range: str, media_type: str) -> bool:
    if media_range == "*/*":
        return True
    kind, _, subtype = media_range.partition("/")
    return media_range == media_type or (subtype == "*" and media_type.startswith(f"{kind}/"))
