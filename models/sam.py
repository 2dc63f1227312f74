"""SAM and MedSAM: the Segment Anything network with the ViT-B encoder, as the transformers library builds it.

Kirillov et al. 2023, arXiv:2304.02643; MedSAM: Ma et al. 2024, arXiv:2304.12306. One graph, two sets of weights and two
conventions of input, at 1024 x 1024 both, three channels (grey is repeated):

* SAM: values 0 to 1 minus (0.485, 0.456, 0.406), divided by (0.229, 0.224, 0.225); the longer side scaled to 1024.
* MedSAM: stretched to the square, each image between its own minimum and maximum to 0 to 1, neither mean nor deviation.
  With SAM's normalisation it silently loses quality.

Mask and boxes go through the same geometry as the image. Code and both sets of weights are Apache-2.0; the data that
taught MedSAM came under mixed terms. Two graphs are exported, `Sam.encoder` and a decoder, so that one embedding serves
many prompts; an embedding is (256, 64, 64), 2 MB in half precision.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import SamConfig, SamMaskDecoderConfig, SamModel, SamPromptEncoderConfig, SamVisionConfig

from models.blocks import transformers_model

Trained = Literal["decoder", "encoder_and_decoder"]
SAM_WEIGHTS, MEDSAM_WEIGHTS = "facebook/sam-vit-base", "wanglab/medsam-vit-base"
# The labels of points: the corners of a box are points, too.
TOP_LEFT, BOTTOM_RIGHT, NOTHING = 2, 3, -1
COLOURS = 3
# Names in the original files (sam_vit_b_01ec64.pth, medsam_vit_b.pth) to those of transformers, one after the other.
ORIGINAL = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"^image_encoder\.", "vision_encoder."),
        (r"\.patch_embed\.proj\.", ".patch_embed.projection."),
        (r"\.blocks\.", ".layers."),
        (r"\.neck\.0\.", ".neck.conv1."),
        (r"\.neck\.1\.", ".neck.layer_norm1."),
        (r"\.neck\.2\.", ".neck.conv2."),
        (r"\.neck\.3\.", ".neck.layer_norm2."),
        (r"\.norm(?=\d|_final)", ".layer_norm"),
        (r"\.point_embeddings\.", ".point_embed."),
        (r"\.mask_downscaling\.0\.", ".mask_embed.conv1."),
        (r"\.mask_downscaling\.1\.", ".mask_embed.layer_norm1."),
        (r"\.mask_downscaling\.3\.", ".mask_embed.conv2."),
        (r"\.mask_downscaling\.4\.", ".mask_embed.layer_norm2."),
        (r"\.mask_downscaling\.6\.", ".mask_embed.conv3."),
        (r"\.output_upscaling\.0\.", ".upscale_conv1."),
        (r"\.output_upscaling\.1\.", ".upscale_layer_norm."),
        (r"\.output_upscaling\.3\.", ".upscale_conv2."),
        (r"(mlps\.\d|iou_prediction_head)\.layers\.0\.", r"\1.proj_in."),
        (r"(mlps\.\d|iou_prediction_head)\.layers\.1\.", r"\1.layers.0."),
        (r"(mlps\.\d|iou_prediction_head)\.layers\.2\.", r"\1.proj_out."),
        (r"\.pe_layer\.positional_encoding_gaussian_matrix$", ".shared_embedding.positional_embedding"),
    )
)
SHARED = "prompt_encoder.shared_embedding.positional_embedding", "shared_image_embedding.positional_embedding"


class SamEncoder(nn.Module):
    """Image to embedding: (batch, 3, size, size) to (batch, 256, size / 16, size / 16). Raises ValueError otherwise."""

    def __init__(self, model: SamModel) -> None:
        super().__init__()
        self.size: int = model.config.vision_config.image_size
        self.vision_encoder = model.vision_encoder

    def forward(self, image: Tensor) -> Tensor:
        if image.shape[-2:] != (self.size, self.size):
            found, wanted = tuple(image.shape[-2:]), (self.size, self.size)
            raise ValueError(f"Found an image of {found} pixels; wanted {wanted}. Resize or pad it.")
        return self.vision_encoder(image).last_hidden_state


class SamDecoder(nn.Module):
    """Embedding and boxes to logits: one mask a box.

    Input: embedding (batch, 256, g, g) and boxes (batch, n, 4) as (left, top, right, bottom) in the image's pixels.
    Output logits (batch, n, size, size), brought from a quarter of the size bilinearly.
    """

    def __init__(self, model: SamModel) -> None:
        super().__init__()
        self.size: int = model.config.vision_config.image_size
        self.prompt_encoder = model.prompt_encoder
        self.mask_decoder = model.mask_decoder
        grid = model.config.prompt_encoder_config.image_embedding_size
        centres = (torch.arange(grid) + 0.5) / grid
        across, down = torch.meshgrid(centres, centres, indexing="xy")
        self.register_buffer("centres", torch.stack([across, down], dim=-1), persistent=False)

    def forward(self, embedding: Tensor, boxes: Tensor) -> Tensor:
        sparse, dense = self._prompt(input_points=None, input_labels=None, input_boxes=boxes)
        return self._masks(embedding, sparse, dense)

    def pointed(self, embedding: Tensor, points: Tensor, labels: Tensor) -> Tensor:
        """Embedding and points to logits (batch, 1, size, size): one mask for all points of an image.

        Points (batch, places, 2) are (x, y) in the image's pixels with centres at whole numbers; labels (batch, places)
        are 1 inside the object, 0 outside, 2 and 3 top left and bottom right of a box, -1 for a place left over, which
        changes nothing: attention does not see it.
        """
        sparse, dense = self._prompt(input_points=points[:, None], input_labels=labels[:, None], input_boxes=None)
        # The library adds a last point that is none, which SAM learned to expect where there is no box.
        every = torch.cat([labels, torch.full_like(labels[:, :1], NOTHING)], dim=1)
        for corner in (TOP_LEFT, BOTTOM_RIGHT):
            chosen = (every == corner).to(sparse.dtype)[:, None, :, None]
            sparse = sparse + chosen * self.prompt_encoder.point_embed[corner].weight
        boxed = (labels == TOP_LEFT).any(dim=1, keepdim=True)
        seen = torch.cat([labels != NOTHING, ~boxed], dim=1)
        with _attending(self.mask_decoder, seen):
            return self._masks(embedding, sparse, dense)

    def _prompt(self, **prompt: Tensor | None) -> tuple[Tensor, Tensor]:
        with _in_full(self.centres.device.type):
            return self.prompt_encoder(**prompt, input_masks=None)

    def _masks(self, embedding: Tensor, sparse: Tensor, dense: Tensor) -> Tensor:
        with _in_full(self.centres.device.type):
            position = self.prompt_encoder.shared_embedding(self.centres).permute(2, 0, 1)[None]
        low, _ = self.mask_decoder(
            image_embeddings=embedding,
            image_positional_embeddings=position.expand(embedding.shape[0], -1, -1, -1),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=False,
        )
        return functional.interpolate(low.squeeze(2), size=(self.size, self.size), mode="bilinear", align_corners=False)


class SamPointDecoder(nn.Module):
    """`SamDecoder.pointed` as a module of its own, for export; it shares every parameter.

    Input: embedding (batch, 256, g, g), points (batch, places, 2) and labels (batch, places). Output logits
    (batch, 1, size, size).
    """

    def __init__(self, decoder: SamDecoder) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, embedding: Tensor, points: Tensor, labels: Tensor) -> Tensor:
        return self.decoder.pointed(embedding, points, labels)


def _in_full(device: str) -> AbstractContextManager[Any]:
    """Positions in float32 under mixed precision too: bfloat16 would move a corner by up to two of 1024 pixels."""
    # Only then, since what is exported must hold no switch of precision.
    return torch.autocast(device, enabled=False) if torch.is_autocast_enabled(device) else nullcontext()


@contextmanager
def _attending(mask_decoder: nn.Module, seen: Tensor) -> Iterator[None]:
    """Inside, no attention of the decoder looks at the prompt tokens that ``seen`` (batch, tokens) leaves out."""
    own = mask_decoder.num_mask_tokens + 1
    keep = torch.cat([torch.ones_like(seen[:, :1]).expand(-1, own), seen], dim=1)
    bias = torch.zeros_like(keep, dtype=torch.float32).masked_fill(~keep, torch.finfo(torch.float32).min)

    def hide(module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> tuple[tuple[Any, ...], Any]:
        return inputs, {**named, "attention_similarity": bias[:, None, None, :]}

    layers = mask_decoder.transformer.layers
    attentions = [one for layer in layers for one in (layer.self_attn, layer.cross_attn_image_to_token)]
    handles = [one.register_forward_pre_hook(hide, with_kwargs=True) for one in attentions]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


class Sam(nn.Module):
    """Image and boxes to logits; `encoder` and `decoder` are its halves, for cached embeddings and for export.

    Input: image (batch, 3, size, size), or in its stead its embedding (batch, 256, size / 16, size / 16), and boxes
    (batch, n, 4) in the image's pixels; or instead of boxes points (batch, places, 2) and their labels (batch, places),
    see `SamDecoder.pointed`. Output logits (batch, n, size, size), n = 1 for points.

    Args:
        model: of transformers.
        trained: ``decoder`` (as SAM is commonly adapted: embeddings can be cached) or ``encoder_and_decoder`` (as
            MedSAM was made). The prompt encoder never trains, and neither do the parts of the decoder that one mask per
            prompt does not use: three of four mask heads and the head that guesses the overlap.

    Raises ValueError for another ``trained``.
    """

    def __init__(self, model: SamModel, *, trained: Trained) -> None:
        super().__init__()
        if trained not in ("decoder", "encoder_and_decoder"):
            raise ValueError(f"Found trained={trained!r}; wanted decoder or encoder_and_decoder. Mend the recipe.")
        self.encoder = SamEncoder(model)
        self.decoder = SamDecoder(model)
        decoder = self.decoder.mask_decoder
        idle = [self.decoder.prompt_encoder, decoder.iou_prediction_head, *decoder.output_hypernetworks_mlps[1:]]
        for part in idle + ([self.encoder] if trained == "decoder" else []):
            part.requires_grad_(False)

    def forward(self, image: Tensor, prompt: Tensor, labels: Tensor | None = None) -> Tensor:
        embedding = self.encoder(image) if image.shape[1] == COLOURS else image
        return self.decoder(embedding, prompt) if labels is None else self.decoder.pointed(embedding, prompt, labels)


def sam(*, trained: Trained = "decoder", weights: str | None = None) -> Sam:
    """SAM ViT-B, 93.7 million parameters, input 1024 x 1024.

    ``weights``: None random, else a local folder, a state dict (named as transformers or as sam_vit_b_01ec64.pth does)
    or a hub name such as `SAM_WEIGHTS`, see `transformers_model`.
    """
    return Sam(transformers_model(SamModel, _config(), weights, renamed), trained=trained)


def medsam(*, trained: Trained = "encoder_and_decoder", weights: str | None = None) -> Sam:
    """The same graph for MedSAM's weights (medsam_vit_b.pth or `MEDSAM_WEIGHTS`) and its convention of input."""
    return sam(trained=trained, weights=weights)


def tiny(*, trained: Trained = "decoder", weights: str | None = None) -> Sam:
    """A few thousand parameters, input 64 x 64, for tests and smoke runs."""
    vision = {"hidden_size": 16, "output_channels": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = _config(
        {
            **vision,
            "window_size": 3,
            "global_attn_indexes": (1,),
            "num_pos_feats": 8,
            "image_size": 64,
            "patch_size": 8,
        },
        {"hidden_size": 16, "image_size": 64, "patch_size": 8},
        {"hidden_size": 16, "mlp_dim": 32, "num_attention_heads": 2, "iou_head_hidden_dim": 16},
        spread=0.3,
    )
    return Sam(transformers_model(SamModel, config, weights, renamed), trained=trained)


def renamed(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state dict of the original files or of `Sam` under transformers' names; one of transformers as it is."""
    if "image_encoder.pos_embed" in weights:
        weights = {_renamed(name): one for name, one in weights.items()}
    weights = {re.sub(r"^(encoder|decoder)\.", "", name): one for name, one in weights.items()}
    own, library = SHARED
    # One tensor under two names, of which the library looks for the second.
    return {**weights, **({library: weights[own]} if own in weights else {})}


def _renamed(name: str) -> str:
    for pattern, replacement in ORIGINAL:
        name = pattern.sub(replacement, name)
    return name


def _config(
    vision: dict[str, Any] | None = None,
    prompt: dict[str, Any] | None = None,
    mask: dict[str, Any] | None = None,
    spread: float = 0.02,
) -> SamConfig:
    """Published sizes but for those given; ``spread`` is the standard deviation of random weights."""
    # The library's own for the encoder, 1e-10, is no start to learn from.
    encoder = SamVisionConfig(**{"initializer_range": spread, **(vision or {})})
    # Frequencies of deviation 1, as in the original; half the width, the library's, leaves no smooth position.
    encoder.scale = 1.0
    return SamConfig(
        vision_config=encoder,
        prompt_encoder_config=SamPromptEncoderConfig(**(prompt or {})),
        mask_decoder_config=SamMaskDecoderConfig(**(mask or {})),
        initializer_range=spread,
    )
