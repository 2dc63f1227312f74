"""Where a trained network looks when it is measured: at whole pictures, behind a localiser, or at true boxes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.image import Point, Region
from training.choices import Regions
from training.datasets.case import Case, Labels, Picture, read_grey
from training.evaluate import true_boxes
from training.predict import EXCLUSIVE, Predictor
from training.prompts import TRUE, Prompts, points_inside, prompted
from training.recipe import Recipe
from training.samples import DEPTH, Loaded, region_of

Float = NDArray[np.float32]
LESION = "lesion"
MASKS = ("segment", "whole", "localise", "labels", "fuse", "prompt")


@dataclass(frozen=True, eq=False)
class Guess:
    """What a network says of one picture.

    Attributes:
        image: the picture.
        truth: labels (height, width) 0, 1, ..., ignored pixels 0.
        labels: the network's, likewise.
        foreground: probability 0 to 1 that a pixel is of any label (height, width).
        probability: of each label (labels, height, width), without the background.
        boxes: where it looked, None for the whole picture.
    """

    image: Picture
    truth: Labels
    labels: Labels
    foreground: Float
    probability: Float
    boxes: Sequence[Region] | None


@dataclass(frozen=True)
class Looked:
    """Where a network looks: boxes, None for the whole picture; and points it is told in each, None for their own."""

    boxes: Sequence[Region] | None
    points: Sequence[Sequence[Point]] | None = None


@dataclass(frozen=True, eq=False)
class Subject:
    """A trained network as it is measured.

    Attributes:
        predictor: the network.
        regions: where it looks.
        boxes: a localiser's, by case; needed for `Regions.detector`.
    """

    predictor: Predictor
    regions: Regions
    boxes: Mapping[str, Sequence[Region]]

    @property
    def recipe(self) -> Recipe:
        return self.predictor.recipe

    @property
    def names(self) -> tuple[str, ...]:
        """The labels that are outlined: 1, 2, ..."""
        return self.recipe.names[1:] if self.recipe.task in EXCLUSIVE else (LESION,)

    @cached_property
    def _looking(self) -> Predictor:
        """The predictor, told where to look."""
        trained = region_of(self.recipe)
        wanted = "whole" if self.regions is Regions.none else "crop" if trained == "whole" else trained
        return replace(self.predictor, recipe=self.recipe.model_copy(update={"region": wanted}))

    def guess(self, case: Case) -> Guess:
        """What the network says of a case.

        Raises ValueError for a task without masks or a case that the localiser gave no boxes for, and what reading the
        case raises.
        """
        if self.recipe.task not in MASKS:
            raise ValueError(
                f"Found task {self.recipe.task}; wanted one that outlines. Measure classifiers by evaluate-run."
            )
        image, mask = case.read_image(), case.read_mask()
        ignored = mask == self.recipe.ignore
        truth = np.where(ignored, 0, mask if self.recipe.task in EXCLUSIVE else mask > 0).astype(np.uint8)
        looked = self._looked(case, truth, image)
        probability = self._looking(image, boxes=looked.boxes, points=looked.points, depth=_depth(case))
        labels, foreground = _decided(probability)
        labels[ignored] = 0
        return Guess(image, truth, labels, foreground, _of_labels(probability), looked.boxes)

    def classes(self, case: Case) -> Float | None:
        """Scores of a case's classes; None where it is looked at behind a localiser that found nothing.

        Raises ValueError for a task that gives none or a case that the localiser gave no boxes for, and what reading
        the case raises.
        """
        if self.recipe.task != "classify":
            raise ValueError(f"Found task {self.recipe.task}; wanted classify. Measure what outlines by its masks.")
        image, mask = case.read_image(), case.read_mask()
        looked = self._looked(case, ((mask > 0) & (mask != self.recipe.ignore)).astype(np.uint8), image)
        if self.regions is Regions.detector and not looked.boxes:
            return None
        return self._looking(image, boxes=looked.boxes)

    def _looked(self, case: Case, truth: Labels, image: Picture) -> Looked:
        told = self.recipe.task == "prompt"
        if self.regions is Regions.truth:
            return self._meant(case, truth, image) if told else Looked(_true_boxes(case, truth))
        if self.regions is Regions.none:
            height, width = image.shape[:2]
            return Looked((Region(0, 0, width, height),) if told else None)
        if case.name not in self.boxes:
            raise ValueError(
                f"Found no boxes for {case.name}; wanted a localiser's, an empty list where it found nothing. Make "
                "them for all cases that are measured."
            )
        return Looked(self.boxes[case.name])

    def _meant(self, case: Case, truth: Labels, image: Picture) -> Looked:
        """Boxes and points of the true lesions, as the recipe prompts: of each one, or of all together."""
        prompts = Prompts.model_validate(self.recipe.prompts)
        source = prompts.source if prompts.source in TRUE else "components"
        wanted = set(_true_boxes(case, truth))
        every = prompted(Loaded(case, image, truth), source)
        meant = [one for one in every if one.box in wanted or source == "enclosing"]
        return Looked([one.box for one in meant], [points_inside(one.mask, prompts.points) for one in meant])


def _true_boxes(case: Case, truth: Labels) -> tuple[Region, ...]:
    return true_boxes(truth, case.speck) if truth.any() else ()


def _decided(probability: Float) -> tuple[Labels, Float]:
    """Labels and the probability of any of them, from (labels, height, width)."""
    if len(probability) == 1:
        return (probability[0] > 0.5).astype(np.uint8), probability[0]
    return probability.argmax(axis=0).astype(np.uint8), np.clip(1 - probability[0], 0, 1)


def _of_labels(probability: Float) -> Float:
    """Without the background, where there is one."""
    return probability if len(probability) == 1 else probability[1:]


def _depth(case: Case) -> NDArray[Any] | None:
    return read_grey(case.inputs[DEPTH]) if DEPTH in case.inputs else None
