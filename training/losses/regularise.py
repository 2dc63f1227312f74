"""Norms of a network's weights, to be added to its loss."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def l1(network: nn.Module, *, weight: float = 5e-5, norm_and_bias: bool = False) -> Tensor:
    """``weight`` x sum of |w| over the trainable weights; 5e-5 is the mammography cascade's.

    Vectors and scalars, which is what norms and biases have, are left out: shrinking a norm's gain shrinks the signal
    and regularises nothing. ``norm_and_bias=True`` is the published behaviour. At the start it is about 28 for the
    27.7 M parameters of that cascade, against a task loss below 3. Raises ValueError where nothing is trainable.
    """
    trained = [one for one in network.parameters() if one.requires_grad and (norm_and_bias or one.ndim > 1)]
    if not trained:
        raise ValueError("Found no trainable weight; wanted at least one. Unfreeze the network or drop the L1 term.")
    return weight * torch.stack([one.abs().sum() for one in trained]).sum()
