"""Soft Dice in four forms, and soft IoU. p: probabilities, g: indicators of the truth, s: smoothing.

A class that is absent from the truth (of an image, or of the whole batch where the sums are pooled) has no overlap to
improve. ``absent="skip"``, the default, leaves it out of the mean on purpose: counted, it adds almost exactly 1 with a
gradient of s / (sum p + s)^2, which is nothing as soon as a pixel is predicted, so that it only shifts the loss. The
cross entropy beside Dice is what punishes false positives there. ``absent="count"`` is the published behaviour. Where
nothing at all is present, "skip" gives 0.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from training.losses.targets import activated

SMOOTH = 1e-5
Absent = Literal["skip", "count"]


def soft_dice(logits: Tensor, target: Tensor) -> Tensor:
    """1 - (2 sum pg + s) / (sum p + sum g + s) per image and channel, averaged over those with foreground; s = 1e-5.

    Every channel is a class of its own (sigmoid), and the target has the logits' shape. An image without foreground
    has no Dice to improve and is left out on purpose; the cross entropy beside this term is what punishes false
    positives there. A batch without any foreground gives 0.
    """
    return class_mean(*_dice(torch.sigmoid(logits), target, pooled=False, squared=False, smooth=SMOOTH), "skip")


def pooled_dice(logits: Tensor, target: Tensor, *, absent: Absent = "skip", smooth: float = SMOOTH) -> Tensor:
    """One Dice over all pixels of all images of the batch; several classes: their mean."""
    return class_mean(*_dice(*activated(logits, target), pooled=True, squared=False, smooth=smooth), absent)


def image_dice(logits: Tensor, target: Tensor, *, absent: Absent = "skip", smooth: float = SMOOTH) -> Tensor:
    """Dice per image and class, then the mean."""
    return class_mean(*_dice(*activated(logits, target), pooled=False, squared=False, smooth=smooth), absent)


def squared_dice(
    logits: Tensor, target: Tensor, *, pooled: bool = False, absent: Absent = "skip", smooth: float = SMOOTH
) -> Tensor:
    """1 - (2 sum pg + s) / (sum p^2 + sum g^2 + s), per image and class or ``pooled`` over the batch, then the mean.

    V-Net (Milletari et al. 2016, arXiv 1606.04797); with ``absent="count"`` what MONAI calls ``squared_pred``.
    """
    return class_mean(*_dice(*activated(logits, target), pooled=pooled, squared=True, smooth=smooth), absent)


def multiclass_dice(logits: Tensor, target: Tensor, *, absent: Absent = "skip", smooth: float = SMOOTH) -> Tensor:
    """Mean over the classes, background included, of 1 - Dice on softmax, sums pooled over the batch.

    Raises ValueError for one channel, which has no background to include.
    """
    if logits.shape[1] < 2:
        raise ValueError("Found 1 channel; wanted one per class, background included. Use pooled_dice for one class.")
    return pooled_dice(logits, target, absent=absent, smooth=smooth)


def soft_iou(logits: Tensor, target: Tensor, *, absent: Absent = "skip", smooth: float = SMOOTH) -> Tensor:
    """1 - (sum pg + s) / (sum p + sum g - sum pg + s) per image and class, then the mean."""
    p, g = activated(logits, target)
    overlap, total = _sums(p * g, pooled=False), _sums(p + g, pooled=False)
    loss = 1 - (overlap + smooth) / (total - overlap + smooth)
    return class_mean(loss, _sums(g, pooled=False) > 0, absent)


def _dice(p: Tensor, g: Tensor, *, pooled: bool, squared: bool, smooth: float) -> tuple[Tensor, Tensor]:
    """Losses and whether the class is present, (batch, channels) or, pooled, (channels,)."""
    overlap = _sums(p * g, pooled=pooled)
    total = _sums(p**2 + g**2 if squared else p + g, pooled=pooled)
    return 1 - (2 * overlap + smooth) / (total + smooth), _sums(g, pooled=pooled) > 0


def _sums(values: Tensor, *, pooled: bool) -> Tensor:
    space = tuple(range(2, values.ndim))
    return values.sum(dim=(0, *space) if pooled else space)


def class_mean(losses: Tensor, present: Tensor, absent: Absent) -> Tensor:
    """Mean of the losses of those that are present, or of all. Raises ValueError for another word."""
    if absent == "count":
        return losses.mean()
    if absent != "skip":
        raise ValueError(f"Found absent={absent!r}; wanted 'skip' or 'count'. Choose one of these.")
    counted = present.to(losses.dtype)
    return (losses * counted).sum() / counted.sum().clamp(min=1)
