"""One image's way through the stages of a pipeline, batch by batch.

Between two batches the watch is told, may end the run, and may be handed where it is; from there another process goes
on to the same result.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from service.canvas import Canvas, Decided, decide
from service.checkpoint import Progress, Saved, State
from service.frame import Frame
from service.image import Region, around
from service.manifest import Manifest, StageSpec
from service.regions import asked_wide, chosen_regions, fallen_back, looks_everywhere
from service.result import Ask, CascadeResult, Classification, Flag, Look, StageResult, Status
from service.saving import Checkpoints
from service.stages import Classify, Detect, Found, Map, Prompt, Segment, Stage, looked_at
from service.stopwatch import Stopwatch
from service.views import Looking, View, next_batch, views_of
from service.watch import Watch

WIDEN = 1.5


@dataclass(eq=False)
class Passage:
    """What one run was asked for, and where it is.

    Attributes:
        wanted: the stage whose mask is asked for.
        replaced: what given boxes or points take the place of.
        empty: slices that no stage looks at.
    """

    manifest: Manifest
    frame: Frame
    ask: Ask
    wanted: StageSpec
    replaced: str | None
    watch: Watch
    checkpoints: Checkpoints | None = None
    empty: frozenset[int] = frozenset()
    state: State = field(default_factory=State)
    canvases: dict[str, Canvas] = field(default_factory=dict)

    def through(self, stages: Sequence[Stage]) -> CascadeResult:
        """All stages in order, from the last checkpoint on."""
        saved = self.checkpoints.load() if self.checkpoints else None
        if saved is not None:
            self._go_on_from(saved, [stage.spec for stage in stages])
        done = {result.name for result in self.state.results}
        for stage in stages:
            if isinstance(stage, Map):
                self.frame = replace(self.frame, maps={**self.frame.maps, stage.spec.name: stage.over(self.frame)})
            if stage.spec.name not in done:
                self._do(stage)
        return self.result()

    def _go_on_from(self, saved: Saved, specs: Sequence[StageSpec]) -> None:
        self.state = saved.state
        for spec in specs:
            if spec.name in saved.canvases:
                saved.canvases[spec.name].draw_on(self._canvas(spec))

    def _do(self, stage: Stage) -> None:
        """Run one stage and note what it did and how long it took."""
        name = stage.spec.name
        if self.state.now.stage != name:
            self.state.now = Progress(name)
        watch = Stopwatch(self.frame.meter, self.state.now)
        looks = self._given(stage) if name == self.replaced else self._run(stage, watch)
        now = watch.noted()
        how = self.state.how[name]
        self.state.results.append(
            StageResult(
                name, stage.spec.kind, how, tuple(looks), 1000 * now.seconds, now.runs, 1000 * now.network_seconds
            )
        )

    def _given(self, stage: Stage) -> list[Look]:
        label = stage.spec.labels[0]
        self.state.found[stage.spec.name] = self._given_boxes(label)
        self.state.how[stage.spec.name] = "given"
        return [Look(box, label) for box in self.ask.boxes]

    def _given_boxes(self, label: str) -> list[Found]:
        return [Found(box, label, 1.0) for box in self.ask.boxes]

    def _run(self, stage: Stage, watch: Stopwatch) -> list[Look]:
        match stage:
            case Detect():
                return self._detect(stage, watch)
            case Segment() | Prompt():
                return self._segment(stage, watch)
            case Classify():
                return self._classify(stage, watch)
            case Map():
                self.state.how[stage.spec.name] = "whole_image"
                return []

    def _boxes(self, spec: StageSpec) -> list[Found] | None:
        """What an earlier stage found for this one; None for the whole image. Notes how it was localised."""
        # Of all stages on the image, what is given is for the wanted one.
        prompted = spec.on == self.replaced == "image" and spec is self.wanted
        earlier = self._given_boxes(spec.labels[0]) if prompted else self.state.found[spec.on]
        given = prompted or (spec.on == self.replaced != "image")
        if spec.regions and not given:
            boxes = self._chosen(spec)
        else:
            # A given box carries no label: it is whatever this stage looks for.
            boxes = [one for one in earlier if given or spec.label in (None, one.label)]
        if boxes:
            self.state.how[spec.name] = "given" if given else "found"
            return boxes
        wide = looks_everywhere(spec)
        if spec.on == "image" or wide or spec.on_miss == "whole_image":
            self.state.how[spec.name] = "whole_image"
            if spec.on != "image":
                self.state.flags.append(asked_wide(spec) if wide else fallen_back(spec))
            return None
        self.state.how[spec.name] = "not_found"
        if spec.on_miss == "stop" or spec.on in self.state.stopped:
            self.state.stopped.add(spec.name)
        return []

    def _chosen(self, spec: StageSpec) -> list[Found]:
        """The region of the stage's choice in each slice."""
        canvas = self.canvases.get(spec.on)
        if spec.region is None or canvas is None:
            return []
        return chosen_regions(canvas, spec.region, spec.regions[spec.region])

    def _views(self, spec: StageSpec, boxes: list[Found] | None, *, enlarged: bool = True) -> list[View]:
        field = self.frame.image.field
        if boxes is None:
            return views_of([(field, None)], self.empty)
        regions = [(looked_at(one.region, spec.look, field) if enlarged else one.region, one) for one in boxes]
        return views_of(regions, self.empty)

    def _batches(self, stage: Looking, views: list[View], watch: Stopwatch) -> Iterator[list[View]]:
        """The views not done yet, as many at once as the network takes; after each batch the watch has its turn."""
        now, total = self.state.now, len(views)
        self.watch.step(now.stage, now.done, total)
        while now.done < total:
            batch = next_batch(stage, views[now.done :])
            yield batch
            now.done += len(batch)
            watch.noted()
            at_an_end = now.done == total or views[now.done][0].z0 > batch[-1][0].z0
            if self.checkpoints and self.checkpoints.due() and at_an_end:
                self.checkpoints.save(self.state, self.canvases)
            self.watch.step(now.stage, now.done, total)

    def _detect(self, stage: Detect, watch: Stopwatch) -> list[Look]:
        spec, found = stage.spec, self.state.now.found
        for batch in self._batches(stage, self._views(spec, self._boxes(spec)), watch):
            found += stage.run(self.frame, (view for view, _ in batch))
        self.state.found[spec.name] = found
        self.state.how[spec.name] = "found" if found else "not_found"
        return [Look(one.region, one.label, one.score) for one in found]

    def _segment(self, stage: Segment | Prompt, watch: Stopwatch) -> list[Look]:
        spec = stage.spec
        canvas = self.canvases.get(spec.name) or self._canvas(spec)
        if isinstance(stage, Prompt) and self.ask.points and spec is self.wanted:
            looks = [self._pointed(stage, canvas)]
        else:
            looks = self._looked(stage, canvas, watch)
        self.state.found[spec.name] = _boxes_of(canvas, spec)
        if not self._keeps(spec):
            del self.canvases[spec.name]
        elif spec is not self.wanted:
            canvas.patches.clear()
        return looks

    def _pointed(self, stage: Prompt, canvas: Canvas) -> Look:
        spec, points, box = stage.spec, self.ask.points, next(iter(self.ask.boxes), None)
        self.state.how[spec.name] = "given"
        self.watch.step(spec.name, 0, 1)
        canvas.put(decide(stage.at(self.frame, points, box), spec, self._threshold(spec)))
        self.watch.step(spec.name, 1, 1)
        if box is None and spec.on != "image":
            # Points have no extent: for the stages to come, the localiser found what the points were answered with.
            self.state.found[spec.on] = _boxes_of(canvas, spec)
        return Look(box or around(points), spec.labels[0])

    def _looked(self, stage: Segment | Prompt, canvas: Canvas, watch: Stopwatch) -> list[Look]:
        spec, looks = stage.spec, self.state.now.looks
        # What is prompted is asked for the box itself.
        views = self._views(spec, self._boxes(spec), enlarged=isinstance(stage, Segment))
        for batch in self._batches(stage, views, watch):
            for (view, one), (decided, widened) in zip(batch, self._decided(stage, batch), strict=True):
                canvas.put(decided)
                look = self._look(spec, decided, one, widened=widened)
                looks.append(look if isinstance(stage, Segment) else replace(look, region=view))
        return looks

    def _decided(self, stage: Segment | Prompt, batch: list[View]) -> list[tuple[Decided, bool]]:
        """What is in each view, and whether it had to be widened.

        A mask that reaches into the border is cut off: such views are looked at once more, wider; the second result
        stands.
        """
        spec, threshold = stage.spec, self._threshold(stage.spec)
        first = [decide(seen, spec, threshold) for seen in stage.run(self.frame, (view for view, _ in batch))]
        cut = [n for n, one in enumerate(first) if one.touches_border(self._slice_field(one))]
        wider = [first[n].view.widened(WIDEN, self._slice_field(first[n])) for n in cut]
        again = dict(zip(cut, stage.run(self.frame, wider), strict=True)) if cut else {}
        return [
            (decide(again[n], spec, threshold), True) if n in again else (one, False) for n, one in enumerate(first)
        ]

    def _slice_field(self, decided: Decided) -> Region:
        return replace(self.frame.image.field, z0=decided.view.z0, z1=decided.view.z1)

    def _look(self, spec: StageSpec, decided: Decided, one: Found | None, *, widened: bool) -> Look:
        cut = widened and decided.touches_border(self._slice_field(decided))
        if cut:
            text = f"The mask of stage {spec.name} reaches the border of the widened region, too: it may be cut off."
            self.state.flags.append(Flag("mask_touches_region", text))
        return Look(decided.view, one.label if one else None, self._score(spec, one), widened, cut)

    def _score(self, spec: StageSpec, one: Found | None) -> float | None:
        return None if one is None or self.state.how[spec.name] == "given" else one.score

    def _threshold(self, spec: StageSpec) -> float:
        asked = self.ask.threshold if spec is self.wanted else None
        return spec.threshold if asked is None else asked

    def _canvas(self, spec: StageSpec) -> Canvas:
        ids = {label.name: label.id for label in self.manifest.labels}
        names = {ids[name]: name for name in spec.labels}
        probabilities = spec is self.wanted and self.ask.probabilities
        canvas = Canvas(self.frame.image.region, names, list(names), self._keeps(spec), probabilities)
        self.canvases[spec.name] = canvas
        return canvas

    def _keeps(self, spec: StageSpec) -> bool:
        """Whether the mask of a stage is wanted, or only its boxes."""
        looked_into = any(stage.regions and stage.on == spec.name for stage in self.manifest.stages)
        return spec is self.wanted or looked_into or spec.name in self.ask.masks

    def _classify(self, stage: Classify, watch: Stopwatch) -> list[Look]:
        spec, scores = stage.spec, self.state.now.scores
        boxes = self._boxes(spec)
        if boxes is not None:
            # One answer per image: that of the largest finding.
            boxes = sorted(boxes, key=lambda one: -one.region.width * one.region.height)[:1]
        views = self._views(spec, boxes)
        for batch in self._batches(stage, views, watch):
            scores += stage.run(self.frame, (view for view, _ in batch))
        nothing = Classification(None, f"Stage {spec.on} found nothing to classify.")
        self.state.classification = Classification(_mean(scores)) if scores else nothing
        return [Look(view, one.label if one else None, self._score(spec, one)) for view, one in views]

    def unevaluated(self, flag: Flag) -> CascadeResult:
        """The result when no stage was worth running."""
        self.state.stopped.add(self.wanted.name)
        self.state.flags.append(flag)
        self.state.classification = Classification(None, "Nothing was evaluated.")
        return self.result()

    def result(self) -> CascadeResult:
        """What all stages gave together."""
        ran = [name for name in self.ask.masks if name in self.canvases and name not in self.state.stopped]
        masks = {name: self.canvases[name].mask() for name in ran}
        canvas, state = self.canvases.get(self.wanted.name) or self._canvas(self.wanted), self.state
        mask, flags = canvas.mask(), tuple(dict.fromkeys(state.flags))
        status, patches, parts = self._status(canvas), tuple(canvas.patches), tuple(canvas.parts)
        return CascadeResult(
            status,
            mask,
            patches,
            tuple(state.results),
            state.classification,
            flags,
            parts,
            masks=masks,
            stage=self.wanted.name,
        )

    def _status(self, canvas: Canvas) -> Status:
        if canvas.parts:
            return "found"
        return "not_evaluated" if self.wanted.name in self.state.stopped else "none_found"


def _boxes_of(canvas: Canvas, spec: StageSpec) -> list[Found]:
    return [box for label in spec.labels for box in canvas.boxes(label)]


def _mean(scores: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: sum(one[name] for one in scores) / len(scores) for name in scores[0]}
