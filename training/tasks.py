"""What each task minimises and how its validation score is read.

A task takes the network's output with the batch (input, target mask, category) and gives a loss, or per-image scores.
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
PRESENCE_WEIGHT = 0.5


@dataclass(frozen=True)
class Task:
    """``loss`` gives a scalar; ``score`` per-image values, NaN for images that do not count."""

    loss: Callable[[Output, Tensor, Tensor], Tensor]
    score: Callable[[Output, Tensor, Tensor], Tensor]
    measure: str


def localise_loss(output: Output, target: Tensor, category: Tensor) -> Tensor:
    """Dice + BCE of the map over views that hold a lesion, and BCE of the image-level presence logit, weighted 0.5.

    Empty views do not teach the map: whether anything is there is the image head's business, and a map that learned to
    stay silent on normal pictures was measured to stay silent on faint lesions as well.
    """
    logits, presence = output
    image_level = functional.binary_cross_entropy_with_logits(presence[:, 0], category.to(presence.dtype))
    return dice_bce(logits, target, (category > 0).to(logits.dtype)) + PRESENCE_WEIGHT * image_level


def localise_score(output: Output, target: Tensor, category: Tensor) -> Tensor:
    """Dice where a lesion is in view; where none is, 1 if the presence logit says so, else 0."""
    logits, presence = output
    right = (presence[:, 0] <= 0).to(logits.dtype)
    return torch.where(category > 0, dice_per_image(logits, target), right)


def segment_loss(output: Output, target: Tensor, category: Tensor) -> Tensor:
    """Dice + BCE of the map."""
    return dice_bce(output, target)


def segment_score(output: Output, target: Tensor, category: Tensor) -> Tensor:
    """Dice where a lesion is in view; other crops do not count."""
    return torch.where(category > 0, dice_per_image(output, target), torch.nan)


def classify_loss(output: Output, target: Tensor, category: Tensor) -> Tensor:
    """Cross entropy; ambiguous cases (category -1) are left out."""
    return functional.cross_entropy(output, category, ignore_index=-1, label_smoothing=0.05)


def classify_score(output: Output, target: Tensor, category: Tensor) -> Tensor:
    """1 where the highest score is the category's, else 0; ambiguous cases do not count."""
    right = (output.argmax(dim=1) == category).to(output.dtype)
    return torch.where(category >= 0, right, torch.nan)


TASKS = {
    "localise": Task(localise_loss, localise_score, "Dice"),
    "segment": Task(segment_loss, segment_score, "Dice"),
    "classify": Task(classify_loss, classify_score, "accuracy"),
}
