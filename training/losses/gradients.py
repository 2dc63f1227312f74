"""Spatial derivatives of maps."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def sobel(maps: Tensor, padding: str = "replicate") -> tuple[Tensor, Tensor]:
    """Derivatives along x and y by the 3 x 3 Sobel kernel, not normalised (a step of 1 gives 4).

    Maps (batch, 1, height, width), results alike. ``padding`` "constant" puts zeros round the picture, so that what
    touches its border has an edge there.
    """
    kernel = maps.new_tensor([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])
    found = functional.conv2d(functional.pad(maps, [1] * 4, mode=padding), torch.stack([kernel, kernel.T]).unsqueeze(1))
    return found[:, :1], found[:, 1:]


def steepness(maps: Tensor, padding: str = "replicate") -> Tensor:
    """Length of the Sobel gradient, its square at least 1e-12: the root of 0 has no slope."""
    x, y = sobel(maps, padding)
    return (x**2 + y**2).clamp(min=1e-12).sqrt()
