"""What training minimises: the recipe's loss with its further terms, over every output of the network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from training.losses.build import build_loss
from training.losses.supervision import supervised
from training.losses.weighted import class_weights, presence_bce
from training.recipe import Part, Recipe
from training.samples import Loaded, masks_of
from training.tasks import TASKS, Criterion, Task, segment_score, without_ignored


@dataclass(frozen=True, eq=False)
class Objective:
    """The loss of one recipe.

    Attributes:
        task: what is learned.
        criterion: the recipe's loss with all its terms; None for the task's own.
        first: the same without further terms, for outputs of evaluation mode, which lack what they look at.
        auxiliary: weight of each further map of a deeply supervised network.
        ignore: value of pixels that do not teach.
        threshold: value of a map above which a pixel is foreground.
        outputs: how many the recipe has names for, None where the task has but one.
    """

    task: Task
    criterion: Criterion | None
    first: Criterion | None
    auxiliary: float
    ignore: int
    threshold: float = 0.0
    outputs: int | None = None

    @property
    def learned(self) -> nn.Module | None:
        """What of the loss itself learns."""
        return self.criterion if isinstance(self.criterion, nn.Module) else None

    def loss(self, output: Any, target: Any, category: Tensor) -> Tensor:
        """Of a batch in training mode, a scalar. Raises ValueError for outputs that are not the task's."""
        fused = isinstance(target, list | tuple)
        _check_outputs(output, ("logits", "depth") if fused else self.task.outputs)
        _check_channels(output, self.outputs)
        if fused or len(self.task.outputs) > 1:
            return self.task.loss(output, target, category, self._over_known(self.criterion))
        maps, presence = _sorted(output)
        total = self._supervised(maps, target, category)
        return total + sum(presence_bce(one, target) for one in presence) if presence else total

    def _supervised(self, maps: Sequence[Tensor], target: Tensor, category: Tensor) -> Tensor:
        def one(output: Tensor, target: Tensor) -> Tensor:
            return self.task.loss(output, target, category, self._over_known(self.criterion))

        if len(maps) == 1:
            return one(maps[0], target)
        return supervised(maps, target, loss=one, weights=[1.0] + [self.auxiliary] * (len(maps) - 1))

    def validation(self, output: Any, target: Any, category: Tensor) -> Tensor:
        """Of a batch in evaluation mode: the first term alone, a scalar."""
        if isinstance(target, list | tuple):
            output, target = output[0] if isinstance(output, tuple) else output, target[0]
        return self.task.loss(output, target, category, self._over_known(self.first))

    def score(self, output: Any, target: Any, category: Tensor) -> Tensor:
        """Of a batch in evaluation mode, see `training.tasks`."""
        return self.task.score(self.centred(output), target, category, self.ignore)

    def counts(self, target: Any, category: Tensor) -> Tensor:
        """As `score`, of a network that gives zeros: NaN where nothing can count, whatever it would give."""
        return self.score(
            self._zeros(target[0] if isinstance(target, list | tuple) else target, category), target, category
        )

    def _zeros(self, target: Tensor, category: Tensor) -> Any:
        count = len(category)
        if self.outputs is not None:
            size = () if self.task.measure == "accuracy" else target.shape[-2:]
            return category.new_zeros((count, self.outputs, *size), dtype=torch.float32)
        maps = torch.zeros_like(target, dtype=torch.float32)
        return (maps, maps.new_zeros((count, 1))) if len(self.task.outputs) > 1 else maps

    def silence(self, output: Any, target: Any, category: Tensor) -> Tensor:
        """Of a batch in evaluation mode, see `training.tasks`; NaN for tasks that do not tell it apart."""
        if self.task.silence is None:
            return torch.full((len(category),), torch.nan)
        return self.task.silence(self.centred(output), target, category, self.ignore)

    def lesion_dice(self, output: Any, target: Any, category: Tensor) -> list[float]:
        """Dice of each view that holds a lesion, for the tasks of one lesion; nothing for the others.

        A localiser's score counts empty pictures as well; this does not.
        """
        if self.task.measure != "Dice" or self.outputs is not None:
            return []
        logits = output[0] if isinstance(output, tuple | list) else output
        scores = segment_score(self.centred(logits), target, category)
        return scores[~scores.isnan()].tolist()

    def centred(self, output: Any) -> Any:
        """The output with 0 between background and foreground of its maps, as logits have it."""
        return output - self.threshold if self.threshold else output

    def _over_known(self, criterion: Criterion | None) -> Criterion | None:
        return None if criterion is None else partial(_without_ignored, criterion, self.ignore)


def _check_outputs(output: Any, wanted: Sequence[str]) -> None:
    found = len(output) if isinstance(output, list | tuple) else 1
    if len(wanted) > 1 and found != len(wanted):
        raise ValueError(
            f"Found {found} outputs of the network; wanted {' and '.join(wanted)}. Take another task, or a network "
            "that gives them while it trains."
        )


def _check_channels(output: Any, wanted: int | None) -> None:
    found = (output[0] if isinstance(output, list | tuple) else output).shape[1]
    if wanted is not None and found != wanted:
        raise ValueError(
            f"Found {found} channels of logits for {wanted} classes; wanted one each. Mend the recipe's `classes`, or "
            "the network's."
        )


def _without_ignored(criterion: Criterion, ignore: int, output: Any, target: Any) -> Tensor:
    logits, labels = (output[0], target[0]) if isinstance(target, list | tuple) else (output, target)
    if not isinstance(logits, Tensor) or logits.ndim != 4 or labels.is_floating_point():
        return criterion(output, target)
    logits, labels = without_ignored(logits, labels, ignore)
    if isinstance(target, list | tuple):
        return criterion((logits, *output[1:]), (labels, *target[1:]))
    return criterion(logits, labels)


def _sorted(output: Any) -> tuple[list[Tensor], list[Tensor]]:
    """Maps (batch, channels, h, w), the main one first, and image-level logits (batch, n) of a classifying branch."""
    outputs = [output] if isinstance(output, Tensor) else list(output)
    if outputs[0].ndim < 4:
        return outputs, []
    return [one for one in outputs if one.ndim == 4], [one for one in outputs if one.ndim == 2]


def objective(recipe: Recipe, train: Sequence[Loaded] = ()) -> Objective:
    """The recipe's objective; ``train`` are the cases whose labels are counted for class weights.

    Raises ImportError for a loss that does not exist and ValueError for constants that it does not take.
    """
    task = TASKS[recipe.task]
    main = _weighted(
        recipe, recipe.loss or (Part(path=task.criterion, arguments={}) if task.criterion else None), train
    )
    first = None if main is None else build_loss(main.path, main.arguments)
    threshold = 0.5 if recipe.probabilities else 0.0
    outputs = len(recipe.names) if recipe.task in ("labels", "fuse", "classify") else None
    every = _with_terms(recipe, main, first)
    return Objective(task, every, first, recipe.auxiliary, recipe.ignore, threshold, outputs)


def _with_terms(recipe: Recipe, main: Part | None, first: Criterion | None) -> Criterion | None:
    terms = [term.model_dump() for term in recipe.terms.values() if term.weight > 0]
    if main is None and terms:
        raise ValueError("Found terms of the loss but no `loss`; wanted the first one named as well. Name it.")
    fused = recipe.task == "fuse"
    if main is None or not (terms or fused):
        return first
    member = 0 if fused else None
    every = [{"path": main.path, "arguments": main.arguments, "output": member, "target": member}, *terms]
    for term in every:
        build_loss(term["path"], term["arguments"])  # a mistake is told before the first batch
    kind = "LearnedSum" if recipe.loss_weights == "learned" else "weighted_sum"
    return build_loss(f"training.losses.{kind}", {"terms": every})


def _weighted(recipe: Recipe, main: Part | None, train: Sequence[Loaded]) -> Part | None:
    if main is None or recipe.class_weights == "none":
        return main
    masks = (mask[mask != recipe.ignore] for mask in masks_of(train))
    weights = class_weights(masks, len(recipe.names))
    return main.model_copy(update={"arguments": {"weights": weights, **main.arguments}})


def as_float(output: Any) -> Any:
    """The output in float32, nested as it is."""
    return tuple(map(as_float, output)) if isinstance(output, tuple | list) else output.float()


def monitored(scores: Tensor, silence: Tensor, recipe: Recipe) -> float:
    """The figure that chooses the best epoch, 0 to 1: lesions, and pictures without one by the weight `normals`.

    Lesions count by their mean score, empty pictures by the share of them that stay empty, so that their number does
    not matter: where nearly all pictures are empty, silence everywhere is still no good. Of one kind alone, where the
    validation part holds no other, that one counts; NaN without any lesion.
    """
    found, quiet = (mean_score(one, recipe.interest) for one in (scores, silence))
    weight = 0.0 if math.isnan(quiet) else recipe.normals
    return (1 - weight) * found + (weight * quiet if weight else 0.0)


def mean_score(scores: Tensor, interest: int | None) -> float:
    """The mean over images (images,), or over images and then labels (images, labels - 1); ``interest`` is a label."""
    if scores.ndim == 1:
        return float(scores.nanmean())
    columns = torch.nanmean(scores, dim=0)
    return float(columns.nanmean() if interest is None or interest == 0 else columns[interest - 1])
