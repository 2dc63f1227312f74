"""Losses of a depth map that a network predicts beside its segmentation, for training only.

Predicted depth and depth: (batch, 1, height, width), the latter 0 to 1 relative inverse depth, without a unit.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from training.losses.gradients import sobel, steepness


def depth_l1(predicted: Tensor, depth: Tensor) -> Tensor:
    """Mean |predicted - depth| over all pixels, padding included."""
    _check(predicted, depth)
    return functional.l1_loss(predicted, depth)


def depth_gradient(predicted: Tensor, depth: Tensor) -> Tensor:
    """Mean |difference of the Sobel derivatives| along x plus that along y: the shape of the surface, not its level."""
    _check(predicted, depth)
    x, y = sobel(predicted - depth)
    return x.abs().mean() + y.abs().mean()


def class_depth_l1(predicted: Tensor, target: tuple[Tensor, Tensor], *, classes: Sequence[int] = (2, 3)) -> Tensor:
    """Mean |predicted - depth| over the pixels of some classes; target: (class ids, depth).

    Classes 2 and 3 are the breasts. Without such a pixel it is 0 and still connected to ``predicted``.
    """
    ids, depth = target
    _check(predicted, depth)
    _check(ids if ids.ndim == depth.ndim else ids.unsqueeze(1), depth)
    inside = torch.isin(ids, torch.tensor(tuple(classes), device=ids.device)).reshape(depth.shape).to(predicted.dtype)
    return ((predicted - depth).abs() * inside).sum() / inside.sum().clamp(min=1)


def edge_consistency(logits: Tensor, depth: Tensor, *, sharpness: float = 10.0) -> Tensor:
    """Mean of |gradient of the highest class probability| x exp(-sharpness |gradient of depth|), Sobel gradients.

    Borders of the segmentation cost where the depth is flat. Logits (batch, classes, height, width).
    """
    highest = torch.softmax(logits, dim=1).amax(dim=1, keepdim=True)
    _check(highest, depth)
    return (steepness(highest) * torch.exp(-sharpness * steepness(depth))).mean()


def _check(found: Tensor, wanted: Tensor) -> None:
    if found.shape != wanted.shape:
        raise ValueError(
            f"Found a map of shape {tuple(found.shape)} beside a depth of {tuple(wanted.shape)}; wanted the same. "
            "Bring both to the input's grid."
        )
