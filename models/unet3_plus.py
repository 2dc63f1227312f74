"""UNet3+: every decoder stage sees every scale.

Huang et al. 2020, arXiv:2004.08790, with deep supervision and the classification-guided module as options. Method 1
uses it at 1 x 224 x 224.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.blocks import check_sides, conv_with_bias, double_conv

ABSENT_LOGIT = -20.0
"""Logit of every pixel where the classification-guided module says "absent"; its sigmoid is 2e-9."""


class UNet3Plus(nn.Module):
    """UNet3+ of five resolutions, 27.0 million parameters at its published size.

    Input (batch, in_channels, h, w), h and w multiples of 2 ** (len(widths) - 1). In evaluation mode the output is
    logits (batch, classes, h, w). In training mode, in this order:

    - neither option: logits;
    - ``deep_supervision``: (logits, of decoder 2, of decoder 3, of decoder 4, of the bottleneck), all
      (batch, classes, h, w);
    - ``classification``: the above followed by image-level logits (batch, 2), index 0 "absent" and 1 "present", to be
      trained by BCE on whether the mask is empty.

    In evaluation mode the module gates: where "present" does not exceed "absent", all logits of the image become
    `ABSENT_LOGIT`. The publication multiplies the outputs by the decision 0 or 1; on logits that would give a
    probability of 0.5. In training mode nothing is gated, or a wrong decision would take the pixels' gradient away.

    Args:
        in_channels: of the input.
        classes: channels of the logits.
        widths: channels of the encoder from full resolution downwards.
        width: channels that each source of a decoder stage is brought to.
        deep_supervision: further heads on the other decoder stages and on the bottleneck.
        classification: the classification-guided module, for one class.

    Raises ValueError for the module with several classes, and on input whose sides do not divide.
    """

    def __init__(
        self,
        *,
        in_channels: int = 1,
        classes: int = 1,
        widths: Sequence[int] = (64, 128, 256, 512, 1024),
        width: int = 64,
        deep_supervision: bool = False,
        classification: bool = False,
    ) -> None:
        super().__init__()
        if classification and classes != 1:
            raise ValueError(
                f"Found the classification-guided module with {classes} classes; wanted 1, since it decides between "
                "one structure and none. Set classes=1 or classification=False."
            )
        levels = len(widths)
        wide = (levels * width,) * (levels - 1) + (widths[-1],)
        self.encoder = nn.ModuleList(double_conv(above, here) for above, here in pairwise((in_channels, *widths)))
        self.decoder = nn.ModuleList(
            _FullScale((*widths[: level + 1], *wide[level + 1 :]), width, level) for level in range(levels - 1)
        )
        heads = levels if deep_supervision else 1
        self.heads = nn.ModuleList(nn.Conv2d(channels, classes, 3, padding=1) for channels in wide[:heads])
        self.image_head = nn.Sequential(nn.Dropout(0.5), nn.Conv2d(widths[-1], 2, 1)) if classification else None
        self.apply(_kaiming)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        check_sides(x, 2 ** len(self.decoder))
        maps = self._decode(self._encode(x))
        image = [] if self.image_head is None else [self.image_head(maps[-1]).amax(dim=(2, 3))]
        if not self.training:
            logits = self.heads[0](maps[0])
            return _gated(logits, *image) if image else logits
        sides = [_to_level(head(maps[level]), level, 0) for level, head in enumerate(self.heads)]
        return (*sides, *image) if len(sides) + len(image) > 1 else sides[0]

    def _encode(self, x: Tensor) -> list[Tensor]:
        maps = [self.encoder[0](x)]
        for stage in self.encoder[1:]:
            maps.append(stage(functional.max_pool2d(maps[-1], 2)))
        return maps

    def _decode(self, maps: list[Tensor]) -> list[Tensor]:
        """Replace the encoder's maps by the decoder's, deepest first; the bottleneck stays."""
        for level in reversed(range(len(self.decoder))):
            maps[level] = self.decoder[level](maps)
        return maps


def tiny(**overrides: Any) -> UNet3Plus:
    """`UNet3Plus` of five resolutions with 4 to 16 channels, for tests and smoke runs."""
    return UNet3Plus(**{"widths": (4, 4, 8, 8, 16), "width": 4, **overrides})


class _FullScale(nn.Module):
    """One decoder stage: a map of each level, brought to this level and to equal width, blended."""

    def __init__(self, sources: Sequence[int], width: int, level: int) -> None:
        super().__init__()
        self.level = level
        self.narrow = nn.ModuleList(conv_with_bias(channels, width) for channels in sources)
        self.blend = conv_with_bias(len(sources) * width, len(sources) * width)

    def forward(self, maps: list[Tensor]) -> Tensor:
        here = [_to_level(one, level, self.level) for level, one in enumerate(maps)]
        return self.blend(torch.cat([narrow(one) for narrow, one in zip(self.narrow, here, strict=True)], dim=1))


def _to_level(x: Tensor, level: int, wanted: int) -> Tensor:
    """Maximum over blocks on the way down, bilinear on the way up; a level is a halving."""
    if level == wanted:
        return x
    if level < wanted:
        return functional.max_pool2d(x, 2 ** (wanted - level))
    return functional.interpolate(x, scale_factor=2.0 ** (level - wanted), mode="bilinear", align_corners=False)


def _gated(logits: Tensor, image: Tensor) -> Tensor:
    present = (image[:, 1] > image[:, 0])[:, None, None, None]
    return torch.where(present, logits, ABSENT_LOGIT)


def _kaiming(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight)
