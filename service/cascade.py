"""Run the stages of a pipeline in order and say what each of them did."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from service.canvas import Canvas, Decided, decide
from service.errors import BadParameter
from service.frame import Frame, planes
from service.image import Image, Region, around
from service.manifest import Manifest, StageSpec
from service.result import Ask, CascadeResult, Classification, Flag, Localisation, Look, Patch, StageResult, Status
from service.stages import Classify, Detect, Found, Map, Prompt, Segment, Stage, check_points, looked_at

__all__ = ["Ask", "Cascade", "CascadeResult", "Classification", "Flag", "Look", "Patch", "StageResult"]

WIDEN = 1.5
AS_THE_MANIFEST_SAYS = Ask()
CLIPPED = Flag("box_clipped", "A given box reaches over the edge of the picture: only its part inside counts.")
NOT_CLASSIFIED = Classification(None, "This pipeline has no classifying stage.")


@dataclass(frozen=True, eq=False)
class Cascade:
    """A pipeline with its stages built; safe to share between threads."""

    manifest: Manifest
    stages: tuple[Stage, ...]

    def run(self, image: Image, ask: Ask = AS_THE_MANIFEST_SAYS) -> CascadeResult:
        """All stages in order. Raises BadParameter for an ask this pipeline cannot serve."""
        wanted = self._wanted(ask)
        given = tuple(box.clipped(image.field) for box in ask.boxes)
        if ask.points:
            stage = next(stage for stage in self.stages if stage.spec is wanted)
            check_points(stage, ask.points, given, image.region)
        work = _Work(self.manifest, Frame(image), replace(ask, boxes=given), wanted, self._replaced(ask, wanted))
        if given != ask.boxes:
            work.flags.append(CLIPPED)
        if image.field.depth == 1 and _flat(image):
            text = "Every pixel has the same value: there is nothing to look at, so nothing was evaluated."
            return work.unevaluated(Flag("no_contrast", text))
        for stage in self.stages:
            work.do(stage)
        return work.result()

    def _wanted(self, ask: Ask) -> StageSpec:
        masks = [stage.spec for stage in self.stages if stage.spec.kind in ("segment", "prompt")]
        wanted = [spec for spec in masks if ask.stage in (None, spec.name)]
        if not wanted:
            raise BadParameter(
                f"stage {ask.stage!r}", f"one of {[spec.name for spec in masks]}", "Name a stage that makes a mask."
            )
        _check_threshold(ask.threshold, wanted[-1])
        return wanted[-1]

    def _replaced(self, ask: Ask, wanted: StageSpec) -> str | None:
        """What given boxes or points take the place of: the first stage that a later one looks at.

        A prompt stage on the image looks at what is given instead of the whole of it.
        """
        if not ask.boxes and not ask.points:
            return None
        if wanted.kind == "prompt" and wanted.on == "image":
            return wanted.on
        looked_at_names = {stage.spec.on for stage in self.stages}
        first = next((stage.spec.name for stage in self.stages if stage.spec.name in looked_at_names), wanted.name)
        if first == wanted.name:
            raise BadParameter(
                "a box",
                f"no box: stage {wanted.name} looks at the whole image",
                "Leave the box out, or name another stage or pipeline.",
            )
        return first


def check_probability(threshold: float, said: object) -> None:
    """Raises BadParameter unless ``threshold`` is 0 to 1; ``said`` is how the caller put it."""
    if not 0 <= threshold <= 1:
        raise BadParameter(
            f"threshold={said!s:.60}", "a number from 0 to 1", "Leave it out to take the pipeline's own."
        )


def _check_threshold(threshold: float | None, spec: StageSpec) -> None:
    if threshold is None:
        return
    check_probability(threshold, threshold)
    if spec.exclusive:
        raise BadParameter(
            f"threshold={threshold}", "no threshold: the labels exclude each other", "Leave the threshold out."
        )


def _flat(image: Image) -> bool:
    slab = image.slab(image.field.z0, image.field.z1)[:, *image.field.slices[1:]]
    return bool((slab == slab[:1, :1, :1]).all())


@dataclass(eq=False)
class _Work:
    """One image's way through the stages."""

    manifest: Manifest
    frame: Frame
    ask: Ask
    wanted: StageSpec
    replaced: str | None
    found: dict[str, list[Found]] = field(default_factory=lambda: {"image": []})
    how: dict[str, Localisation] = field(default_factory=dict)
    canvases: dict[str, Canvas] = field(default_factory=dict)
    results: list[StageResult] = field(default_factory=list)
    flags: list[Flag] = field(default_factory=list)
    classification: Classification = NOT_CLASSIFIED
    stopped: set[str] = field(default_factory=set)

    @property
    def grid(self) -> Region:
        return self.frame.image.region

    def do(self, stage: Stage) -> None:
        """Run one stage and note what it did and how long it took."""
        start, meter = time.perf_counter(), replace(self.frame.meter)
        looks = self._given(stage) if stage.spec.name == self.replaced else self._run(stage)
        now = self.frame.meter
        self.results.append(
            StageResult(
                stage.spec.name,
                stage.spec.kind,
                self.how[stage.spec.name],
                tuple(looks),
                1000 * (time.perf_counter() - start),
                now.runs - meter.runs,
                1000 * (now.seconds - meter.seconds),
            )
        )

    def _given(self, stage: Stage) -> list[Look]:
        label = stage.spec.labels[0]
        self.found[stage.spec.name] = self._given_boxes(label)
        self.how[stage.spec.name] = "given"
        return [Look(box, label) for box in self.ask.boxes]

    def _given_boxes(self, label: str) -> list[Found]:
        return [Found(box, label, 1.0) for box in self.ask.boxes]

    def _run(self, stage: Stage) -> list[Look]:
        match stage:
            case Detect():
                return self._detect(stage)
            case Segment() | Prompt():
                return self._segment(stage)
            case Classify():
                return self._classify(stage)
            case Map():
                self.how[stage.spec.name] = "whole_image"
                self.frame = replace(self.frame, maps={**self.frame.maps, stage.spec.name: stage.over(self.frame)})
                return []

    def _boxes(self, spec: StageSpec) -> list[Found] | None:
        """What an earlier stage found for this one; None for the whole image. Notes how it was localised."""
        # Of all stages on the image, what is given is for the wanted one.
        prompted = spec.on == self.replaced == "image" and spec is self.wanted
        earlier = self._given_boxes(spec.labels[0]) if prompted else self.found[spec.on]
        given = prompted or (spec.on == self.replaced != "image")
        # A given box carries no label: it is whatever this stage looks for.
        boxes = [one for one in earlier if given or spec.label in (None, one.label)]
        if boxes:
            self.how[spec.name] = "given" if given else "found"
            return boxes
        if spec.on == "image" or spec.on_miss == "whole_image":
            self.how[spec.name] = "whole_image"
            if spec.on != "image":
                text = f"Stage {spec.on} found nothing; stage {spec.name} looked at the whole image instead."
                self.flags.append(Flag("whole_image_fallback", text))
            return None
        self.how[spec.name] = "not_found"
        if spec.on_miss == "stop" or spec.on in self.stopped:
            self.stopped.add(spec.name)
        return []

    def _views(self, spec: StageSpec, boxes: list[Found] | None) -> list[tuple[Region, Found | None]]:
        if boxes is None:
            return [(view, None) for view in planes(self.frame.image.field)]
        field = self.frame.image.field
        return [(view, one) for one in boxes for view in planes(looked_at(one.region, spec.look, field))]

    def _detect(self, stage: Detect) -> list[Look]:
        spec = stage.spec
        views = self._views(spec, self._boxes(spec))
        found = list(stage.run(self.frame, (view for view, _ in views)))
        self.found[spec.name] = found
        self.how[spec.name] = "found" if found else "not_found"
        return [Look(one.region, one.label, one.score) for one in found]

    def _segment(self, stage: Segment | Prompt) -> list[Look]:
        spec = stage.spec
        canvas = self.canvases[spec.name] = self._canvas(spec)
        if isinstance(stage, Prompt) and self.ask.points and spec is self.wanted:
            looks = [self._pointed(stage, canvas)]
        else:
            looks = self._looked(stage, canvas)
        self.found[spec.name] = _boxes_of(canvas, spec)
        return looks

    def _pointed(self, stage: Prompt, canvas: Canvas) -> Look:
        spec, points, box = stage.spec, self.ask.points, next(iter(self.ask.boxes), None)
        self.how[spec.name] = "given"
        canvas.put(decide(stage.at(self.frame, points, box), spec, self._threshold(spec)))
        if box is None and spec.on != "image":
            # Points have no extent: for the stages to come, the localiser found what the points were answered with.
            self.found[spec.on] = _boxes_of(canvas, spec)
        return Look(box or around(points), spec.labels[0])

    def _looked(self, stage: Segment | Prompt, canvas: Canvas) -> list[Look]:
        spec = stage.spec
        boxes = self._boxes(spec)
        views = self._views(spec, boxes)
        if isinstance(stage, Prompt) and boxes is not None:
            views = [(view, one) for one in boxes for view in planes(one.region)]
        looks = []
        seen = stage.run(self.frame, (view for view, _ in views))
        for (view, one), probability in zip(views, seen, strict=True):
            decided = decide(probability, spec, self._threshold(spec))
            look, decided = self._widened(stage, decided, one)
            canvas.put(decided)
            looks.append(look if isinstance(stage, Segment) else replace(look, region=view))
        return looks

    def _widened(self, stage: Segment | Prompt, decided: Decided, one: Found | None) -> tuple[Look, Decided]:
        """A mask that reaches into the border is cut off: look once more, wider; the second result stands."""
        look = Look(decided.view, one.label if one else None, self._score(stage.spec, one))
        slice_field = replace(self.frame.image.field, z0=decided.view.z0, z1=decided.view.z1)
        if decided.touches_border(slice_field):
            wider = decided.view.widened(WIDEN, slice_field)
            (probability,) = stage.run(self.frame, [wider])
            decided = decide(probability, stage.spec, self._threshold(stage.spec))
            look = replace(look, region=wider, widened=True, touches_border=decided.touches_border(slice_field))
        if look.touches_border:
            text = (
                f"The mask of stage {stage.spec.name} reaches the border of the widened region, too: it may be cut off."
            )
            self.flags.append(Flag("mask_touches_region", text))
        return look, decided

    def _score(self, spec: StageSpec, one: Found | None) -> float | None:
        return None if one is None or self.how[spec.name] == "given" else one.score

    def _threshold(self, spec: StageSpec) -> float:
        asked = self.ask.threshold if spec is self.wanted else None
        return spec.threshold if asked is None else asked

    def _canvas(self, spec: StageSpec) -> Canvas:
        ids = {label.name: label.id for label in self.manifest.labels}
        return Canvas(self.grid, {ids[name]: name for name in spec.labels}, [ids[name] for name in spec.labels])

    def _classify(self, stage: Classify) -> list[Look]:
        boxes = self._boxes(stage.spec)
        if boxes is not None:
            # One answer per image: that of the largest finding.
            boxes = sorted(boxes, key=lambda one: -one.region.width * one.region.height)[:1]
        views = self._views(stage.spec, boxes)
        if not views:
            self.classification = Classification(None, f"Stage {stage.spec.on} found nothing to classify.")
            return []
        self.classification = Classification(_mean(stage.run(self.frame, (view for view, _ in views))))
        return [Look(view, one.label if one else None, self._score(stage.spec, one)) for view, one in views]

    def unevaluated(self, flag: Flag) -> CascadeResult:
        """The result when no stage was worth running."""
        self.stopped.add(self.wanted.name)
        self.flags.append(flag)
        self.classification = Classification(None, "Nothing was evaluated.")
        return self.result()

    def result(self) -> CascadeResult:
        """What all stages gave together."""
        canvas = self.canvases.get(self.wanted.name) or self._canvas(self.wanted)
        flags = tuple(dict.fromkeys(self.flags))
        return CascadeResult(
            self._status(canvas), canvas.mask(), canvas.patches, tuple(self.results), self.classification, flags
        )

    def _status(self, canvas: Canvas) -> Status:
        if canvas.labels.any():
            return "found"
        return "not_evaluated" if self.wanted.name in self.stopped else "none_found"


def _boxes_of(canvas: Canvas, spec: StageSpec) -> list[Found]:
    return [box for label in spec.labels for box in canvas.boxes(label)]


def _mean(scores: Iterable[Mapping[str, float]]) -> dict[str, float]:
    every = list(scores)
    return {name: sum(one[name] for one in every) / len(every) for name in every[0]}
