"""The JSON of an answer, field by field. Boxes are (left, top, right, bottom), half-open, in source pixels."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

Box = tuple[int, int, int, int]


class Body(BaseModel):
    """One JSON object of an answer."""

    model_config = ConfigDict(frozen=True, extra="forbid", serialize_by_alias=True)


class ImageBody(Body):
    """The grid the answer refers to. ``spacing_mm`` is (z, y, x), null where unknown."""

    width: int
    height: int
    depth: int
    depth_axis: Literal["space", "time", "none"]
    spacing_mm: tuple[float | None, float | None, float | None] | None
    spacing_source: Literal["pixel_spacing", "imager", "imager_magnified", "us_region", "nifti", "nrrd", "user", "none"]
    modality: str | None
    laterality: str | None
    view: str | None


class RegionBody(Body):
    """One region a stage looked at. ``slice`` is its first one, 0-based; ``score`` is 0 to 1, null where given."""

    box: Box
    slice: int
    label: str | None
    score: float | None
    widened: bool
    touches_border: bool


class StageBody(Body):
    """What one stage did."""

    name: str
    kind: str
    localisation: Literal["found", "whole_image", "given", "not_found"]
    regions: list[RegionBody]
    milliseconds: float


class FindingBody(Body):
    """One connected component. Millimetres are null where the spacing is unknown.

    Axes and area of a volume are those of the finding's largest slice; ``longest_mm`` is its greatest extent in space,
    over planes of every direction, null where depth is not space. ``centroid`` is (x, y, z) in pixels,
    ``centroid_mm`` the same in the patient (LPS), null where the file does not place its voxels in one. Where quadrant
    and clock face (the reader facing the patient) are null, ``location_reason`` says why.
    """

    id: int
    label: str
    score: float | None
    box: Box
    slices: tuple[int, int]
    area_px: int
    area_mm2: float | None
    long_axis_mm: float | None
    short_axis_mm: float | None
    longest_mm: float | None
    volume_ml: float | None
    centroid: tuple[float, float, float]
    centroid_mm: tuple[float, float, float] | None
    quadrant: Literal["upper_outer", "upper_inner", "lower_outer", "lower_inner"] | None
    clock_face: int | None
    location_reason: str | None
    contour: list[tuple[int, int]]
    touches_border: bool


class MaskBody(Body):
    """COCO run lengths, down the columns, per label name; ``size`` is (height, width). One per slice for volumes."""

    encoding: Literal["coco-rle"] = "coco-rle"
    size: tuple[int, int]
    labels: dict[str, str | list[str]]


class ClassificationBody(Body):
    """Scores by name that sum to 1; or null with the reason why nothing was classified."""

    scores: dict[str, float] | None
    reason: str | None


class MeasurementBody(Body):
    """A by-product. ``value`` is null where it cannot be told; ``text`` says what it is and is not, or why not."""

    name: str
    value: float | None
    unit: str
    text: str


class FlagBody(Body):
    """Something the reader must know."""

    code: str
    text: str


class TimingsBody(Body):
    """Milliseconds. ``total`` runs from the last byte received and holds the wait for a free slot too."""

    decode: float
    stages: float
    encode: float
    total: float


class AnswerBody(Body):
    """The answer to one image. Research use only: not a medical device."""

    pipeline: str
    version: str
    evidence: Literal["validated", "demonstration"]
    research_use_only: Literal[True] = True
    status: Literal["found", "none_found", "not_evaluated"]
    image: ImageBody
    stages: list[StageBody]
    findings: list[FindingBody]
    mask: MaskBody
    classification: ClassificationBody
    measurements: list[MeasurementBody]
    flags: list[FlagBody]
    provenance: dict[str, Any]
    timings_ms: TimingsBody
