"""Costs: multiplications counted by hand, and a clock that runs."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.unet import UNet
from training.cost import cost, gmac, parameters
from training.graphs import Graph


class Attention(nn.Module):
    """Fused attention of 6 tokens of width 8 with themselves."""

    def __init__(self) -> None:
        super().__init__()
        self.project = nn.Linear(8, 8, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        wide = self.project(tokens)[:, None]
        return functional.scaled_dot_product_attention(wide, wide, wide)[:, 0]


PRODUCTS = {
    "convolution": (nn.Conv2d(3, 5, 3, padding=1, bias=True), (3, 8, 10), 80 * 5 * 3 * 9),
    "groups": (nn.Conv2d(4, 4, 3, padding=1, groups=4), (4, 8, 8), 64 * 4 * 9),
    "stride": (nn.Conv2d(2, 4, 2, stride=2), (2, 8, 8), 16 * 4 * 2 * 4),
    "transposed": (nn.ConvTranspose2d(4, 2, 2, stride=2), (4, 8, 8), 64 * 4 * 2 * 4),
    "linear": (nn.Linear(7, 3), (7,), 21),
    "norm and activation": (nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2), nn.ReLU()), (1, 4, 4), 32),
    "attention": (Attention(), (6, 8), 6 * 64 + 2 * 36 * 8),
    "transformer": (nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), (5, 8), 4 * 5 * 64 + 2 * 25 * 8 + 2 * 640),
}


@pytest.mark.parametrize(("network", "shape", "products"), PRODUCTS.values(), ids=list(PRODUCTS))
def test_products_are_those_counted_by_hand(network: nn.Module, shape: tuple[int, ...], products: int) -> None:
    network.train()
    assert gmac(network, shape) * 1e9 == pytest.approx(products)
    assert network.training, "it is left as it was"
    assert gmac(network.to("meta"), shape) * 1e9 == pytest.approx(products)


def test_the_u_net_of_128_pixels_costs_what_its_layers_add_up_to() -> None:
    def doubled(before: int, width: int, side: int) -> int:
        return 9 * side**2 * width * (before + width)

    down = sum(doubled(a, b, side) for a, b, side in [(1, 64, 128), (64, 128, 64), (128, 256, 32), (256, 512, 16)])
    up = sum(doubled(2 * width, width, side) for width, side in [(512, 16), (256, 32), (128, 64), (64, 128)])
    wider = sum(4 * side**2 * 2 * width * width for width, side in [(512, 8), (256, 16), (128, 32), (64, 64)])
    with torch.device("meta"):
        network = UNet()
    assert gmac(network, (1, 128, 128)) * 1e9 == pytest.approx(down + doubled(512, 1024, 8) + wider + up + 64 * 128**2)
    assert parameters(network) == 31_030_593


def test_shared_weights_count_once() -> None:
    layer = nn.Linear(4, 4)
    assert parameters(nn.Sequential(layer, layer)) == 20


def test_the_cost_is_that_of_all_graphs() -> None:
    one = Graph("encoder", nn.Conv2d(1, 2, 3, padding=1).eval(), [(1, 16, 16)], ["image"], ["logits"])
    found = cost([one, one], threads=1)
    assert (found.parameters, found.gmac * 1e9) == (40, pytest.approx(2 * 256 * 18))
    assert 0 < found.milliseconds < 1000
    assert found.threads == 1
