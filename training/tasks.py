"""What each task minimises and how its validation score is read.

A task takes the network's output with the batch (input, target, category) and gives a loss, or scores per image.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Task:
    """How a task learns and how well it does.

    Attributes:
        loss: scalar from (output, target, category, criterion); the criterion is the recipe's, None without one.
        score: from (output, target, category, value of pixels that do not count): values (batch,) or, one column a
            label, (batch, labels - 1); NaN for images that do not count.
        measure: name of the score.
        criterion: dotted path of the loss that is taken where the recipe names none.
        outputs: names of the tensors of the network in evaluation mode.
    """

    loss: Callable[[Output, Any, Tensor, Criterion | None], Tensor]
    score: Callable[[Output, Any, Tensor, int], Tensor]
    measure: str
    criterion: str | None = None
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
    """Dice where a lesion is in view; other views do not count."""
    return torch.where(category > 0, dice_per_image(output, target), torch.nan)


def classify_loss(output: Output, target: Tensor, category: Tensor, criterion: Criterion | None = None) -> Tensor:
    """Cross entropy; ambiguous cases (category -1) are left out."""
    if criterion is not None:
        known = category >= 0
        return criterion(output[known], category[known]) if known.any() else output.sum() * 0
    return functional.cross_entropy(output, category, ignore_index=-1, label_smoothing=0.05)


def classify_score(output: Output, target: Tensor, category: Tensor, ignore: int = IGNORE) -> Tensor:
    """1 where the highest score is the category's, else 0; ambiguous cases do not count."""
    right = (output.argmax(dim=1) == category).to(output.dtype)
    return torch.where(category >= 0, right, torch.nan)


def labels_score(output: Output, target: Tensor, category: Tensor, ignore: int = IGNORE) -> Tensor:
    """Dice of each label but the background, NaN where the truth has none of it; ignored pixels do not count."""
    guess, counted = output.argmax(dim=1), target != ignore
    scores = [_label_dice(guess == label, target == label, counted) for label in range(1, output.shape[1])]
    return torch.stack(scores, dim=1)


def _label_dice(guess: Tensor, truth: Tensor, counted: Tensor) -> Tensor:
    guess, truth = (guess & counted).flatten(1), (truth & counted).flatten(1)
    overlap, total = (guess & truth).sum(dim=1), guess.sum(dim=1) + truth.sum(dim=1)
    return torch.where(truth.any(dim=1), 2 * overlap / total.clamp(min=1), torch.nan)


def fuse_score(output: Output, target: tuple[Tensor, Tensor], category: Tensor, ignore: int = IGNORE) -> Tensor:
    """As in `labels_score`; the depth does not count."""
    return labels_score(output[0] if isinstance(output, tuple) else output, target[0], category, ignore)


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
    "segment": Task(map_loss, segment_score, "Dice"),
    "classify": Task(classify_loss, classify_score, "accuracy"),
    "whole": Task(map_loss, segment_score, "Dice"),
    "labels": Task(map_loss, labels_score, "Dice", "training.losses.stage1_loss"),
    "fuse": Task(map_loss, fuse_score, "Dice", "training.losses.cross_entropy"),
    "prompt": Task(map_loss, segment_score, "Dice", "training.losses.dice_ce"),
}
