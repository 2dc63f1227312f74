"""Tiny SAMs of ours and of the library."""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import SamConfig, SamMaskDecoderConfig, SamModel, SamPromptEncoderConfig, SamVisionConfig

from models.sam import Sam
from training.awake import awaken

PLACES = 6
IMAGE, EMBEDDING, BOXES = (3, 64, 64), (16, 8, 8), (1, 4)


def loud(network: Sam) -> Sam:
    """Scaled so that equal outputs mean something."""
    awaken(network.encoder, [IMAGE])
    awaken(network.decoder, [EMBEDDING, BOXES])
    return network.eval()


def library() -> SamModel:
    """Transformers' own network of tiny sizes."""
    vision = SamVisionConfig(
        hidden_size=16, output_channels=16, num_hidden_layers=2, num_attention_heads=2, window_size=3,
        global_attn_indexes=(1,), num_pos_feats=8, image_size=64, patch_size=8, initializer_range=0.3,
    )  # fmt: skip
    vision.scale = 1.0
    mask = SamMaskDecoderConfig(hidden_size=16, mlp_dim=32, num_attention_heads=2, iou_head_hidden_dim=16)
    prompt = SamPromptEncoderConfig(hidden_size=16, image_size=64, patch_size=8)
    return SamModel(
        SamConfig(vision_config=vision, prompt_encoder_config=prompt, mask_decoder_config=mask, initializer_range=0.3)
    )


def boxes(*each: tuple[float, float, float, float]) -> Tensor:
    return torch.tensor(each)[None]
