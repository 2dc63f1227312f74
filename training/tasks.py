"""What each task minimises and how its validation score is read.

A task takes the network's output with the batch (input, target, category) and gives a loss, or scores per image.

Behind a localiser a picture may be decided before the network is asked. Its category then says so: where the localiser
gave no box, or none that meets it, a lesion is `MISSED` whatever the network would have drawn, and a picture without
one stays `SILENT`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from training.losses import dice_bce
from training.metrics import dice_per_image

Output = Any
Criterion = Callable[[Any, Any], Tensor]
PRESENCE_WEIGHT = 0.5
# Logit of the background where a pixel is ignored: its share of every other class is then below 1e-8.
CERTAIN = 20.0
IGNORE = 255
AMBIGUOUS, MISSED, SILENT = -1, -2, -3


@dataclass(frozen=True)
class Task:
    """How a task learns and how well it does.

    Attributes:
        loss: scalar from (output, target, category, criterion); the criterion is the recipe's, None without one.
        score: from (output, target, category, value of pixels that do not count): values (batch,) or, one column a
            label, (batch, labels - 1); NaN for images that do not count.
        silence: likewise, whether nothing is drawn where nothing is: 1 or 0, NaN where there is something. None for
            tasks whose score tells.
        measure: name of the score.
        criterion: dotted path of the loss that is taken where the recipe names none.
        outputs: names of the tensors of the network in evaluation mode.
    """

    loss: Callable[[Output, Any, Tensor, Criterion | None], Tensor]
    score: Callable[[Output, Any, Tensor, int], Tensor]
    measure: str
    criterion: str | None = None
    silence: Callable[[Output, Any, Tensor, int], Tensor] | None = None
    outputs: tuple[str, ...] = ("logits",)


def localise_loss(output: Output, target: Tensor, category: Tensor, criterion: Criterion | None = None) -> Tensor:
    """Dice + BCE of the map over views that hold a lesion, and BCE of the image-level presence logit, weighted 0.5.

    Empty views do not teach the map: whether anything is there is the image head's business, and a map that learned to
    stay silent on normal pictures was measured to stay silent on faint lesions as well.
    """
    logits, presence = output
    image_level = functional.binary_cross_entropy_with_logits(presence[:, 0], category.to(presence.dtype))
    return _over_seen(logits, target, category > 0, criterion) + PRESENCE_WEIGHT * image_level


def _over_seen(logits: Tensor, target: Tensor, seen: Tensor, criterion: Criterion | None) -> Tensor:
    if criterion is None:
        return dice_bce(logits, target, seen.to(logits.dtype))
    return criterion(logits[seen], target[seen]) if seen.any() else logits.sum() * 0


def localise_score(output: Output, target: Tensor, category: Tensor, ignore: int = IGNORE) -> Tensor:
    """Dice where a lesion is in view; where none is, 1 if the presence logit says so, else 0."""
    logits, presence = output
    right = (presence[:, 0] <= 0).to(logits.dtype)
    return torch.where(category > 0, dice_per_image(logits, target), right)


def map_loss(output: Output, target: Any, category: Tensor, criterion: Criterion | None = None) -> Tensor:
    """The criterion on the map, Dice + BCE where the recipe names none."""
    return (criterion or dice_bce)(output, target)


def segment_score(output: Output, target: Tensor, category: Tensor, ignore: int = IGNORE) -> Tensor:
    """Dice where a lesion is in view, 0 where it was missed; other views do not count."""
    seen = torch.where(category > 0, dice_per_image(output, target), torch.nan)
    return seen.masked_fill(category == MISSED, 0)


def segment_silence(output: Output, target: Tensor, category: Tensor, ignore: int = IGNORE) -> Tensor:
    """1 where there is no lesion and nothing is drawn, 0 where something is; views of a lesion do not count."""
    drawn = (output > 0).flatten(1).any(dim=1)
    empty = (category <= 0) & (category != MISSED) & ~(target > 0.5).flatten(1).any(dim=1)
    quiet: Tensor = torch.where(empty, (~drawn).to(output.dtype), torch.nan)
    return quiet.masked_fill(category == SILENT, 1)


def classify_loss(output: Output, target: Tensor, category: Tensor, criterion: Criterion | None = None) -> Tensor:
    """Cross entropy; ambiguous cases, and those that the network is not asked about, are left out."""
    known = category >= 0
    taught = criterion or partial(functional.cross_entropy, label_smoothing=0.05)
    loss: Tensor = taught(output[known], category[known]) if known.any() else output.sum() * 0
    return loss


def classify_score(output: Output, target: Tensor, category: Tensor, ignore: int = IGNORE) -> Tensor:
    """1 where the highest score is the category's, else 0; ambiguous cases do not count.

    Of what the network is not asked about, a missed lesion is wrong and a normal picture right.
    """
    right = (output.argmax(dim=1) == category).to(output.dtype)
    known: Tensor = torch.where(category >= 0, right, torch.nan)
    return known.masked_fill(category == MISSED, 0).masked_fill(category == SILENT, 1)


def labels_score(output: Output, target: Tensor, category: Tensor, ignore: int = IGNORE) -> Tensor:
    """Dice of each label but the background, NaN where the truth has none of it; ignored pixels do not count.

    0 where everything was missed.
    """
    guess, counted = output.argmax(dim=1), target != ignore
    scores = [_label_dice(guess == label, target == label, counted) for label in range(1, output.shape[1])]
    return torch.stack(scores, dim=1).masked_fill((category == MISSED)[:, None], 0)


def labels_silence(output: Output, target: Tensor, category: Tensor, ignore: int = IGNORE) -> Tensor:
    """Of each label but the background, as in `segment_silence`."""
    guess, counted = output.argmax(dim=1), target != ignore
    columns = []
    for label in range(1, output.shape[1]):
        drawn, there = ((one & counted).flatten(1).any(dim=1) for one in (guess == label, target == label))
        columns.append(torch.where(there | (category == MISSED), torch.nan, (~drawn).to(output.dtype)))
    return torch.stack(columns, dim=1).masked_fill((category == SILENT)[:, None], 1)


def _label_dice(guess: Tensor, truth: Tensor, counted: Tensor) -> Tensor:
    guess, truth = (guess & counted).flatten(1), (truth & counted).flatten(1)
    overlap, total = (guess & truth).sum(dim=1), guess.sum(dim=1) + truth.sum(dim=1)
    return torch.where(truth.any(dim=1), 2 * overlap / total.clamp(min=1), torch.nan)


def fuse_score(output: Output, target: tuple[Tensor, Tensor], category: Tensor, ignore: int = IGNORE) -> Tensor:
    """As in `labels_score`; the depth does not count."""
    return labels_score(output[0] if isinstance(output, tuple) else output, target[0], category, ignore)


def fuse_silence(output: Output, target: tuple[Tensor, Tensor], category: Tensor, ignore: int = IGNORE) -> Tensor:
    """As in `labels_silence`."""
    return labels_silence(output[0] if isinstance(output, tuple) else output, target[0], category, ignore)


def map_score(output: Output, target: Tensor, category: Tensor, ignore: int = IGNORE) -> Tensor:
    """1 less the mean absolute error, of maps of 0 to 1."""
    error: Tensor = (output - target).abs().flatten(1).mean(dim=1)
    return 1 - error


def without_ignored(logits: Tensor, labels: Tensor, ignore: int) -> tuple[Tensor, Tensor]:
    """Logits (batch, labels, h, w) and truth (batch, h, w) in which ignored pixels are background beyond doubt.

    They then cost nothing and count for no other label, whatever the loss.
    """
    ignored = labels == ignore
    if not ignored.any():
        return logits, labels
    certain = torch.zeros_like(logits)
    certain[:, 0] = CERTAIN
    return torch.where(ignored.unsqueeze(1), certain, logits), labels.masked_fill(ignored, 0)


TASKS = {
    "localise": Task(localise_loss, localise_score, "Dice", outputs=("logits", "presence")),
    "segment": Task(map_loss, segment_score, "Dice", silence=segment_silence),
    "classify": Task(classify_loss, classify_score, "accuracy"),
    "whole": Task(map_loss, segment_score, "Dice", silence=segment_silence),
    "labels": Task(map_loss, labels_score, "Dice", "training.losses.stage1_loss", labels_silence),
    "fuse": Task(map_loss, fuse_score, "Dice", "training.losses.cross_entropy", fuse_silence),
    "map": Task(map_loss, map_score, "1 - mean error", "training.losses.depth_l1", outputs=("map",)),
    "prompt": Task(map_loss, segment_score, "Dice", "training.losses.dice_ce", segment_silence),
}
