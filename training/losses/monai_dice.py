"""MONAI's DiceCE: the loss that SAM and MedSAM are fine-tuned with."""

from __future__ import annotations

from monai.losses import DiceCELoss
from torch import Tensor

from training.losses.targets import class_ids, indicator


def dice_ce(logits: Tensor, target: Tensor, *, dice: float = 1.0, ce: float = 1.0) -> Tensor:
    """``dice`` x soft Dice with squared denominator + ``ce`` x cross entropy, weights 1 and 1, smoothing 1e-5.

    One channel: sigmoid and binary cross entropy. Several: softmax and categorical cross entropy, background included.
    Runs from 0 to no fixed upper end, about 1.7 for an untrained network: 1 - loss is no Dice. MONAI counts absent
    classes with a Dice of 0.
    """
    one = logits.shape[1] == 1
    loss = DiceCELoss(
        sigmoid=one, softmax=not one, to_onehot_y=not one, squared_pred=True, lambda_dice=dice, lambda_ce=ce
    )
    found: Tensor = loss(logits, indicator(logits, target) if one else class_ids(logits, target).unsqueeze(1))
    return found
