"""SamDepthFusion: SAM's image encoder beside an encoder of depth, joined by cross attention in both directions.

Method 0 (Zolfagharnasab et al. 2025), after its published figure and code base: photographs of the torso in six classes
(background, body, breasts, nipples), depth from Depth Anything. While it trains it also draws the depth map; in
evaluation mode, and so in every exported graph, it gives logits alone.

Corrected against the original: attention never builds its 4096 x 4096 maps (the temperature is absorbed into the
queries), nothing is moved between devices in ``forward``, output comes at the input's size whatever that is, and depth
is brought to 0 to 1 here, so that a raw map and a stored one mean the same. The original fed SAM pictures of 0 to 1;
SAM was made for those minus (0.485, 0.456, 0.406), divided by (0.229, 0.224, 0.225), which is what recipes should say.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import SamVisionConfig, SamVisionModel

from models.blocks import transformers_model

Mode = Literal["two_way", "one_way", "depth_target", "rgb"]
Position = Literal["vector", "none", "depth"]
Norm = Literal["batch", "group"]
GROUPS = 32


class SamDepthFusion(nn.Module):
    """SAM's encoder, an encoder of depth, cross attention between both, a decoder of two convolutions.

    Input (batch, 4, size, size): three channels of colour, then depth of any range; or both apart, as (batch, 3, ...)
    and (batch, 1, ...). The modes ``rgb`` and ``depth_target`` read the colours alone. Output logits
    (batch, classes, size, size); in training mode (logits, depth (batch, 1, size, size)), but for ``rgb``, which has no
    depth to give. Published at 1024 x 1024.

    Args:
        classes: channels of the logits.
        mode: ``two_way`` as published; ``one_way`` lets colour look at depth only, both heads on the decoder;
            ``depth_target`` is told depth as a second target only; ``rgb`` knows no depth.
        confidence: weigh depth features by a map of confidence drawn from depth.
        position: what is added before attention: one learned ``vector``, the same everywhere, as published; ``none``;
            ``depth``, that vector and features of the depth map itself.
        standardise: give depth zero mean and unit deviation per picture, as the originals without confidence do.
        modality_dropout: probability that a training batch goes without colour in ``two_way``, 0 to 1.
        dropout: after fusion and each convolution, 0 to 1; attention has its own of 0.1.
        norm: ``batch``, or ``group`` for batches of few pictures.
        width: channels of SAM's embedding.
        heads: of cross attention.
        depth_widths: of the four strides of the depth encoder, the last one ``width``.
        vision: fields of transformers' SamVisionConfig that differ from ViT-B's.
        weights: of SAM's encoder: None random, a local folder, a state dict or a hub name, see `transformers_model`.

    Raises ValueError for an unknown mode, position or norm, and for input of another size or too few channels.
    """

    def __init__(
        self,
        *,
        classes: int = 6,
        mode: Mode = "two_way",
        confidence: bool = True,
        position: Position = "vector",
        standardise: bool = False,
        modality_dropout: float = 0.1,
        dropout: float = 0.3,
        norm: Norm = "batch",
        width: int = 256,
        heads: int = 8,
        depth_widths: Sequence[int] = (32, 64, 128, 256),
        vision: Mapping[str, Any] | None = None,
        weights: str | None = None,
    ) -> None:
        super().__init__()
        _check(mode, position, norm)
        # The library's own start for a random encoder, 1e-10, is none that learns.
        config = SamVisionConfig(**{"initializer_range": 0.02, "output_channels": width, **(vision or {})})
        self.encoder = transformers_model(SamVisionModel, config, weights).vision_encoder
        self.size: int = self.encoder.config.image_size
        self.mode, self.standardise, self.modality_dropout = mode, standardise, modality_dropout
        reads_depth = mode in ("two_way", "one_way")
        self.depth_encoder = _depth_encoder(depth_widths, dropout, norm) if reads_depth else None
        self.confidence = _confidence() if reads_depth and confidence else None
        self.position = _position(width) if reads_depth and position == "depth" else None
        vector = position != "none"
        self.to_rgb = CrossModal(width, heads, vector=vector) if reads_depth else None
        self.to_depth = CrossModal(width, heads, vector=vector) if mode == "two_way" else None
        self.fusion = Fusion(width, dropout, norm) if mode == "two_way" else None
        self.decoder = nn.Sequential(
            *_conv(width, 2 * width, norm), nn.Dropout(dropout), *_conv(2 * width, width, norm), nn.Dropout(dropout)
        )
        self.head = nn.Conv2d(width, classes, 1)
        self.depth_head = None if mode == "rgb" else nn.Conv2d(width, 1, 1)

    def forward(self, x: Tensor, depth: Tensor | None = None) -> Tensor | tuple[Tensor, Tensor]:
        if depth is not None:
            x = torch.cat([x, depth], dim=1)
        self._check_input(x)
        colour = self.encoder(x[:, :3]).last_hidden_state
        fused = colour if self.depth_encoder is None else self._fused(colour, x[:, 3:4])
        decoded = self.decoder(fused)
        logits = self._enlarged(self.head(decoded))
        if self.depth_head is None or not self.training:
            return logits
        # In the published network the depth head stands before the decoder, in the others behind it.
        return logits, self._enlarged(self.depth_head(fused if self.fusion is not None else decoded))

    def _check_input(self, x: Tensor) -> None:
        least = 3 if self.depth_encoder is None else 4
        if x.shape[1] < least or x.shape[-2:] != (self.size, self.size):
            raise ValueError(
                f"Found an input of shape {tuple(x.shape[1:])}; wanted {(least, self.size, self.size)}. "
                "Resize it, and put depth behind the colours."
            )

    def _fused(self, colour: Tensor, depth: Tensor) -> Tensor:
        depth = unit_range(depth)
        if self.standardise:
            depth = (depth - depth.mean((2, 3), keepdim=True)) / (depth.std((2, 3), keepdim=True) + 1e-5)
        features, extra = self._depth_features(depth, colour.shape[-2:])
        if self.fusion is None:
            return self.to_rgb(colour, features, extra)
        if self.training:
            colour = colour * (torch.rand((), device=colour.device) >= self.modality_dropout)
        return self.fusion(self.to_rgb(colour, features, extra), self.to_depth(features, colour, extra))

    def _depth_features(self, depth: Tensor, grid: torch.Size) -> tuple[Tensor, Tensor | None]:
        features = self.depth_encoder(depth)
        if self.confidence is not None:
            features = features * _resized(self.confidence(depth), grid)
        return features, None if self.position is None else self.position(_resized(depth, grid))

    def _enlarged(self, x: Tensor) -> Tensor:
        return _resized(x, (self.size, self.size))


class CrossModal(nn.Module):
    """What feature map ``a`` learns by attending to ``b``: (batch, width, h, w) twice to the same once."""

    def __init__(self, width: int, heads: int, *, vector: bool, dropout: float = 0.1) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.norm_a, self.norm_b = nn.LayerNorm(width), nn.LayerNorm(width)
        self.vector = nn.Parameter(0.02 * torch.randn(width)) if vector else None
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.temperature = nn.Parameter(torch.tensor(math.sqrt(width / heads)))
        self.norm_1, self.norm_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(4 * width, width),
            nn.Dropout(dropout),
        )

    def forward(self, a: Tensor, b: Tensor, extra: Tensor | None = None) -> Tensor:
        size = a.shape[-2:]
        tokens = _tokens(a)
        asked, given = self.norm_a(tokens), self.norm_b(_tokens(b))
        for offset in (self.vector, None if extra is None else _tokens(extra)):
            if offset is not None:
                asked, given = asked + offset, given + offset
        y = self.norm_1(tokens + self.out(self._attended(asked, given)))
        return self.norm_2(y + self.mlp(y)).transpose(1, 2).unflatten(2, size)

    def _attended(self, asked: Tensor, given: Tensor) -> Tensor:
        q, k, v = (self._split(one) for one in (self.query(asked), self.key(given), self.value(given)))
        # The library divides by sqrt(width / heads); the temperature stands in its place.
        q = q * (math.sqrt(q.shape[-1]) / self.temperature)
        y = functional.scaled_dot_product_attention(q, k, v, dropout_p=self.dropout if self.training else 0.0)
        return y.transpose(1, 2).flatten(2)

    def _split(self, tokens: Tensor) -> Tensor:
        return tokens.unflatten(2, (self.heads, -1)).transpose(1, 2)


class Fusion(nn.Module):
    """Both directions to one map, channels weighed by squeeze and excitation, then places by a gate.

    Two of (batch, width, h, w) to one of them.
    """

    def __init__(self, width: int, dropout: float, norm: Norm) -> None:
        super().__init__()
        self.mix = nn.Sequential(nn.Conv2d(2 * width, width, 1), _norm(norm, width), nn.ReLU(inplace=True))
        few = max(width // 16, 4)
        self.excite = nn.Sequential(
            nn.Linear(width, few, bias=False), nn.ReLU(inplace=True), nn.Linear(few, width, bias=False), nn.Sigmoid()
        )
        self.gate = nn.Sequential(
            nn.Conv2d(width, width // 8, 1), nn.ReLU(inplace=True), nn.Conv2d(width // 8, 1, 1), nn.Sigmoid()
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, one: Tensor, other: Tensor) -> Tensor:
        mixed = self.mix(torch.cat([one, other], dim=1))
        mixed = mixed * self.excite(mixed.mean(dim=(2, 3)))[:, :, None, None]
        return self.dropout(mixed * self.gate(mixed))


def unit_range(depth: Tensor) -> Tensor:
    """Each map of (batch, 1, h, w) to 0 to 1 between its own extremes, whatever its scale and offset.

    Exact zeros are padding or infinitely far away: they stay 0 and do not count. A map that is flat becomes 0.
    """
    counted = depth != 0
    low = depth.where(counted, torch.inf).amin((2, 3), keepdim=True)
    high = depth.where(counted, -torch.inf).amax((2, 3), keepdim=True)
    return ((depth - low) / (high - low).clamp(min=1e-6)).clamp(0, 1)


def tiny(**changes: Any) -> SamDepthFusion:
    """A few thousand parameters, input 64 x 64, for tests and smoke runs; arguments as `SamDepthFusion` has them."""
    vision = {
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "window_size": 3,
        "global_attn_indexes": (1,),
        "image_size": 64,
        "initializer_range": 0.2,
    }
    return SamDepthFusion(**{"width": 16, "heads": 2, "depth_widths": (4, 8, 12, 16), "vision": vision, **changes})


def _check(mode: str, position: str, norm: str) -> None:
    for name, found, wanted in (
        ("mode", mode, ("two_way", "one_way", "depth_target", "rgb")),
        ("position", position, ("vector", "none", "depth")),
        ("norm", norm, ("batch", "group")),
    ):
        if found not in wanted:
            raise ValueError(f"Found {name}={found!r}; wanted one of {', '.join(wanted)}. Mend the recipe.")


def _depth_encoder(widths: Sequence[int], dropout: float, norm: Norm) -> nn.Sequential:
    """Depth (batch, 1, h, w) to (batch, widths[-1], h / 16, w / 16) by four strides."""
    steps = [nn.Sequential(*_conv(a, b, norm, stride=2), nn.Dropout(dropout)) for a, b in pairwise((1, *widths))]
    steps[-1] = steps[-1][:-1]
    return nn.Sequential(*steps)


def _confidence() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(16, 1, 1), nn.Sigmoid())


def _position(width: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, width, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(width, width, 1))


def _conv(in_channels: int, out_channels: int, norm: Norm, stride: int = 1) -> list[nn.Module]:
    conv = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1)
    return [conv, _norm(norm, out_channels), nn.ReLU(inplace=True)]


def _norm(kind: Norm, channels: int) -> nn.Module:
    return nn.BatchNorm2d(channels) if kind == "batch" else nn.GroupNorm(math.gcd(GROUPS, channels), channels)


def _tokens(x: Tensor) -> Tensor:
    """(batch, width, h, w) to (batch, h w, width)."""
    return x.flatten(2).transpose(1, 2)


def _resized(x: Tensor, size: Sequence[int]) -> Tensor:
    return functional.interpolate(x, size=tuple(size), mode="bilinear", align_corners=False)
