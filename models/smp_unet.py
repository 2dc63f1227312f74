"""The plain U-Net of segmentation-models-pytorch with a ResNet-34 encoder, a comparison network of method 1.

U-Net (Ronneberger et al. 2015, arXiv:1505.04597) around a ResNet (He et al. 2016, arXiv:1512.03385), nearest-neighbour
enlarging and decoder widths 256 to 16.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import segmentation_models_pytorch as smp
from torch import nn

from models.blocks import smp_network


def smp_unet(
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
        smp.Unet,
        encoder,
        weights,
        in_channels=in_channels,
        classes=classes,
        decoder_channels=decoder_channels,
    )


def tiny(**overrides: Any) -> nn.Module:
    """`smp_unet` with ResNet-18 and a narrow decoder, for tests and smoke runs."""
    return smp_unet(**{"encoder": "resnet18", "decoder_channels": (32, 16, 16, 8, 8), **overrides})
