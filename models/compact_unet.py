"""CompactUNet: the small residual U-Net that ships, fast enough to train and serve on a CPU.

A U-Net (Ronneberger et al. 2015, arXiv:1505.04597) with a stride-2 stem, residual encoder stages, global context at the
bottom and a decoder that ends at half resolution; logits are enlarged bilinearly to the input's size. An optional
image-level head says whether the structure is there at all, so that an empty picture is not decided by its worst pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.blocks import ConvNormAct, GlobalContext, ResidualBlock


class CompactUNet(nn.Module):
    """Residual U-Net with a stride-2 stem.

    Input (batch, in_channels, h, w), h and w multiples of 2 ** len(widths). Output logits (batch, classes, h, w), with
    ``presence`` also logits (batch, presence).

    Args:
        in_channels: of the input.
        classes: channels of the logits.
        widths: channels from half resolution downwards.
        presence: outputs of the image-level head, 0 for none.
        dropout: on the pooled features of the image-level head, 0 to 1.
    """

    def __init__(
        self,
        *,
        in_channels: int = 1,
        classes: int = 1,
        widths: Sequence[int] = (24, 48, 96, 160, 224),
        presence: int = 0,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(ConvNormAct(in_channels, widths[0], stride=2), ResidualBlock(widths[0], widths[0]))
        self.down = nn.ModuleList(_stage(above, here) for above, here in pairwise(widths))
        self.context = GlobalContext(widths[-1])
        pairs = list(zip(widths[::-1], widths[-2::-1], strict=False))
        self.up = nn.ModuleList(_Merge(below, here) for below, here in pairs)
        self.head = nn.Conv2d(widths[0], classes, 1)
        self.presence = _ImageHead(widths[-1] + widths[-2], presence, dropout) if presence else None

    def encode(self, x: Tensor) -> list[Tensor]:
        """Features from half resolution downwards, the last one with global context."""
        features = [self.stem(x)]
        for stage in self.down:
            features.append(stage(features[-1]))
        features[-1] = self.context(features[-1])
        return features

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        *skips, y = self.encode(x)
        deep = [skips[-1], y]
        for merge in self.up:
            y = merge(y, skips.pop())
        logits = functional.interpolate(self.head(y), scale_factor=2.0, mode="bilinear", align_corners=False)
        return logits if self.presence is None else (logits, self.presence(deep))


class CompactFusion(nn.Module):
    """`CompactUNet` that sees depth beside colour: the small sibling of `models.sam_depth_fusion.SamDepthFusion`.

    Input (batch, colours + 1, h, w), depth last, 0 to 1; or both apart, as (batch, colours, ...) and (batch, 1, ...).
    Output logits (batch, classes, h, w); in training mode (logits, depth (batch, 1, h, w)), so that the colours learn
    what depth looks like.

    Args:
        colours: channels of the picture.
        classes: channels of the logits.
        widths: as `CompactUNet` has them.
        depth_dropout: probability that a training picture goes without depth, 0 to 1: a depth map is a guess, too.
    """

    def __init__(
        self,
        *,
        colours: int = 3,
        classes: int = 6,
        widths: Sequence[int] = (20, 40, 72, 112, 160),
        depth_dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.depth_dropout = depth_dropout
        self.unet = CompactUNet(in_channels=colours + 1, classes=classes + 1, widths=widths)

    def forward(self, x: Tensor, depth: Tensor | None = None) -> Tensor | tuple[Tensor, Tensor]:
        if depth is not None:
            x = torch.cat([x, depth], dim=1)
        if self.training and self.depth_dropout:
            kept = torch.rand(len(x), 1, 1, 1, device=x.device) >= self.depth_dropout
            x = torch.cat([x[:, :-1], x[:, -1:] * kept], dim=1)
        both = self.unet(x)
        return (both[:, :-1], both[:, -1:]) if self.training else both[:, :-1]


class CompactMap(nn.Module):
    """`CompactUNet` that draws a map of 0 to 1, such as relative depth: (batch, in_channels, h, w) to (batch, 1, h, w).

    ``widths`` are those of `CompactUNet`.
    """

    def __init__(self, *, in_channels: int = 3, widths: Sequence[int] = (16, 32, 48, 80, 112)) -> None:
        super().__init__()
        self.unet = CompactUNet(in_channels=in_channels, classes=1, widths=widths)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.unet(x))


class CompactClassifier(nn.Module):
    """The encoder of `CompactUNet` with an image-level head: (batch, in_channels, h, w) to logits (batch, classes).

    Its parameters carry the same names as the U-Net's, so the encoder of a trained segmenter loads into it.
    """

    def __init__(
        self,
        *,
        in_channels: int = 1,
        classes: int = 3,
        widths: Sequence[int] = (24, 48, 96, 160, 224),
        dropout: float = 0.3,
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(ConvNormAct(in_channels, widths[0], stride=2), ResidualBlock(widths[0], widths[0]))
        self.down = nn.ModuleList(_stage(above, here) for above, here in pairwise(widths))
        self.context = GlobalContext(widths[-1])
        self.head = _ImageHead(widths[-1] + widths[-2], classes, dropout)

    def forward(self, x: Tensor) -> Tensor:
        y = self.stem(x)
        above = y
        for stage in self.down:
            above, y = y, stage(y)
        return self.head([above, self.context(y)])


def _stage(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(ResidualBlock(in_channels, out_channels, stride=2), ResidualBlock(out_channels, out_channels))


class _Merge(nn.Module):
    """Enlarge the deeper feature x2, narrow it, add the skip beside it and blend both."""

    def __init__(self, below: int, here: int) -> None:
        super().__init__()
        self.narrow = ConvNormAct(below, here, kernel=1)
        self.blend = ResidualBlock(2 * here, here)

    def forward(self, deep: Tensor, skip: Tensor) -> Tensor:
        enlarged = functional.interpolate(self.narrow(deep), scale_factor=2.0, mode="bilinear", align_corners=False)
        return self.blend(torch.cat([skip, enlarged], dim=1))


class _ImageHead(nn.Module):
    """Mean and maximum over the two deepest feature maps, dropout, one linear map."""

    def __init__(self, channels: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(2 * channels, classes)

    def forward(self, features: list[Tensor]) -> Tensor:
        pooled = [f.mean(dim=(2, 3)) for f in features] + [f.amax(dim=(2, 3)) for f in features]
        return self.linear(self.dropout(torch.cat(pooled, dim=1)))
