"""Losses for small targets: focal, Tversky, focal Tversky."""

from __future__ import annotations

import torch
from monai.losses import TverskyLoss
from torch import Tensor
from torch.nn import functional

from training.losses.dice import SMOOTH, Absent, class_mean
from training.losses.targets import activated, class_ids, indicator

# Below it a power with an exponent under 1 has a slope without bound.
LEAST = 1e-7


def focal_loss(logits: Tensor, target: Tensor, *, alpha: float = 1.0, gamma: float = 3.0) -> Tensor:
    """Mean of alpha (1 - exp(-CE))^gamma CE over the pixels; CE of the sigmoid or the softmax.

    Lin et al. 2017, arXiv 1708.02002, with ``alpha`` as a plain factor; defaults of the photograph project.
    """
    if logits.shape[1] == 1:
        entropy = functional.binary_cross_entropy_with_logits(logits, indicator(logits, target), reduction="none")
    else:
        entropy = functional.cross_entropy(logits, class_ids(logits, target), reduction="none")
    missed = -torch.expm1(-entropy)
    return alpha * (missed.clamp(min=LEAST) ** gamma * entropy).mean()


def tversky_loss(logits: Tensor, target: Tensor, *, alpha: float = 0.7, absent: Absent = "skip") -> Tensor:
    """1 - TI, TI = (TP + s) / (TP + alpha FN + (1 - alpha) FP + s), pooled over the batch, mean over the classes.

    Salehi et al. 2017, arXiv 1706.05721; ``alpha`` above 0.5 prefers false positives to misses. s = 1e-5 and ``absent``
    are as in `training.losses.dice`.
    """
    return focal_tversky_loss(logits, target, alpha=alpha, gamma=1.0, absent=absent)


def focal_tversky_loss(
    logits: Tensor, target: Tensor, *, alpha: float = 0.7, gamma: float = 0.75, absent: Absent = "skip"
) -> Tensor:
    """(1 - TI)^gamma per class, then the mean; TI as in `tversky_loss`. Abraham and Khan 2018, arXiv 1810.07842."""
    p, g = activated(logits, target)
    # MONAI's alpha is the weight of false positives, its beta that of misses.
    index = TverskyLoss(alpha=1 - alpha, beta=alpha, smooth_nr=SMOOTH, smooth_dr=SMOOTH, batch=True, reduction="none")
    present = g.transpose(0, 1).flatten(1).any(dim=1)
    return class_mean(index(p, g).clamp(min=LEAST) ** gamma, present, absent)
