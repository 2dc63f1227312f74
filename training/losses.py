"""Losses on logits. z: logits, p = sigmoid(z), g: target 0 to 1, all (batch, channels, height, width)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

SMOOTH = 1e-5


def soft_dice(logits: Tensor, target: Tensor) -> Tensor:
    """1 - (2 sum pg + s) / (sum p + sum g + s) per image and channel, averaged over those with foreground; s = 1e-5.

    An image without foreground has no Dice to improve and is left out on purpose; the cross entropy beside this term is
    what punishes false positives there. A batch without any foreground gives 0.
    """
    p = torch.sigmoid(logits)
    overlap, total = (p * target).sum(dim=(2, 3)), (p + target).sum(dim=(2, 3))
    dice = (2 * overlap + SMOOTH) / (total + SMOOTH)
    present = (target.sum(dim=(2, 3)) > 0).to(dice.dtype)
    return ((1 - dice) * present).sum() / present.sum().clamp(min=1)


def dice_bce(logits: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Binary cross entropy + soft Dice, weights 1 and 1; ``weight`` (batch,) is that of each image in the entropy."""
    pixelwise = functional.binary_cross_entropy_with_logits(logits, target, reduction="none").mean(dim=(1, 2, 3))
    entropy = pixelwise.mean() if weight is None else (pixelwise * weight).sum() / weight.sum().clamp(min=1e-6)
    return entropy + soft_dice(logits, target)
