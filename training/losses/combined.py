"""Sums of a cross entropy and a Dice, one function per published recipe, with that recipe's constants.

The L1 norm that two of them add lies in `training.losses.regularise`; MONAI's DiceCE in `training.losses.monai_dice`.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from training.losses.dice import Absent, image_dice, multiclass_dice, pooled_dice, soft_dice, squared_dice
from training.losses.targets import indicator
from training.losses.weighted import cross_entropy


def dice_bce(logits: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Binary cross entropy + soft Dice, weights 1 and 1; ``weight`` (batch,) is that of each image in the entropy."""
    pixelwise = functional.binary_cross_entropy_with_logits(logits, target, reduction="none").mean(dim=(1, 2, 3))
    entropy = pixelwise.mean() if weight is None else (pixelwise * weight).sum() / weight.sum().clamp(min=1e-6)
    return entropy + soft_dice(logits, target)


def pooled_dice_bce(
    logits: Tensor, target: Tensor, *, pos_weight: float = 1.0, absent: Absent = "skip", smooth: float = 1e-5
) -> Tensor:
    """Binary cross entropy + Dice pooled over the batch, weights 1 and 1: stage 2 of the mammography cascade.

    Its stand-alone trainer weights foreground pixels in the entropy by ``pos_weight`` 11.
    """
    truth = indicator(logits, target)
    entropy = functional.binary_cross_entropy_with_logits(logits, truth, pos_weight=logits.new_tensor(pos_weight))
    return entropy + pooled_dice(logits, target, absent=absent, smooth=smooth)


def bce_dice(logits: Tensor, target: Tensor, *, bce: float = 0.5, dice: float = 1.0, absent: Absent = "skip") -> Tensor:
    """0.5 x cross entropy + 1 x Dice per image: the ultrasound benchmark of Tang et al. (CMU-Net, arXiv 2210.13012)."""
    return bce * cross_entropy(logits, target) + dice * image_dice(logits, target, absent=absent)


def transunet_loss(
    logits: Tensor, target: Tensor, *, ce: float = 0.5, dice: float = 0.5, absent: Absent = "skip"
) -> Tensor:
    """0.5 x cross entropy + 0.5 x Dice on softmax, squared denominator, pooled over the batch (arXiv 2102.04306)."""
    return ce * cross_entropy(logits, target) + dice * squared_dice(logits, target, pooled=True, absent=absent)


def stage1_loss(
    logits: Tensor, target: Tensor, *, ce: float = 0.5, dice: float = 0.5, absent: Absent = "skip"
) -> Tensor:
    """0.5 x softmax cross entropy + 0.5 x multi-class Dice: the tissue stage of the mammography cascade."""
    return ce * cross_entropy(logits, target) + dice * multiclass_dice(logits, target, absent=absent)
