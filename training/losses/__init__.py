"""Losses, one kind a file. Every one is ``loss(output, target, **constants)`` and is named by dotted path in a recipe.

Output: logits; see `training.losses.targets` for shapes and for what the target holds. All names of WHERE lie directly
in this package, too, so that a recipe may say ``training.losses.dice_ce``; their files are imported when they are asked
for, because MONAI, which some of them need, takes seconds.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from training.losses.combined import dice_bce
from training.losses.dice import SMOOTH, soft_dice

WHERE = {
    "LearnedSum": "weighting",
    "bce_dice": "combined",
    "class_depth_l1": "depth",
    "convexity_loss": "convexity",
    "cross_entropy": "weighted",
    "depth_gradient": "depth",
    "depth_l1": "depth",
    "dice_ce": "monai_dice",
    "edge_consistency": "depth",
    "focal_loss": "focal",
    "focal_tversky_loss": "focal",
    "image_dice": "dice",
    "ms_ssim_loss": "msssim",
    "multiclass_dice": "dice",
    "pooled_dice": "dice",
    "pooled_dice_bce": "combined",
    "presence_bce": "weighted",
    "soft_iou": "dice",
    "squared_dice": "dice",
    "stage1_loss": "combined",
    "supervised": "supervision",
    "transunet_loss": "combined",
    "tversky_loss": "focal",
    "unet3_plus_loss": "unet3_plus",
    "weighted_ce": "weighted",
    "weighted_sum": "weighting",
}

__all__ = ["SMOOTH", "dice_bce", "soft_dice"]


def __getattr__(name: str) -> Any:
    if name not in WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{WHERE[name]}"), name)
