"""A pipeline that can be run: what may be asked of it, and a run of all its stages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from service.checkpoint import belonging
from service.choices import as_asked, changed_enhancement
from service.errors import BadParameter, counted
from service.frame import Frame
from service.image import Image
from service.manifest import Manifest, StageSpec
from service.mirror import mirrored_ask, mirrored_image, mirrored_result
from service.network import Network
from service.passage import Passage
from service.result import Ask, CascadeResult, Classification, Flag, Look, Patch, StageResult
from service.saving import Checkpoints
from service.side import side_of
from service.stages import Prompt, Stage, check_points
from service.views import empty_slices
from service.watch import QUIET, Keeper, Watch

__all__ = ["Ask", "Cascade", "CascadeResult", "Classification", "Flag", "Look", "Patch", "StageResult"]

AS_THE_MANIFEST_SAYS = Ask()
CLIPPED = Flag("box_clipped", "A given box reaches over the edge of the picture: only its part inside counts.")
NO_CONTRAST = Flag(
    "no_contrast", "Every pixel has the same value: there is nothing to look at, so nothing was evaluated."
)


@dataclass(frozen=True, eq=False)
class Cascade:
    """A pipeline with its stages built; safe to share between threads."""

    manifest: Manifest
    stages: tuple[Stage, ...]

    def run(self, image: Image, ask: Ask = AS_THE_MANIFEST_SAYS, watch: Watch = QUIET) -> CascadeResult:
        """All stages in order. Raises BadParameter for an ask this pipeline cannot serve, and what ``watch`` raises.

        A `Keeper` is handed checkpoints of a volume, and what it kept is gone on from: the result is the same.
        """
        asked = self._as_asked(ask)
        given = asked._given(image, ask)
        flag = changed_enhancement(self.manifest, asked.manifest)
        clipped = (CLIPPED,) if given.boxes != ask.boxes else ()
        result = asked._turned(image, given, watch)
        return replace(result, flags=(*clipped, *((flag,) if flag else ()), *result.flags))

    def _as_asked(self, ask: Ask) -> Cascade:
        """This pipeline with the choices of a request in its stages."""
        manifest = as_asked(self.manifest, ask.roi, ask.enhance)
        if manifest is self.manifest:
            return self
        pairs = zip(self.stages, manifest.stages, strict=True)
        return Cascade(manifest, tuple(replace(stage, spec=spec) for stage, spec in pairs))

    def _given(self, image: Image, ask: Ask) -> Ask:
        """The ask with its boxes inside the picture. Raises BadParameter."""
        wanted = self._wanted(ask)
        given = replace(ask, boxes=tuple(box.clipped(image.field) for box in ask.boxes))
        if ask.points:
            stage = next(stage for stage in self.stages if stage.spec is wanted)
            check_points(stage, ask.points, given.boxes, image.region)
        return given

    def _turned(self, image: Image, ask: Ask, watch: Watch) -> CascadeResult:
        """A run on the image as the networks know such images: mirrored where its chest wall lies on the other side."""
        canonical = self.manifest.canonical_side
        if canonical is None:
            return self._run(image, ask, watch)
        side = side_of(image, canonical)
        if side.mirrored:
            turned = self._run(mirrored_image(image), mirrored_ask(ask, image.width), watch)
            result = mirrored_result(turned, image.width)
        else:
            result = self._run(image, ask, watch)
        return replace(result, side=side, flags=(*side.flags, *result.flags))

    def _run(self, image: Image, ask: Ask, watch: Watch) -> CascadeResult:
        passage = self._passage(image, ask, watch)
        if passage.empty and image.field.depth > 1:
            passage.state.flags.append(_skipped(len(passage.empty), image.field.depth))
        if len(passage.empty) == image.field.depth:
            return passage.unevaluated(NO_CONTRAST)
        return passage.through(self.stages)

    def _passage(self, image: Image, ask: Ask, watch: Watch) -> Passage:
        wanted = self._wanted(ask)
        replaced, empty = self._replaced(ask, wanted), empty_slices(image)
        checkpoints = self._checkpoints(image, ask, watch)
        return Passage(self.manifest, Frame(image), ask, wanted, replaced, watch, checkpoints, empty)

    def _checkpoints(self, image: Image, ask: Ask, watch: Watch) -> Checkpoints | None:
        if not isinstance(watch, Keeper) or image.field.depth == 1:
            return None
        return Checkpoints(watch, lambda: belonging(self.manifest, self._networks(), image, ask))

    def _networks(self) -> Iterator[Network]:
        for stage in self.stages:
            yield from (stage.encoder, stage.decoder) if isinstance(stage, Prompt) else (stage.network,)

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


def _skipped(empty: int, depth: int) -> Flag:
    text = f"{empty} of {counted(depth, 'slice')} not looked at: all pixels have the same value."
    return Flag("empty_slices", text)
