"""SegFormer with the Mix Transformer MiT-B0, as transformers builds it (a comparison network of method 0).

Xie et al. 2021, arXiv:2105.15203. The library's code is Apache-2.0. NVIDIA's weights (``nvidia/mit-b0`` and all that
was fine-tuned from such) stand under NVIDIA's source code licence, for non-commercial use only: train from random
weights for anything else, and never pack them into a pipeline that is passed on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn import functional
from transformers import SegformerConfig, SegformerForSemanticSegmentation, SegformerModel

from models.blocks import check_sides, fit_weights, read_weights, transformers_model

LIBRARY_WEIGHTS = "nvidia/mit-b0"
FIRST_CONVOLUTION = ("stages.0.patch_embeddings.proj.weight", "encoder.patch_embeddings.0.proj.weight")


class SegFormer(nn.Module):
    """SegFormer-B0, 3.7 million parameters; its logits at 1/4 are enlarged bilinearly.

    Input (batch, in_channels, h, w), h and w multiples of 32. Output logits (batch, classes, h, w). Published at
    512 x 512.

    Args:
        in_channels: of the input.
        classes: channels of the logits.
        widths: channels of the four stages.
        depths: blocks of the four stages.
        heads: of attention in the four stages.
        decoder_width: channels of the decoder.
        dropout: in front of the last layer, 0 to 1.
        weights: of the encoder: None random, ``library`` nvidia/mit-b0 (needs a network; non-commercial, see above),
            else the path of a state dict with transformers' names, old or new; RGB weights are adapted to
            ``in_channels``.

    Raises ValueError on input whose sides do not divide and for weights of another architecture, FileNotFoundError for
    weights that are not there.
    """

    def __init__(
        self,
        *,
        in_channels: int = 1,
        classes: int = 1,
        widths: Sequence[int] = (32, 64, 160, 256),
        depths: Sequence[int] = (2, 2, 2, 2),
        heads: Sequence[int] = (1, 2, 5, 8),
        decoder_width: int = 256,
        dropout: float = 0.1,
        weights: str | None = None,
    ) -> None:
        super().__init__()
        config = SegformerConfig(
            num_channels=in_channels,
            hidden_sizes=list(widths),
            depths=list(depths),
            num_attention_heads=list(heads),
            decoder_hidden_size=decoder_width,
            classifier_dropout_prob=dropout,
            num_labels=classes,
        )
        self.network = SegformerForSemanticSegmentation(config)
        if weights is not None:
            fit_weights(self.network.segformer, _start(config, weights).state_dict(), weights)

    def forward(self, x: Tensor) -> Tensor:
        check_sides(x, 32)
        return functional.interpolate(self.network(x).logits, scale_factor=4.0, mode="bilinear", align_corners=False)


def tiny(**overrides: Any) -> SegFormer:
    """`SegFormer` of four stages with 8 to 32 channels, one block each, for tests and smoke runs."""
    small = {"widths": (8, 16, 24, 32), "depths": (1, 1, 1, 1), "heads": (1, 2, 3, 4), "decoder_width": 16}
    return SegFormer(**{**small, **overrides})


def _start(config: SegformerConfig, weights: str) -> SegformerModel:
    """An encoder that holds the weights, with as many input channels as they have; the library's have three."""
    library = weights == "library"
    found = {} if library else read_weights(weights)
    channels = next((one.shape[1] for name, one in found.items() if name.endswith(FIRST_CONVOLUTION)), 3)
    like_weights = SegformerConfig(**{**config.to_dict(), "num_channels": channels})
    return transformers_model(SegformerModel, like_weights, LIBRARY_WEIGHTS if library else weights)
