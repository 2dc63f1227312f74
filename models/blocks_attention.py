"""Parts of the atrous networks with adaptive context aggregation (ACA).

ACA is the attention gate of a public mammography project (ACAAtrousResUNet, 2025, no paper): the decoder's feature
decides channel by channel and place by place what of the encoder's feature is passed on.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.blocks import ConvNormAct


def conv_pair(in_channels: int, out_channels: int, *, dropout: float = 0.0) -> nn.Sequential:
    """Two `ConvNormAct`, then ``dropout`` (0 to 1) of whole channels where it is not 0."""
    pair = nn.Sequential(ConvNormAct(in_channels, out_channels), ConvNormAct(out_channels, out_channels))
    return pair.append(nn.Dropout2d(dropout)) if dropout else pair


class AtrousPyramid(nn.Module):
    """Parallel dilated 3x3 convolutions, blended: (batch, in, h, w) to (batch, out, h, w).

    The atrous spatial pyramid of the ACA networks, after Chen et al. 2017 (arXiv:1706.05587) but without a norm in each
    branch and without image pooling; the branch of rate 1 is 3x3, too. At 12 or 16 pixels rates of 12 and 18 reach
    mostly padding.
    """

    def __init__(self, in_channels: int, out_channels: int, *, rates: Sequence[int] = (1, 6, 12, 18)) -> None:
        super().__init__()
        self.width = out_channels
        self.branches = nn.ModuleList(
            nn.Conv2d(in_channels, out_channels, 3, padding=rate, dilation=rate, bias=False) for rate in rates
        )
        together = out_channels * len(rates)
        self.norm = nn.BatchNorm2d(together)
        self.blend = ConvNormAct(together, out_channels, kernel=1)

    def forward(self, x: Tensor) -> Tensor:
        together = torch.cat([branch(x) for branch in self.branches], dim=1)
        return self.blend(torch.relu(self.norm(together)))


class ContextGate(nn.Module):
    """ACA: a skip (batch, skip, h, w) refined by what the decoder knows (batch, gate, h, w), to the skip's shape.

    The code that this follows computes the channel weights at every place; its description has one weight per channel
    and picture.

    Args:
        skip_channels: of the encoder's feature.
        gate_channels: of the decoder's feature.
        pooled: average over the picture before the channel weights, as described.
    """

    def __init__(self, skip_channels: int, gate_channels: int, *, pooled: bool = False) -> None:
        super().__init__()
        both, narrow = skip_channels + gate_channels, max(skip_channels // 8, 1)
        self.channel = nn.Sequential(
            nn.AdaptiveAvgPool2d(1) if pooled else nn.Identity(),
            nn.Conv2d(both, narrow, 1, bias=False),
            nn.ReLU(inplace=True),
            nn.Conv2d(narrow, skip_channels, 1, bias=False),
            nn.Sigmoid(),
        )
        self.place = nn.Sequential(
            nn.Conv2d(both, narrow, 3, padding=1, bias=False),
            nn.ReLU(inplace=True),
            nn.Conv2d(narrow, 1, 1),
            nn.Sigmoid(),
        )
        self.fuse = ConvNormAct(skip_channels, skip_channels, kernel=1)

    def forward(self, skip: Tensor, gate: Tensor) -> Tensor:
        both = torch.cat([skip, gate], dim=1)
        return self.fuse(skip + skip * self.channel(both) * self.place(both))


class ContextUp(nn.Module):
    """Enlarge the deeper feature to the skip's size, gate the skip with it, blend both (UpACA).

    (batch, below, h / 2, w / 2) and (batch, skip, h, w) to (batch, out, h, w).
    """

    def __init__(
        self, below: int, skip_channels: int, out_channels: int, *, pooled: bool = False, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.gate = ContextGate(skip_channels, below, pooled=pooled)
        self.blend = conv_pair(skip_channels + below, out_channels, dropout=dropout)

    def forward(self, deep: Tensor, skip: Tensor) -> Tensor:
        enlarged = functional.interpolate(deep, size=skip.shape[2:], mode="bilinear", align_corners=False)
        return self.blend(torch.cat([self.gate(skip, enlarged), enlarged], dim=1))


class ContextDecoder(nn.Module):
    """Pyramid at the bottom, then one `ContextUp` per skip: features from fine to coarse to (batch, widths[-1], h, w).

    ``h`` and ``w`` are those of the finest feature.

    Args:
        channels: of the features, finest first.
        pyramid: for the coarsest feature.
        widths: output channels of each step, coarsest first; one fewer than features.
        pooled: see `ContextGate`.
        dropout: see `conv_pair`.
    """

    def __init__(
        self,
        channels: Sequence[int],
        *,
        pyramid: AtrousPyramid,
        widths: Sequence[int],
        pooled: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.pyramid = pyramid
        self.up = nn.ModuleList(
            ContextUp(below, skip, out, pooled=pooled, dropout=dropout)
            for below, skip, out in zip((pyramid.width, *widths[:-1]), channels[-2::-1], widths, strict=True)
        )

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        *skips, bottom = features
        y = self.pyramid(bottom)
        for up, skip in zip(self.up, reversed(skips), strict=True):
            y = up(y, skip)
        return y
