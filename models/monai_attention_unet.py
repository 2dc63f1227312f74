"""Attention U-Net as MONAI builds it: strided convolutions downwards, transposed ones upwards, gates in between.

Oktay et al. 2018, arXiv:1804.03999. The form that method 1 compares with is `models.attention_unet`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from monai.networks.nets import AttentionUnet
from torch import nn


def monai_attention_unet(
    *, in_channels: int = 1, classes: int = 1, widths: Sequence[int] = (64, 128, 256, 512, 1024), dropout: float = 0.0
) -> nn.Module:
    """(batch, in_channels, h, w), h and w multiples of 2 ** (len(widths) - 1), to logits (batch, classes, h, w).

    Args:
        in_channels: of the input.
        classes: channels of the logits.
        widths: channels from full resolution downwards.
        dropout: behind each convolution, 0 to 1.
    """
    strides = (2,) * (len(widths) - 1)
    return AttentionUnet(2, in_channels, classes, tuple(widths), strides, dropout=dropout)


def tiny(**overrides: Any) -> nn.Module:
    """`monai_attention_unet` of five resolutions with 4 to 16 channels, for tests and smoke runs."""
    return monai_attention_unet(**{"widths": (4, 4, 8, 8, 16), **overrides})
