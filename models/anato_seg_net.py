"""AnatoSegNet: ResNet-50 U-Net with anatomical attention for breast ultrasound (ISBI 2025, kuanhuang0624/AnatoSegNet).

The published code computes another attention than the abstract describes, so it comes in three modes:

- ``anatomical`` (default): as described. Content and finite differences of the feature map are compared, and tokens
  within a few rows of each other, that is of the same tissue layer, get a bonus. A reconstruction: the equation of the
  bias is not public.
- ``as_published_code``: as the code computes. The bias falls with the distance of flattened indices, so that attention
  stays with the next neighbours to the left and right; beta cancels in the softmax; the differences are those of a map
  whose channels and places are mixed up; there is no shortcut around the attention. For comparison only.
- ``diff_lambda``: differential attention (Ye et al. 2024, arXiv:2410.05258) with the anatomical bias in both softmaxes,
  which is an addition of this project.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.blocks import double_conv, resnet_encoder

MODES = ("anatomical", "as_published_code", "diff_lambda")


class DistanceBias(nn.Module):
    """beta - gamma * distance of all pairs of tokens of a grid: (heads, h * w, h * w), added to an attention's logits.

    Args:
        heads: of the attention.
        strength: beta, in units of a logit, and gamma, logits per token of distance, both greater than 0.
        along: "rows" measures |y_i - y_j|, "columns" |x_i - x_j|, "raster" |i - j| of the flattened indices.
        clamp: negative values become 0. Without it the softmax cancels beta.
        learn: beta and gamma are parameters per head, kept positive by softplus; without clamp gamma alone. What is not
            learnt is a buffer, so that a checkpoint carries it.

    Raises ValueError where beta or gamma is not greater than 0.
    """

    def __init__(
        self, heads: int, strength: Sequence[float], *, along: str = "rows", clamp: bool = True, learn: bool = False
    ) -> None:
        super().__init__()
        beta, gamma = strength
        if not (beta > 0 and gamma > 0):
            raise ValueError(f"Found beta {beta} and gamma {gamma}; wanted both greater than 0. Change them.")
        self.along, self.clamp = along, clamp
        for name, value, learns in (("beta", beta, learn and clamp), ("gamma", gamma, learn)):
            raw = torch.full((heads, 1, 1), math.log(math.expm1(value)))
            if learns:
                self.register_parameter(name, nn.Parameter(raw))
            else:
                self.register_buffer(name, raw)

    def forward(self, height: int, width: int) -> Tensor:
        place = torch.arange(height * width, device=self.gamma.device)
        place = {"rows": place // width, "columns": place % width, "raster": place}[self.along]
        distance = (place[:, None] - place[None, :]).abs()
        value = functional.softplus(self.beta) - functional.softplus(self.gamma) * distance
        return value.clamp(min=0) if self.clamp else value


class AnatomicalAttention(nn.Module):
    """Self-attention on tokens and their finite differences: (batch, h * w, channels) row by row, to the same shape.

    Logits are (Q K + Qh Kh + Qv Kv) / sqrt(channels / heads) + bias, where h and v mean differences to the right and
    lower neighbour, 0 for the last, through the same projection. Values are those of the tokens alone.

    Args:
        channels: a multiple of heads.
        heads: of the attention.
        scrambled: take differences of a map with mixed-up channels and places, as the published code does.
    """

    def __init__(self, channels: int, heads: int, *, scrambled: bool = False) -> None:
        super().__init__()
        self.heads, self.scrambled = heads, scrambled
        self.qkv = nn.Linear(channels, 3 * channels, bias=False)
        self.project = nn.Linear(channels, channels)

    def forward(self, tokens: Tensor, bias: Tensor, grid: Sequence[int]) -> Tensor:
        query_key = self.qkv.weight[: 2 * tokens.shape[2]]
        query, key, value = self._split(self.qkv(tokens), 3)
        parts = [(query, key)]
        for difference in self._differences(tokens, grid):
            parts.append(self._split(functional.linear(difference, query_key), 2))
        # The sum of three products is one product of heads three times as wide.
        queries, keys = (torch.cat(one, dim=-1) for one in zip(*parts, strict=True))
        scale = value.shape[-1] ** -0.5
        attended = functional.scaled_dot_product_attention(queries, keys, value, attn_mask=bias, scale=scale)
        return self.project(attended.transpose(1, 2).flatten(2))

    def _split(self, projected: Tensor, parts: int) -> tuple[Tensor, ...]:
        """(batch, tokens, parts * channels) to ``parts`` of (batch, heads, tokens, channels / heads)."""
        return projected.unflatten(2, (parts, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)

    def _differences(self, tokens: Tensor, grid: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Right minus here and below minus here, both (batch, h * w, channels)."""
        batch, count, channels = tokens.shape
        flat = tokens.reshape(batch, channels, count) if self.scrambled else tokens.transpose(1, 2)
        here = flat.unflatten(2, tuple(grid))
        right = functional.pad(here[..., 1:] - here[..., :-1], (0, 1))
        below = functional.pad(here[..., 1:, :] - here[..., :-1, :], (0, 0, 0, 1))
        return right.flatten(2).transpose(1, 2), below.flatten(2).transpose(1, 2)


class DifferentialAttention(nn.Module):
    """One attention less lambda times another (Ye et al. 2024): (batch, tokens, channels) to the same shape.

    Half as many heads as in the comparable attention, each with two queries and keys of channels / heads and one value
    of twice that.

    Args:
        channels: a multiple of heads.
        heads: of the comparable attention, even.
        layer: number of attentions before this one; later ones subtract more from the start.
    """

    def __init__(self, channels: int, heads: int, *, layer: int) -> None:
        super().__init__()
        self.heads, self.size = heads // 2, channels // heads
        self.start = 0.8 - 0.6 * math.exp(-0.3 * layer)
        self.qkv = nn.Linear(channels, 3 * channels, bias=False)
        self.project = nn.Linear(channels, channels, bias=False)
        self.lambdas = nn.ParameterDict(
            {name: nn.Parameter(0.1 * torch.randn(self.size)) for name in ("q1", "k1", "q2", "k2")}
        )
        self.norm = nn.RMSNorm(2 * self.size, eps=1e-5)

    def forward(self, tokens: Tensor, bias: Tensor, grid: Sequence[int]) -> Tensor:
        """``grid`` is not needed: there are no differences between neighbours here."""
        query, key, value = self.qkv(tokens).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        first, second = (
            functional.scaled_dot_product_attention(one, other, value, attn_mask=bias)
            for one, other in zip(query.split(self.size, -1), key.split(self.size, -1), strict=True)
        )
        attended = (1 - self.start) * self.norm(first - self.subtracted() * second)
        return self.project(attended.transpose(1, 2).flatten(2))

    def subtracted(self) -> Tensor:
        """Lambda, the share of the second attention: ()."""
        one = self.lambdas
        return (one["q1"] * one["k1"]).sum().exp() - (one["q2"] * one["k2"]).sum().exp() + self.start


class AttendedMap(nn.Module):
    """A feature map through an attention: (batch, channels, h, w) to the same shape.

    Args:
        attention: its last layer is called ``project``.
        biases: their sum is the attention's.
        channels: of the map.
        residual: add the input; the attention starts at 0 then, so that pretrained features pass unharmed.
        pre_norm: layer norm before the attention.
    """

    def __init__(
        self,
        attention: AnatomicalAttention | DifferentialAttention,
        biases: Sequence[DistanceBias],
        channels: int,
        *,
        residual: bool,
        pre_norm: bool,
    ) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels) if pre_norm else nn.Identity()
        self.biases = nn.ModuleList(biases)
        self.attention, self.residual = attention, residual
        if residual:
            for one in attention.project.parameters():
                nn.init.zeros_(one)

    def forward(self, x: Tensor) -> Tensor:
        grid = x.shape[2:]
        tokens = self.norm(x.flatten(2).transpose(1, 2))
        bias = torch.stack([one(*grid) for one in self.biases]).sum(dim=0)
        attended = self.attention(tokens, bias[None], grid).transpose(1, 2).unflatten(2, grid)
        return x + attended if self.residual else attended


class AnatoSegNet(nn.Module):
    """ResNet-50 U-Net with attention after its stages 4 and 5.

    Input (batch, in_channels, h, w) of any size, published 256 x 256 RGB in [-1, 1] (value / 127.5 - 1). Output logits
    (batch, classes, h, w).

    Args:
        in_channels: of the input.
        classes: channels of the logits; published 2, background and tumour.
        mode: of the attention, see above.
        heads: of each attention; ``diff_lambda`` has half as many twice as wide.
        beta: bonus of tokens in the same row, see `DistanceBias`; published 3.5.
        gamma: what each row of distance takes off; published 1.
        vertical: beta and gamma of a second bias, on the distance between columns; None for none.
        clamp: the bias ends at 0, so that far rows are alike; False lets it fall on.
        learn_bias: learn beta and gamma, per head.
        residual: shortcut around each attention; None for what the mode has: all but ``as_published_code`` have it.
        pre_norm: layer norm before each attention.
        depths: blocks of each encoder stage.
        widths: of each encoder stage, a quarter of its output channels.
        weights: of the encoder: None for random ones, "library" for torchvision's ImageNet weights (needs a network),
            otherwise the path of a state-dict file. Those for RGB are adapted to in_channels.

    Raises ValueError for an unknown mode, for heads that do not divide the channels, and for options that
    ``as_published_code`` does not have.
    """

    def __init__(
        self,
        *,
        in_channels: int = 3,
        classes: int = 2,
        mode: str = "anatomical",
        heads: int = 8,
        beta: float = 3.5,
        gamma: float = 1.0,
        vertical: Sequence[float] | None = None,
        clamp: bool = True,
        learn_bias: bool = False,
        residual: bool | None = None,
        pre_norm: bool = False,
        depths: Sequence[int] = (3, 4, 6, 3),
        widths: Sequence[int] = (64, 128, 256, 512),
        weights: str | None = None,
    ) -> None:
        super().__init__()
        published = mode == "as_published_code"
        if published and (vertical or learn_bias or residual or pre_norm):
            raise ValueError(
                "Found vertical, learn_bias, residual or pre_norm with mode as_published_code; wanted none of them, "
                "since that code has none. Leave them out or take mode anatomical."
            )
        self.encoder = resnet_encoder(50, in_channels=in_channels, weights=weights, depths=depths, widths=widths)
        channels = [stage["num_chs"] for stage in self.encoder.feature_info]
        residual = not published if residual is None else residual
        sides = {"raster" if published else "rows": (beta, gamma)} | ({"columns": vertical} if vertical else {})
        bias = partial(DistanceBias, clamp=clamp and not published, learn=learn_bias)
        self.attended = nn.ModuleList()
        for layer, size in enumerate(channels[-2:]):
            attention = _attention(mode, size, heads, layer)
            biases = [bias(attention.heads, strength, along=axis) for axis, strength in sides.items()]
            self.attended.append(AttendedMap(attention, biases, size, residual=residual, pre_norm=pre_norm))
        self.up = nn.ModuleList(_Up(below, here) for here, below in reversed(list(pairwise(channels))))
        self.enlarge = nn.ConvTranspose2d(channels[0], channels[0], 2, stride=2)
        self.head = nn.Conv2d(channels[0], classes, 1)

    def encode(self, x: Tensor) -> list[Tensor]:
        """Features at 1/2 to 1/32; what attention made of the last two stands in their place."""
        encoder = self.encoder
        features = [encoder.act1(encoder.bn1(encoder.conv1(x)))]
        features.append(encoder.layer1(encoder.maxpool(features[0])))
        features.append(encoder.layer2(features[1]))
        features.append(self.attended[0](encoder.layer3(features[2])))
        return [*features, self.attended[1](encoder.layer4(features[3]))]

    def forward(self, x: Tensor) -> Tensor:
        *skips, y = self.encode(x)
        for up in self.up:
            y = up(y, skips.pop())
        return self.head(self.enlarge(y))[..., : x.shape[2], : x.shape[3]]


def _attention(mode: str, channels: int, heads: int, layer: int) -> AnatomicalAttention | DifferentialAttention:
    if mode not in MODES:
        raise ValueError(f"Found mode {mode!r}; wanted one of {', '.join(MODES)}. Correct it.")
    differential = mode == "diff_lambda"
    if channels % heads or (differential and heads % 2):
        wanted = f"{'an even ' if differential else 'a '}number that divides {channels}"
        raise ValueError(f"Found {heads} heads in mode {mode}; wanted {wanted}. Change heads or widths.")
    if differential:
        return DifferentialAttention(channels, heads, layer=layer)
    return AnatomicalAttention(channels, heads, scrambled=mode == "as_published_code")


class _Up(nn.Module):
    """Enlarge the deeper feature x2, put the skip before it and blend both."""

    def __init__(self, below: int, here: int) -> None:
        super().__init__()
        self.enlarge = nn.ConvTranspose2d(below, here, 2, stride=2)
        self.blend = double_conv(2 * here, here)

    def forward(self, deep: Tensor, skip: Tensor) -> Tensor:
        # Stages halve and round up, so what is enlarged is never too small, and one too large at odd sizes.
        enlarged = self.enlarge(deep)[..., : skip.shape[2], : skip.shape[3]]
        return self.blend(torch.cat([skip, enlarged], dim=1))


def tiny(**overrides: Any) -> AnatoSegNet:
    """A small one for tests and smoke runs, any size from 32 pixels; ``overrides`` as for `AnatoSegNet`."""
    return AnatoSegNet(**({"depths": (1, 1, 1, 1), "widths": (4, 8, 16, 32)} | overrides))
