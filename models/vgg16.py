"""VGG-16 (Simonyan and Zisserman 2014, arXiv:1409.1556) as a classifier of whole pictures.

Built of torchvision's layers and named as torchvision's network, whose weights load; that network itself has its widths
written in.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torchvision.models import VGG16_Weights
from torchvision.models.vgg import make_layers

from models.blocks import load_start

CONVOLUTIONS = (2, 2, 3, 3, 3)


class VGG16(nn.Module):
    """13 convolutions and 3 linear layers.

    Input (batch, in_channels, h, w), published 224 x 224 RGB with ImageNet's mean and standard deviation, sides at
    least 32; sizes other than 32 * grid are averaged to ``grid``. Output logits (batch, classes).

    Args:
        in_channels: of the input.
        classes: of the logits; published 3: normal, benign, malignant.
        widths: channels of the five stages.
        hidden: channels of the two hidden linear layers.
        grid: side of the map that the linear layers see.
        dropout: after each hidden linear layer, 0 to 1.
        weights: None for random ones, "library" for torchvision's ImageNet weights (needs a network), otherwise the
            path of a state-dict file. Those for RGB are adapted to in_channels; the last layer is always new.
    """

    def __init__(
        self,
        *,
        in_channels: int = 3,
        classes: int = 3,
        widths: Sequence[int] = (64, 128, 256, 512, 512),
        hidden: int = 4096,
        grid: int = 7,
        dropout: float = 0.5,
        weights: str | None = None,
    ) -> None:
        super().__init__()
        self.features = _features(in_channels, widths)
        self.avgpool = nn.AdaptiveAvgPool2d((grid, grid))
        self.classifier = nn.Sequential(
            nn.Linear(widths[-1] * grid**2, hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(hidden, hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
        )
        _initialise(self)
        # Before the last layer is there: that of a file has the classes of another task.
        load_start(self, weights, VGG16_Weights.IMAGENET1K_V1, ignore=("classifier.6.",))
        self.classifier.append(nn.Linear(hidden, classes))
        _initialise(self.classifier[-1])

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


def _features(in_channels: int, widths: Sequence[int]) -> nn.Sequential:
    plan: list[str | int] = []
    for width, count in zip(widths, CONVOLUTIONS, strict=True):
        plan += [width] * count + ["M"]
    layers = make_layers(plan)
    # torchvision's layers take three channels.
    layers[0] = nn.Conv2d(in_channels, widths[0], 3, padding=1)
    return layers


def _initialise(network: nn.Module) -> None:
    """As torchvision: a network this deep and without norms does not start from torch's own defaults."""
    for one in network.modules():
        if isinstance(one, nn.Conv2d):
            nn.init.kaiming_normal_(one.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(one, nn.Linear):
            nn.init.normal_(one.weight, 0, 0.01)
        if isinstance(one, nn.Conv2d | nn.Linear):
            nn.init.zeros_(one.bias)


def tiny(**overrides: Any) -> VGG16:
    """A small one for tests and smoke runs, best at 64 pixels; ``overrides`` as for `VGG16`."""
    return VGG16(**({"widths": (4, 8, 8, 16, 16), "hidden": 32, "grid": 2} | overrides))
