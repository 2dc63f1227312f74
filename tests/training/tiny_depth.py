"""A depth network of one layer, built like the real one."""

from __future__ import annotations

from torch import Tensor, nn


class Smooth(nn.Module):
    """Input (n, 3, h, w), output (n, 1, h, w): bright is near."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 1, 3, padding=1)
        nn.init.constant_(self.layer.weight, 1 / 27)
        nn.init.constant_(self.layer.bias, 3.0)

    def forward(self, image: Tensor) -> Tensor:
        return self.layer(image)


def small_depth(*, weights: str | None = None) -> Smooth:
    """``weights`` is what the command passes; there is nothing to load."""
    return Smooth()
