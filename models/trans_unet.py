"""TransUNet: a ResNet, a Vision Transformer on its last map, a decoder with the ResNet's skips.

Chen et al. 2021, arXiv:2102.04306, in its form R50-ViT-B/16. ResNetV2 with weight-standardised convolutions (Kolesnikov
et al. 2020, arXiv:1912.11370) and transformer blocks (Dosovitskiy et al. 2021, arXiv:2010.11929) are timm's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import timm
import torch
from timm.layers import GroupNormAct, LayerNorm, StdConv2d, resample_abs_pos_embed
from timm.models.resnetv2 import ResNetV2
from timm.models.vision_transformer import Block
from torch import Tensor, nn
from torch.nn import functional

from models.blocks import CLASSIFIER_HEADS, ConvNormAct, fit_weights, read_weights

LIBRARY_WEIGHTS = "vit_base_r50_s16_224.orig_in21k"
NORM = partial(LayerNorm, eps=1e-6)


class TransUNet(nn.Module):
    """R50-ViT-B/16 with the cascaded decoder, 105.3 million parameters.

    Input (batch, in_channels, h, w) of exactly ``image_size``; one channel is repeated to three, as published. Output
    logits (batch, classes, h, w).

    Args:
        in_channels: of the input.
        classes: channels of the logits.
        image_size: height and width in pixels, one number for both, multiples of 16; positions are learned per patch.
        layers: bottlenecks of the three ResNet stages.
        stem_width: channels at half resolution.
        channels: of the three ResNet stages, at 1/4, 1/8 and 1/16.
        groups: of each group norm.
        width: of a token.
        depth: transformer blocks.
        heads: of each attention.
        bridge: channels that the tokens are brought to in front of the decoder.
        decoder: channels of the four decoder stages.
        dropout: on the embedding and in each transformer block, 0 to 1.
        weights: of ResNet and transformer: None random, ``library`` timm's vit_base_r50_s16_224.orig_in21k (Google's
            weights, Apache-2.0; needs a network), else the path of a state dict with timm's names. Positions are
            resampled to ``image_size``; the class token is left out.

    The shortcut of a ResNet stage is normalised in groups, as in the networks that those weights come from; the
    authors' code normalises it per channel. Raises ValueError for a size that is no multiple of 16, for input of
    another size and for weights of another architecture, FileNotFoundError for weights that are not there.
    """

    def __init__(
        self,
        *,
        in_channels: int = 1,
        classes: int = 1,
        image_size: int | tuple[int, int] = 224,
        layers: Sequence[int] = (3, 4, 9),
        stem_width: int = 64,
        channels: Sequence[int] = (256, 512, 1024),
        groups: int = 32,
        width: int = 768,
        depth: int = 12,
        heads: int = 12,
        bridge: int = 512,
        decoder: Sequence[int] = (256, 128, 64, 16),
        dropout: float = 0.1,
        weights: str | None = None,
    ) -> None:
        super().__init__()
        self.size = (image_size, image_size) if isinstance(image_size, int) else tuple(image_size)
        if any(side % 16 for side in self.size):
            raise ValueError(f"Found image_size {image_size}; wanted multiples of 16. Round it.")
        self.repeat = 3 if in_channels == 1 else 1
        backbone = _resnet(self.repeat * in_channels, layers, stem_width, channels, groups)
        self.encoder = HybridEncoder(backbone, self.size, Transformer(width, depth, heads, dropout))
        self.bridge = ConvNormAct(width, bridge)
        skips = (channels[1], channels[0], stem_width, 0)
        ways = zip(pairwise((bridge, *decoder)), skips, strict=True)
        self.decoder = nn.ModuleList(_Up(below + skip, here) for (below, here), skip in ways)
        self.head = nn.Conv2d(decoder[-1], classes, 3, padding=1)
        if weights is not None:
            _load(self.encoder, weights)

    def forward(self, x: Tensor) -> Tensor:
        if tuple(x.shape[-2:]) != self.size:
            found, wanted = (" x ".join(map(str, size)) for size in (x.shape[-2:], self.size))
            raise ValueError(
                f"Found an input of {found} pixels; wanted {wanted}, the size whose positions were learned. "
                "Resize it or build the network with image_size."
            )
        tokens, skips = self.encoder(x.repeat(1, self.repeat, 1, 1))
        y = self.bridge(tokens)
        for up in self.decoder:
            y = up(y, skips.pop() if skips else None)
        return self.head(y)


def tiny(**overrides: Any) -> TransUNet:
    """`TransUNet` for 32 x 32 pixels with 8 to 64 channels and two transformer blocks, for tests and smoke runs."""
    small = {"image_size": 32, "layers": (1, 1, 2), "stem_width": 8, "channels": (16, 32, 64), "groups": 4}
    narrow = {"width": 32, "depth": 2, "heads": 4, "bridge": 16, "decoder": (16, 8, 8, 8)}
    return TransUNet(**{**small, **narrow, **overrides})


@dataclass(frozen=True)
class Transformer:
    """Sizes of the transformer behind the ResNet, as `TransUNet` has them."""

    width: int
    depth: int
    heads: int
    dropout: float

    def blocks(self) -> nn.Sequential:
        """Its blocks in a row, weights after Glorot."""
        block = partial(Block, self.width, self.heads, qkv_bias=True, proj_drop=self.dropout, norm_layer=NORM)
        return nn.Sequential(*(block() for _ in range(self.depth))).apply(_glorot)


class HybridEncoder(nn.Module):
    """ResNet and transformer under the names of timm's hybrid Vision Transformer.

    (batch, channels, h, w) to tokens as a map (batch, width, h / 16, w / 16) and skips at 1/2, 1/4 and 1/8.
    """

    def __init__(self, backbone: ResNetV2, size: tuple[int, ...], transformer: Transformer) -> None:
        super().__init__()
        self.grid = [side // 16 for side in size]
        project = nn.Conv2d(backbone.num_features, transformer.width, 1)
        self.patch_embed = nn.ModuleDict({"backbone": backbone, "proj": project})
        self.pos_embed = nn.Parameter(torch.zeros(1, self.grid[0] * self.grid[1], transformer.width))
        self.dropout = nn.Dropout(transformer.dropout)
        self.blocks = transformer.blocks()
        self.norm = NORM(transformer.width)

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        y, skips = _features(self.patch_embed["backbone"], x)
        tokens = self.patch_embed["proj"](y).flatten(2).transpose(1, 2) + self.pos_embed
        tokens = self.norm(self.blocks(self.dropout(tokens)))
        return tokens.transpose(1, 2).unflatten(2, self.grid), skips


def _resnet(in_channels: int, layers: Sequence[int], stem_width: int, channels: Sequence[int], groups: int) -> ResNetV2:
    backbone = ResNetV2(
        list(layers),
        tuple(channels),
        num_classes=0,
        global_pool="",
        in_chans=in_channels,
        stem_chs=stem_width,
        preact=False,
        norm_layer=partial(GroupNormAct, num_groups=groups, eps=1e-6),
        conv_layer=partial(StdConv2d, eps=1e-8),
    )
    # Published without padding, unlike timm's; the map falls one short and is padded where it is used as a skip.
    backbone.stem.pool = nn.MaxPool2d(3, stride=2)
    return backbone


def _features(backbone: ResNetV2, x: Tensor) -> tuple[Tensor, list[Tensor]]:
    """The last map and the skips at 1/2, 1/4 and 1/8, those padded with zeros to the right and below."""
    maps = [backbone.stem.norm(backbone.stem.conv(x))]
    y = backbone.stem.pool(maps[0])
    for stage in backbone.stages:
        y = stage(y)
        maps.append(y)
    return y, [_padded(one, x, 2 ** (1 + at)) for at, one in enumerate(maps[:-1])]


def _padded(skip: Tensor, x: Tensor, reduction: int) -> Tensor:
    (height, width), (tall, wide) = skip.shape[-2:], (side // reduction for side in x.shape[-2:])
    return functional.pad(skip, (0, wide - width, 0, tall - height))


class _Up(nn.Module):
    """Enlarge x2, put the skip behind it where there is one, two convolutions."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.blend = nn.Sequential(ConvNormAct(in_channels, out_channels), ConvNormAct(out_channels, out_channels))

    def forward(self, x: Tensor, skip: Tensor | None) -> Tensor:
        y = functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=True)
        return self.blend(y if skip is None else torch.cat([y, skip], dim=1))


def _glorot(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        nn.init.zeros_(module.bias)


def _load(encoder: HybridEncoder, weights: str) -> None:
    if weights == "library":
        found: Mapping[str, Tensor] = timm.create_model(LIBRARY_WEIGHTS, pretrained=True).state_dict()
    else:
        found = read_weights(weights)
    fit_weights(encoder, _without_class_token(found, encoder.grid), weights, ignore=(*CLASSIFIER_HEADS, "pre_logits."))


def _without_class_token(weights: Mapping[str, Tensor], grid: Sequence[int]) -> dict[str, Tensor]:
    """Positions of patches alone, resampled to the grid; files without a class token are left as they are."""
    if "cls_token" not in weights or "pos_embed" not in weights:
        return dict(weights)
    kept = {name: one for name, one in weights.items() if name != "cls_token"}
    return kept | {"pos_embed": resample_abs_pos_embed(kept["pos_embed"][:, 1:], list(grid), num_prefix_tokens=0)}
