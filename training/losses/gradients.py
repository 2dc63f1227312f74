"""Spatial derivatives of maps."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def sobel(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Derivatives along x and y by the 3 x 3 Sobel kernel, not normalised (a step of 1 gives 4), zero padding.

    Maps (batch, 1, height, width), results alike.
    """
    kernel = maps.new_tensor([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])
    found = functional.conv2d(maps, torch.stack([kernel, kernel.T]).unsqueeze(1), padding=1)
    return found[:, :1], found[:, 1:]


def steepness(maps: Tensor, least: float = 1e-12) -> Tensor:
    """Length of the Sobel gradient, the square clamped from below to ``least`` so that flat places have a slope."""
    x, y = sobel(maps)
    return (x**2 + y**2).clamp(min=least).sqrt()
