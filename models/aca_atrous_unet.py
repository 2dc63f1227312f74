"""ACAAtrousUNet: the ACA network without a pretrained encoder (mammography project, 2025).

After the public project creativekids11/Breast-Cancer-Mammography-Segmentation, which has no paper. Corrected here:
every part is built by the constructor, not at the first call.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from torch import Tensor, nn

from models.blocks_attention import AtrousPyramid, ContextDecoder, conv_pair


class ACAAtrousUNet(nn.Module):
    """Plain U-Net encoder, atrous pyramid and a decoder with context-gated skips.

    Input (batch, in_channels, h, w), published 512 x 512 grey in [0, 1], sides at least 16. Output logits
    (batch, classes, h, w).

    Args:
        in_channels: of the input.
        classes: channels of the logits.
        base: channels at full resolution; further down 2, 4, 8 and 8 times as many.
        rates: dilations of the pyramid.
        pooled: one channel weight per picture in the gates, as the project describes; False as it computes.
        dropout: of whole channels after each pair of convolutions, 0 to 1; the project's option is 0.1.
    """

    def __init__(
        self,
        *,
        in_channels: int = 1,
        classes: int = 1,
        base: int = 64,
        rates: Sequence[int] = (1, 6, 12, 18),
        pooled: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        channels = [base, 2 * base, 4 * base, 8 * base, 8 * base]
        self.stem = conv_pair(in_channels, base, dropout=dropout)
        self.down = nn.ModuleList(
            nn.Sequential(nn.MaxPool2d(2), conv_pair(above, here, dropout=dropout))
            for above, here in pairwise(channels)
        )
        self.decoder = ContextDecoder(
            channels,
            pyramid=AtrousPyramid(channels[-1], 2 * base, rates=rates),
            widths=(4 * base, 2 * base, base, base),
            pooled=pooled,
            dropout=dropout,
        )
        self.head = nn.Conv2d(base, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        features = [self.stem(x)]
        for down in self.down:
            features.append(down(features[-1]))
        return self.head(self.decoder(features))


def tiny(**overrides: Any) -> ACAAtrousUNet:
    """A small one for tests and smoke runs, any size from 16 pixels; ``overrides`` as for `ACAAtrousUNet`."""
    return ACAAtrousUNet(**({"base": 4, "rates": (1, 2, 3, 4)} | overrides))
