"""UNet: the plain U-Net of the BUSI notebook (method 4), built as Keras builds it.

U-Net (Ronneberger et al. 2015, arXiv:1505.04597) without batch norm, with dropout after each pooling and in the
decoder, transposed convolutions with ReLU and Glorot-uniform weights. Published at 1 x 128 x 128.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.blocks import check_sides

Head = Literal["logits", "relu_mse"]


class UNet(nn.Module):
    """U-Net of five resolutions, 31.0 million parameters at its published size.

    Input (batch, in_channels, h, w), h and w multiples of 2 ** (len(widths) - 1). Output (batch, classes, h, w).

    Args:
        in_channels: of the input.
        classes: channels of the output.
        widths: channels from full resolution downwards.
        head: ``logits`` (default) ends in a 1x1 convolution, for Dice and cross entropy. ``relu_mse`` is the published
            one and adds a ReLU: outputs in [0, infinity) to be trained by the squared error to masks of 0 and 1, which
            are no logits, have no natural threshold and get no gradient where they are 0.
        dropout: probabilities after each pooling and inside each decoder stage, 0 to 1.

    Raises ValueError for another ``head``, and on input whose sides do not divide.
    """

    def __init__(
        self,
        *,
        in_channels: int = 1,
        classes: int = 1,
        widths: Sequence[int] = (64, 128, 256, 512, 1024),
        head: Head = "logits",
        dropout: tuple[float, float] = (0.2, 0.1),
    ) -> None:
        super().__init__()
        if head not in get_args(Head):
            raise ValueError(f"Found head {head!r}; wanted one of {', '.join(get_args(Head))}. Name one of these.")
        self.encoder = nn.ModuleList(_double(above, here) for above, here in pairwise((in_channels, *widths)))
        self.decoder = nn.ModuleList(_Up(below, here, dropout[1]) for below, here in pairwise(widths[::-1]))
        self.dropout = nn.Dropout(dropout[0])
        self.last = nn.Conv2d(widths[0], classes, 1)
        self.rectify = head == "relu_mse"
        self.apply(_glorot)

    def forward(self, x: Tensor) -> Tensor:
        check_sides(x, 2 ** len(self.decoder))
        skips: list[Tensor] = []
        for stage in self.encoder:
            # Skips are taken before pooling and dropout.
            skips.append(stage(self.dropout(functional.max_pool2d(skips[-1], 2)) if skips else x))
        y = skips.pop()
        for up in self.decoder:
            y = up(y, skips.pop())
        y = self.last(y)
        return torch.relu(y) if self.rectify else y


def tiny(**overrides: Any) -> UNet:
    """`UNet` of five resolutions with 4 to 16 channels, for tests and smoke runs."""
    return UNet(**{"widths": (4, 4, 8, 8, 16), **overrides})


def _double(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(out_channels, out_channels, 3, padding=1),
        nn.ReLU(inplace=True),
    )


class _Up(nn.Module):
    """Enlarge the deeper map x2, put the skip behind it, blend, drop out."""

    def __init__(self, below: int, here: int, dropout: float) -> None:
        super().__init__()
        self.enlarge = nn.ConvTranspose2d(below, here, 2, stride=2)
        self.dropout = nn.Dropout(dropout)
        self.blend = _double(2 * here, here)

    def forward(self, deep: Tensor, skip: Tensor) -> Tensor:
        return self.dropout(self.blend(torch.cat([torch.relu(self.enlarge(deep)), skip], dim=1)))


def _glorot(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d) and module.bias is not None:
        nn.init.xavier_uniform_(module.weight)
        nn.init.zeros_(module.bias)
