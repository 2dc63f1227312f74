"""The formats of the contract: one entry for each, from an answer to bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any

import orjson

from service.answers.body import answer_body
from service.answers.clock import Clock
from service.engine import Answer
from service.errors import BadParameter, InputError
from service.formats.coco import coco_document
from service.formats.cvat import cvat_document
from service.formats.dicom_object import SegType, dicom_of
from service.formats.guard import quiet
from service.formats.label_studio import label_studio_tasks
from service.formats.mask_png import encode_mask
from service.formats.nifti_out import encode_nifti
from service.formats.overlay import encode_overlay
from service.formats.panel import encode_panel, panel_parts
from service.formats.polygons import polygon_document
from service.formats.probability import TOP, encode_probability, probability_map
from service.image import Image

JSON, PNG, NIFTI, DICOM = "application/json", "image/png", "application/gzip", "application/dicom"
Encode = Callable[[Answer], bytes]


@dataclass(frozen=True)
class Format:
    """One way to write an answer.

    Attributes:
        suffix: ends the names of its files.
        encode: the bytes; none where the format has nothing to say (a DICOM segmentation of nothing).
        for_volumes: how the same is written of a volume, where that differs.
        from_dicom: whether it takes what only a DICOM source holds: patient, study, frame of reference.
        probabilities: whether it tells those of each voxel.
        masks: whether it shows those of all stages.
        parts: further PNG files where answers are written as files, by name; None for one that cannot be had.
    """

    name: str
    media_type: str
    suffix: str
    encode: Callable[[Answer, Clock], bytes]
    for_volumes: Format | None = None
    from_dicom: bool = False
    probabilities: bool = False
    masks: bool = False
    parts: Callable[[Answer], Mapping[str, bytes | None]] | None = None

    @staticmethod
    def suffix_of(part: str) -> str:
        """How the name of a part's file ends."""
        return f"_{part}.png"

    def of(self, image: Image) -> Format:
        """How an answer to this image is written. Raises InputError with code ``needs_dicom``."""
        if self.from_dicom:
            dicom_of(image)
        return self.for_volumes if self.for_volumes and image.depth > 1 else self


def _json(answer: Answer, clock: Clock) -> bytes:
    return answer_body(answer, clock).model_dump_json().encode()


def _timed(encode: Encode) -> Callable[[Answer, Clock], bytes]:
    def encoded(answer: Answer, clock: Clock) -> bytes:
        # Warnings of the libraries quote values of the source, such as a patient's.
        with clock.span("encode"), quiet():
            return encode(answer)

    return encoded


def _document(build: Callable[[Answer], Any]) -> Callable[[Answer, Clock], bytes]:
    return _timed(lambda answer: orjson.dumps(build(answer)))


def _seg(answer: Answer, seg_type: SegType = "binary") -> bytes:
    # highdicom takes two seconds to import, which a command that writes no DICOM does not wait for.
    from service.formats.dicom_seg import encode_seg

    return encode_seg(answer, seg_type)


def _sr(answer: Answer, seg_type: SegType = "binary") -> bytes:
    from service.formats.dicom_sr import encode_sr

    return encode_sr(answer, seg_type)


def _sc(answer: Answer) -> bytes:
    from service.formats.dicom_sc import encode_sc

    return encode_sc(answer)


def warm() -> None:
    """Import what is imported late, so that no request of a server waits for it."""
    for name in ("seg", "sr", "sc"):
        import_module(f"service.formats.dicom_{name}")


def _probability_volume(answer: Answer) -> bytes:
    levels = probability_map(answer.result.patches, answer.image.region)
    return encode_nifti(levels, answer.image, scale=1 / TOP)


_mask = _timed(lambda answer: encode_mask(answer.result.mask, answer.manifest.labels))
_nifti = _timed(lambda answer: encode_nifti(answer.result.mask.labels, answer.image))
_overlay = _timed(lambda answer: encode_overlay(answer.image, answer.result.mask, answer.manifest.labels))
_probability = _timed(lambda answer: encode_probability(answer.result.patches, answer.image.region))
_panel = _timed(encode_panel)
_volume = Format("probability", NIFTI, ".probability.nii.gz", _timed(_probability_volume), probabilities=True)

OFFERED: Mapping[str, Format] = {
    one.name: one
    for one in (
        Format("json", JSON, ".json", _json),
        Format("mask", PNG, ".mask.png", _mask, Format("mask", NIFTI, ".mask.nii.gz", _nifti)),
        Format("overlay", PNG, ".overlay.png", _overlay),
        Format("probability", PNG, ".probability.png", _probability, _volume, probabilities=True),
        Format("panel", PNG, "_visualization.png", _panel, probabilities=True, masks=True, parts=panel_parts),
        Format("nifti", NIFTI, ".nii.gz", _nifti),
        Format("dicom-seg", DICOM, ".seg.dcm", _timed(_seg), from_dicom=True),
        Format("dicom-sr", DICOM, ".sr.dcm", _timed(_sr), from_dicom=True),
        Format("dicom-sc", DICOM, ".sc.dcm", _timed(_sc), from_dicom=True),
        Format("coco", JSON, ".coco.json", _document(coco_document)),
        Format("cvat", JSON, ".cvat.json", _document(cvat_document)),
        Format("label-studio", JSON, ".label-studio.json", _document(label_studio_tasks)),
        Format("polygons", JSON, ".polygons.json", _document(lambda answer: polygon_document(answer.result.mask))),
    )
}
# Those that a type of segmentation may be chosen for.
LABELMAPS: Mapping[str, Encode] = {
    "dicom-seg": lambda answer: _seg(answer, "labelmap"),
    "dicom-sr": lambda answer: _sr(answer, "labelmap"),
}
# What a caller gets who names a media type and no format; the first one where he names all.
BY_MEDIA_TYPE: Mapping[str, str] = {JSON: "json", PNG: "mask", DICOM: "dicom-seg", NIFTI: "nifti"}


def wanted_format(name: str | None, accept: str | None, seg_type: SegType | None = None) -> Format:
    """The format asked for by name, else by an ``Accept`` header, else JSON.

    Raises BadParameter for a name that is not offered, or a ``seg_type`` for a format that has none; InputError with
    code ``not_acceptable``.
    """
    found = OFFERED[_by_accept(accept)] if name is None else _by_name(name)
    if seg_type is None:
        return found
    if found.name not in LABELMAPS:
        raise BadParameter(
            f"seg_type={seg_type} for format={found.name}",
            f"it with one of {', '.join(LABELMAPS)} only",
            "Leave seg_type out, or ask for one of these formats.",
        )
    return found if seg_type == "binary" else replace(found, encode=_timed(LABELMAPS[found.name]))


def _by_name(name: str) -> Format:
    if name in OFFERED:
        return OFFERED[name]
    wanted = f"one of {', '.join(OFFERED)}"
    raise BadParameter(f"format={name[:40]}", wanted, "Ask for one of these formats.", "unsupported_format")


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
