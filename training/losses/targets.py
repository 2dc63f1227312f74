"""From logits and truth to probabilities and indicators: the one place that knows binary from multi-class.

Convention of every loss in this package: ``loss(output, target, **constants)``. Output: logits (batch, channels,
height, width), float32. One channel is one class against nothing: sigmoid, and the target holds 0 to 1. Several
channels exclude one another: softmax, and the target holds class ids 0 to channels - 1 in any number type. The target
is (batch, height, width) or (batch, 1, height, width).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def activated(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Probabilities p and indicators g, both of the logits' shape and type, 0 to 1.

    Raises ValueError where shapes do not fit or the target holds an undeclared class.
    """
    if logits.shape[1] == 1:
        return torch.sigmoid(logits), indicator(logits, target)
    ids = class_ids(logits, target)
    return torch.softmax(logits, dim=1), functional.one_hot(ids, logits.shape[1]).movedim(-1, 1).to(logits.dtype)


def indicator(logits: Tensor, target: Tensor) -> Tensor:
    """The target of one-channel logits in their shape and type. Raises ValueError for another shape."""
    full = target if target.ndim == logits.ndim else target.unsqueeze(1)
    _check_shape(tuple(full.shape), tuple(logits.shape))
    return full.to(logits.dtype)


def class_ids(logits: Tensor, target: Tensor) -> Tensor:
    """Class ids int64 (batch, height, width). Raises ValueError for another shape or an undeclared class value."""
    flat = target.squeeze(1) if target.ndim == logits.ndim else target
    _check_shape(tuple(flat.shape), (logits.shape[0], *logits.shape[2:]))
    ids = flat.long()
    undeclared = (ids != flat) | (ids < 0) | (ids >= logits.shape[1])
    if undeclared.any():
        raise ValueError(
            f"Found class value {flat[undeclared][0].item()}; wanted whole numbers 0 to {logits.shape[1] - 1}. "
            "Map the labels to class ids, and resize them to the nearest pixel only."
        )
    return ids


def _check_shape(found: tuple[int, ...], wanted: tuple[int, ...]) -> None:
    if found != wanted:
        raise ValueError(f"Found a target of shape {found}; wanted {wanted}. Give the truth on the output's grid.")
