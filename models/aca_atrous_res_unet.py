"""ACAAtrousResUNet: ResNet-34 encoder, atrous pyramid and a decoder that gates its skips (mammography cascade, 2025).

After the public project creativekids11/Breast-Cancer-Mammography-Segmentation, which has no paper. Corrected here:
every part is built by the constructor (the project made its decoder at the first call, after the optimiser, so that its
cascade never trained it and its checkpoints did not load), and no unused second decoder is carried along.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from models.blocks import resnet_encoder
from models.blocks_attention import AtrousPyramid, ContextDecoder


class ACAAtrousResUNet(nn.Module):
    """U-Net with ResNet-34 encoder, atrous pyramid and context-gated skips.

    Input (batch, in_channels, h, w), published 384 x 384 grey in [0, 1]; sides should be multiples of 32, others lose
    exactness at the border. Output logits (batch, classes, h, w).

    Args:
        in_channels: of the input; the published cascade has 1.
        classes: channels of the logits: 1 for lesions, 4 for tissue.
        depths: blocks of each encoder stage.
        widths: channels of each encoder stage.
        pyramid: channels of the atrous pyramid's output.
        decoder: channels of the decoder's four steps, coarsest first.
        rates: dilations of the pyramid; smaller ones suit smaller inputs.
        pooled: one channel weight per picture in the gates, as the project describes; False as it computes.
        dropout: of whole channels after each step of the decoder, 0 to 1; the project's option is 0.1.
        weights: of the encoder: None for random ones, "library" for torchvision's ImageNet weights (needs a network),
            otherwise the path of a state-dict file. Those for RGB are adapted to in_channels.
    """

    def __init__(
        self,
        *,
        in_channels: int = 1,
        classes: int = 1,
        depths: Sequence[int] = (3, 4, 6, 3),
        widths: Sequence[int] = (64, 128, 256, 512),
        pyramid: int = 256,
        decoder: Sequence[int] = (128, 64, 64, 64),
        rates: Sequence[int] = (1, 6, 12, 18),
        pooled: bool = False,
        dropout: float = 0.0,
        weights: str | None = None,
    ) -> None:
        super().__init__()
        self.encoder = resnet_encoder(34, in_channels=in_channels, weights=weights, depths=depths, widths=widths)
        channels = [stage["num_chs"] for stage in self.encoder.feature_info]
        bottom = AtrousPyramid(channels[-1], pyramid, rates=rates)
        self.decoder = ContextDecoder(channels, pyramid=bottom, widths=decoder, pooled=pooled, dropout=dropout)
        self.head = nn.Conv2d(decoder[-1], classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        features = self.encoder.forward_intermediates(x, intermediates_only=True)
        logits = self.head(self.decoder(features))
        return functional.interpolate(logits, size=x.shape[2:], mode="bilinear", align_corners=False)


def tiny(**overrides: Any) -> ACAAtrousResUNet:
    """A small one for tests and smoke runs, any size from 32 pixels; ``overrides`` as for `ACAAtrousResUNet`."""
    small: dict[str, Any] = {
        "depths": (1, 1, 1, 1),
        "widths": (8, 16, 16, 32),
        "pyramid": 16,
        "decoder": (16, 8, 8, 8),
        "rates": (1, 2, 3, 4),
    }
    return ACAAtrousResUNet(**(small | overrides))
