"""The parameters of one request, from the query, the form or the command line, checked before anything is decoded."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema

from service import engine
from service.cascade import check_probability
from service.errors import BadParameter
from service.formats.dicom_object import SegType
from service.formats.lengths import LEAST_MM
from service.formats.limits import Limits
from service.formats.options import Options
from service.image import Image, Point, Region

Pair = tuple[str, str]

REPEATABLE = frozenset({"box", "points"})
# Millimetres between pixels; beyond this it is a mistake of the unit.
MAX_SPACING = 100.0


def _box(text: object) -> Region:
    try:
        left, top, right, bottom = (int(part) for part in str(text).split(","))
    except ValueError as error:
        raise BadParameter(
            f"box={text!s:.60}", "four whole numbers left,top,right,bottom", "Write for example box=10,20,110,140."
        ) from error
    return Region(left, top, right, bottom)


def _point(text: object) -> Point:
    try:
        x, y, label = (int(part) for part in str(text).split(","))
    except ValueError:
        x, y, label = 0, 0, -1
    if label not in (0, 1):
        raise BadParameter(
            f"points={text!s:.60}",
            "three whole numbers x,y,label, the label 1 inside the object or 0 outside of it",
            "Write for example points=120,80,1.",
        )
    return Point(x, y, inside=label == 1)


def _threshold(text: object) -> float:
    try:
        value = float(str(text))
    except ValueError:
        value = math.nan
    check_probability(value, text)
    return value


def _spacing(text: object) -> tuple[float, ...]:
    try:
        values = [float(part) for part in str(text).split(",")]
    except ValueError:
        values = []
    if len(values) not in (1, 2, 3) or not all(LEAST_MM <= value <= MAX_SPACING for value in values):
        raise BadParameter(
            f"spacing={text!s:.60}",
            f"one number, y,x or z,y,x in millimetres per pixel, {LEAST_MM:f} to {MAX_SPACING:g}",
            "Write for example spacing=0.1, spacing=0.1,0.08 or spacing=2,0.7,0.7.",
        )
    return tuple(values) if len(values) > 1 else (values[0], values[0])


Choice = Annotated[str, Field(max_length=40, pattern=r"^[a-z][a-z0-9_]*$")]
Box = Annotated[
    Region, BeforeValidator(_box), WithJsonSchema({"type": "string", "pattern": r"^-?\d+,-?\d+,-?\d+,-?\d+$"})
]
Points = Annotated[Point, BeforeValidator(_point), WithJsonSchema({"type": "string", "pattern": r"^-?\d+,-?\d+,[01]$"})]
Threshold = Annotated[
    float, BeforeValidator(_threshold), WithJsonSchema({"type": "number", "minimum": 0, "maximum": 1})
]
Spacing = Annotated[
    tuple[float, ...],
    BeforeValidator(_spacing),
    WithJsonSchema({"type": "string", "examples": ["0.1", "0.1,0.08", "2,0.7,0.7"]}),
]


class Parameters(BaseModel):
    """What a request may ask for beside its picture; everything may be left out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pipeline: str | None = Field(None, description="Which pipeline; may be left out where only one fits.")
    version: str | None = Field(None, description="Of the pipeline; the default one when left out.")
    threshold: Threshold | None = Field(
        None, description="Probability above which a pixel belongs to the label; the pipeline's own else."
    )
    box: tuple[Box, ...] = Field(
        (), description="left,top,right,bottom in pixels, right and bottom excluded: takes the place of stage 1."
    )
    points: tuple[Points, ...] = Field(
        (),
        description="x,y,label in pixels, label 1 inside the object and 0 outside of it: for a stage that is prompted.",
    )
    stage: str | None = Field(None, description="Whose mask is wanted; the last segmenting stage when left out.")
    slice: int | None = Field(
        None, ge=0, description="Of a volume look at this slice alone, from 0; boxes and points lie in it."
    )
    phase: int | None = Field(None, ge=0, description="Which volume of several (time points, echoes), from 0.")
    spacing: Spacing | None = Field(None, description="Millimetres per pixel: one number, y,x or z,y,x.")
    roi: Choice | None = Field(
        None,
        description="Which region a later stage looks at, where the pipeline leaves a choice: of mammography breast, "
        "fibroglandular or full (the whole picture). What is offered stands in its manifest as regions.",
        examples=["breast", "fibroglandular", "full"],
    )
    enhance: Choice | None = Field(
        None,
        description="How the picture is enhanced for the networks, where the pipeline leaves a choice: none, clahe or "
        "adaptive_clahe. As the weights were trained when left out; another choice is flagged.",
        examples=["none", "clahe", "adaptive_clahe"],
    )
    mask_outside_region: bool = Field(
        False, description="Black out what lies outside of the ultrasound region that the file marks, text included."
    )
    seg_type: SegType | None = Field(
        None,
        description="Of dicom-seg, and of what dicom-sr points to; binary, which every viewer shows, else.",
    )
    format: str | None = Field(None, description="What comes back; json when left out, or as Accept says.")

    def options(self, limits: Limits, raw: frozenset[str | None], around: int | None = None) -> Options:
        """How to read the file.

        ``raw`` are the modalities whose values are wanted as measured, ``around`` how many slices are needed on each
        side of the one looked at, all where it is None.
        """
        return Options(
            limits,
            slice=self.slice,
            around=around,
            phase=self.phase,
            spacing=self.spacing,
            raw=raw,
            # Who gives a box knows where to look.
            whole=bool(self.box or self.points) and not self.mask_outside_region,
            hide_outside=self.mask_outside_region,
        )

    def check(self, image: Image) -> None:
        """Raises BadParameter for boxes or points that could lie in any slice of a volume."""
        if self.slice is None and image.depth > 1 and (self.box or self.points):
            raise BadParameter(
                f"a box or points in a volume of {image.depth} slices",
                f"the slice they lie in, 0 to {image.depth - 1}",
                "Give the parameter slice, too.",
            )

    def request(self) -> engine.Request:
        """The same for the engine."""
        z = self.slice or 0
        boxes = tuple(box.shifted(0, 0, z) for box in self.box)
        points = tuple(replace(point, z=z) for point in self.points)
        return engine.Request(
            self.pipeline,
            self.version,
            self.threshold,
            boxes,
            self.stage,
            points,
            roi=self.roi,
            enhance=self.enhance,
        )


KNOWN = tuple(Parameters.model_fields)


def read_parameters(pairs: Iterable[Pair], offered: Sequence[str] = KNOWN) -> Parameters:
    """Parameters from (name, text) pairs in any order; an empty text counts as left out.

    ``offered`` are the names that whoever gives an unknown one is told of.

    Raises BadParameter for an unknown name, a value that cannot be, or a name given twice that may be given once.
    """
    given: dict[str, list[str]] = {}
    for name, text in pairs:
        _check_name(name, offered)
        if text:
            given.setdefault(name, []).append(text)
    try:
        parameters = Parameters.model_validate({name: _value(name, texts) for name, texts in given.items()})
    except ValidationError as error:
        raise _readable(error) from error
    _check_together(parameters)
    return parameters


def _check_together(parameters: Parameters) -> None:
    if parameters.roi is not None and (parameters.box or parameters.points):
        raise BadParameter(
            f"roi={parameters.roi} beside a box or points",
            "one or the other",
            "What is given takes the place of the region: leave one of them out.",
        )


def _check_name(name: str, offered: Sequence[str]) -> None:
    if name in KNOWN:
        return
    close = difflib.get_close_matches(name, offered, 1)
    hint = f"Did you mean {close[0]}?" if close else "Leave it out."
    raise BadParameter(f"unknown parameter {name[:40]!r}", f"one of {', '.join(offered)}", hint)


def _value(name: str, texts: list[str]) -> Any:
    if name in REPEATABLE:
        return texts
    if len(texts) > 1:
        raise BadParameter(
            f"{name} given {len(texts)} times", f"{name} at most once", "Give it once, in query or form."
        )
    return texts[0]


def _readable(error: ValidationError) -> BadParameter:
    first = error.errors()[0]
    name = first["loc"][0]
    wanted = first["msg"].removeprefix("Input should be ")
    return BadParameter(f"{name}={first['input']!s:.60}", wanted, f"Correct {name} or leave it out.")
