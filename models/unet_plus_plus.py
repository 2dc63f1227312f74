"""UNet++ with a ResNet-34 encoder, as segmentation-models-pytorch builds it (the default segmenter of method 1).

Zhou et al. 2018, arXiv:1807.10165: nested nodes between encoder and decoder. The library's form has a ResNet encoder
(He et al. 2016, arXiv:1512.03385), decoder widths 256 to 16 and no deep supervision.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import segmentation_models_pytorch as smp
from torch import nn

from models.blocks import smp_network


def unet_plus_plus(
    *,
    in_channels: int = 1,
    classes: int = 1,
    encoder: str = "resnet34",
    decoder_channels: Sequence[int] = (256, 128, 64, 32, 16),
    weights: str | None = None,
) -> nn.Module:
    """(batch, in_channels, h, w), h and w multiples of 32, to logits (batch, classes, h, w).

    Args:
        in_channels: of the input.
        classes: channels of the logits.
        encoder: ``resnet18`` to ``resnet152`` of segmentation-models-pytorch.
        decoder_channels: of the five decoder stages, deepest first.
        weights: of the encoder, see `models.blocks.smp_network`.

    Raises FileNotFoundError and ValueError as `models.blocks.load_encoder` does.
    """
    return smp_network(
        smp.UnetPlusPlus,
        encoder,
        weights,
        in_channels=in_channels,
        classes=classes,
        decoder_channels=decoder_channels,
    )


def tiny(**overrides: Any) -> nn.Module:
    """`unet_plus_plus` with ResNet-18 and a narrow decoder, for tests and smoke runs."""
    return unet_plus_plus(**{"encoder": "resnet18", "decoder_channels": (32, 16, 16, 8, 8), **overrides})
