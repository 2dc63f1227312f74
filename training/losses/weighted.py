"""Cross entropy, plain or weighted by class frequency."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from training.losses.targets import class_ids, indicator
from training.split import Split


def cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Mean cross entropy of the pixels: of the sigmoid for one channel, of the softmax for several."""
    if logits.shape[1] == 1:
        return functional.binary_cross_entropy_with_logits(logits, indicator(logits, target))
    return functional.cross_entropy(logits, class_ids(logits, target))


def weighted_ce(logits: Tensor, target: Tensor, *, weights: Sequence[float]) -> Tensor:
    """Softmax cross entropy with a weight per class, divided by the sum of the pixels' weights.

    ``weights`` come from `training_weights`. Raises ValueError unless there is one per channel.
    """
    if len(weights) != logits.shape[1]:
        raise ValueError(
            f"Found {len(weights)} weights for {logits.shape[1]} channels; wanted one per class. Count the weights on "
            "the classes that the network has."
        )
    return functional.cross_entropy(logits, class_ids(logits, target), weight=logits.new_tensor(weights))


def training_weights(parts: Split, classes: int) -> list[float]:
    """`class_weights` of the training part alone; the masks of the other parts are never read."""
    return class_weights((case.read_mask() for case in parts.train), classes)


def class_weights(masks: Iterable[NDArray[np.uint8]], classes: int) -> list[float]:
    """w_c = N / (C n_c): N pixels in all, n_c of class c of C. Masks hold class ids 0 to ``classes`` - 1.

    Equal frequencies give 1 everywhere. Raises ValueError for an undeclared class value and for a class without a
    pixel, whose weight would be infinite.
    """
    counts = np.zeros(classes, np.int64)
    for mask in masks:
        found = np.bincount(mask.ravel(), minlength=classes)
        if len(found) > classes:
            raise ValueError(
                f"Found class value {len(found) - 1} in a mask; wanted 0 to {classes - 1}. Map the labels to class ids."
            )
        counts += found
    if not counts.all():
        raise ValueError(
            f"Found no pixel of class {int(np.argmin(counts))} in the training part; wanted some of each of {classes} "
            "classes. Merge the class with another or give more cases."
        )
    return [float(one) for one in counts.sum() / (classes * counts)]


def presence_bce(logits: Tensor, target: Tensor) -> Tensor:
    """Cross entropy of "anything in the picture", for the classification-guided module of UNet3+ (arXiv 2004.08790).

    Logits (batch, 1), or (batch, 2) for absent and present, each through its own sigmoid; target: the mask (batch, 1,
    height, width), where anything above 0 counts as present. Raises ValueError for other widths.
    """
    if logits.ndim != 2 or logits.shape[1] not in (1, 2):
        raise ValueError(
            f"Found presence logits of shape {tuple(logits.shape)}; wanted (batch, 1) or (batch, 2). Give the output "
            "of the classification branch."
        )
    present = (target.flatten(1) > 0).any(dim=1, keepdim=True).to(logits.dtype)
    wanted = present if logits.shape[1] == 1 else torch.cat([1 - present, present], dim=1)
    return functional.binary_cross_entropy_with_logits(logits, wanted)
