"""DeepLabV3+ with a MobileNetV2 encoder, as segmentation-models-pytorch builds it (a comparison network of method 0).

Chen et al. 2018, arXiv:1802.02611, around MobileNetV2 (Sandler et al. 2018, arXiv:1801.04381). Used at 224 x 224.
"""

from __future__ import annotations

from typing import Any

import segmentation_models_pytorch as smp
from torch import nn

from models.blocks import smp_network


def deeplab_v3_plus(
    *,
    in_channels: int = 1,
    classes: int = 1,
    encoder: str = "mobilenet_v2",
    decoder_channels: int = 256,
    dropout: float = 0.5,
    weights: str | None = None,
) -> nn.Module:
    """(batch, in_channels, h, w), h and w multiples of 16, to logits (batch, classes, h, w).

    Training needs at least two images in a batch: batch norm stands behind a pooling to one pixel.

    Args:
        in_channels: of the input.
        classes: channels of the logits.
        encoder: of segmentation-models-pytorch.
        decoder_channels: of the atrous pyramid and what follows it.
        dropout: behind the pyramid, 0 to 1.
        weights: of the encoder, see `models.blocks.smp_network`.

    Raises FileNotFoundError and ValueError as `models.blocks.load_encoder` does.
    """
    return smp_network(
        smp.DeepLabV3Plus,
        encoder,
        weights,
        in_channels=in_channels,
        classes=classes,
        decoder_channels=decoder_channels,
        decoder_aspp_dropout=dropout,
    )


def tiny(**overrides: Any) -> nn.Module:
    """`deeplab_v3_plus` with the whole small encoder and a narrow decoder, for tests and smoke runs."""
    return deeplab_v3_plus(**{"decoder_channels": 16, **overrides})
