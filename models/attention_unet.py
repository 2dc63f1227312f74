"""Attention U-Net with gates at the skip's own resolution, the form that method 1 compares with.

Oktay et al. 2018, arXiv:1804.03999, gate at the coarser resolution and resample the attention; the form common in
benchmarks, built here, first enlarges the deeper map and gates at the skip's size. Used at 1 x 224 x 224.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.blocks import check_sides, conv_with_bias, double_conv


class AttentionUNet(nn.Module):
    """U-Net of five resolutions with additive attention on every skip, 34.9 million parameters.

    Input (batch, in_channels, h, w), h and w multiples of 2 ** (len(widths) - 1). Output logits (batch, classes, h, w).

    Args:
        in_channels: of the input.
        classes: channels of the logits.
        widths: even numbers of channels from full resolution downwards.

    Raises ValueError on input whose sides do not divide.
    """

    def __init__(
        self, *, in_channels: int = 1, classes: int = 1, widths: Sequence[int] = (64, 128, 256, 512, 1024)
    ) -> None:
        super().__init__()
        self.encoder = nn.ModuleList(double_conv(above, here) for above, here in pairwise((in_channels, *widths)))
        self.decoder = nn.ModuleList(_GatedUp(below, here) for below, here in pairwise(widths[::-1]))
        self.head = nn.Conv2d(widths[0], classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        check_sides(x, 2 ** len(self.decoder))
        skips = [self.encoder[0](x)]
        for stage in self.encoder[1:]:
            skips.append(stage(functional.max_pool2d(skips[-1], 2)))
        y = skips.pop()
        for up in self.decoder:
            y = up(y, skips.pop())
        return self.head(y)


def tiny(**overrides: Any) -> AttentionUNet:
    """`AttentionUNet` of five resolutions with 4 to 16 channels, for tests and smoke runs."""
    return AttentionUNet(**{"widths": (4, 4, 8, 8, 16), **overrides})


class _GatedUp(nn.Module):
    """Enlarge the deeper map x2, weigh the skip by it, blend both."""

    def __init__(self, below: int, here: int) -> None:
        super().__init__()
        self.narrow = conv_with_bias(below, here)
        self.gate = AttentionGate(here, here // 2)
        self.blend = double_conv(2 * here, here)

    def forward(self, deep: Tensor, skip: Tensor) -> Tensor:
        signal = self.narrow(functional.interpolate(deep, scale_factor=2.0, mode="nearest"))
        return self.blend(torch.cat([self.gate(skip, signal), signal], dim=1))


class AttentionGate(nn.Module):
    """Skip and gating signal, both (batch, channels, h, w), to the skip times one weight in (0, 1) per pixel."""

    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        self.of_signal = _pointwise(channels, inner)
        self.of_skip = _pointwise(channels, inner)
        self.weigh = _pointwise(inner, 1)

    def forward(self, skip: Tensor, signal: Tensor) -> Tensor:
        return skip * torch.sigmoid(self.weigh(torch.relu(self.of_signal(signal) + self.of_skip(skip))))


def _pointwise(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, 1), nn.BatchNorm2d(out_channels))
