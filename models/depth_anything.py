"""Depth Anything V2, Small: depth of a photograph relative to itself, as the transformers library builds it.

Yang et al. 2024, arXiv:2406.09414; a DINOv2 ViT-S/14 under the head of a dense prediction transformer. Small alone is
Apache-2.0; Base, Large and Giant are CC-BY-NC-4.0, so no builder here makes them. Method 0 uses it as it is: frozen, on
pictures between 0 and 1 minus (0.485, 0.456, 0.406), divided by (0.229, 0.224, 0.225), with a short side of 518.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation, Dinov2Config

from models.blocks import check_sides, transformers_model

SMALL_WEIGHTS = "depth-anything/Depth-Anything-V2-Small-hf"


class DepthAnything(nn.Module):
    """One picture, one depth map of the same size.

    Input (batch, 3, h, w), both sides multiples of the patch, published 14 and 518 x 518. Output (batch, 1, h, w), at
    least 0, larger where nearer: inverse depth up to a scale and an offset of each picture, without a unit. Bringing it
    to 0 to 1 is left to whoever reads it. No parameter trains.

    Raises ValueError for sides that are no multiples.
    """

    def __init__(self, network: DepthAnythingForDepthEstimation) -> None:
        super().__init__()
        self.network = network.requires_grad_(False)
        self.patch: int = network.config.patch_size

    def forward(self, image: Tensor) -> Tensor:
        check_sides(image, self.patch)
        return self.network(pixel_values=image).predicted_depth[:, None]


def depth_anything(*, weights: str | None = None) -> DepthAnything:
    """Depth Anything V2 Small, 24.8 million parameters, input 518 x 518.

    ``weights``: None random, else a local folder, a state dict or a hub name such as `SMALL_WEIGHTS`, see
    `transformers_model`.
    """
    return _built(_config({"image_size": 518, "hidden_size": 384, "num_attention_heads": 6}), weights)


def tiny(*, weights: str | None = None) -> DepthAnything:
    """A few thousand parameters, made for 56 x 56, for tests and smoke runs."""
    backbone = {"image_size": 56, "hidden_size": 16, "num_attention_heads": 2, "num_hidden_layers": 4}
    neck = {"reassemble_hidden_size": 16, "neck_hidden_sizes": [4, 4, 8, 8], "fusion_hidden_size": 8}
    spread = {"initializer_range": 0.2}
    config = _config({**backbone, **spread, "out_indices": [1, 2, 3, 4]}, **neck, **spread, head_hidden_size=4)
    return _built(config, weights)


def _built(config: DepthAnythingConfig, weights: str | None) -> DepthAnything:
    return DepthAnything(transformers_model(DepthAnythingForDepthEstimation, config, weights))


def _config(backbone: dict[str, Any], **head: Any) -> DepthAnythingConfig:
    # Version 2 reads four layers spread over the depth; the library's default is version 1, which reads the last four.
    spread_out = {"out_indices": [3, 6, 9, 12], "reshape_hidden_states": False}
    return DepthAnythingConfig(backbone_config=Dinov2Config(**{**spread_out, **backbone}), **head)
