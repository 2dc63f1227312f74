"""Scaled networks: each layer speaks up, the same each time, and nothing else of the network changes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from training.awake import LAYERS, SOFT, awaken

SHAPE = (2, 8, 8)


class Quiet(nn.Module):
    """Convolutions and a linear layer a thousand times too small, a norm, positions that start at 0."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4, momentum=0.1)
        self.second = nn.ConvTranspose2d(4, 6, 2, stride=2, bias=False)
        self.place = nn.Parameter(torch.zeros(1, 6, 1, 1))
        self.idle = nn.Linear(3, 3)
        self.third = nn.Linear(6, 5)
        with torch.no_grad():
            for one in (self.first, self.second, self.third):
                one.weight.mul_(1e-3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.second(torch.relu(self.norm(self.first(x))))
        return self.third((y + self.place).flatten(2).transpose(1, 2))


def seen(network: nn.Module) -> dict[str, Tensor]:
    """What each layer gives, by name."""
    found: dict[str, Tensor] = {}
    for name, layer in network.named_modules():
        if isinstance(layer, LAYERS):
            layer.register_forward_hook(lambda _, inputs, output, name=name: found.update({name: output}))
    with torch.no_grad():
        network(torch.randn(64, *SHAPE, generator=torch.Generator().manual_seed(9)))
    return found


def quiet() -> Quiet:
    torch.manual_seed(0)
    return Quiet()


def test_every_layer_gives_numbers_of_the_wanted_spread() -> None:
    network = quiet()
    assert seen(network)["third"].std() < 0.3
    network = quiet()
    awaken(network, [SHAPE])
    for name, output in seen(network).items():
        channels = -1 if output.ndim == 3 else 1
        within = output.transpose(channels, 0).flatten(1)
        wanted = SOFT if name == "third" else 1
        assert float((within - within.mean(dim=1, keepdim=True)).std()) == pytest.approx(wanted, rel=0.25), name
        if name != "second":
            assert within.mean(dim=1).abs().max() < 0.5, name


def test_what_started_constant_varies() -> None:
    network = quiet()
    awaken(network, [SHAPE])
    for one in (network.place, network.norm.weight, network.norm.bias):
        assert one.std() > 0.05


def test_the_norm_has_seen_data_and_is_as_it_was_otherwise() -> None:
    network = quiet().train()
    awaken(network, [SHAPE])
    assert network.norm.running_mean.abs().max() > 0
    assert network.norm.momentum == 0.1
    assert not any(one.training for one in network.modules())
    assert not any(one._forward_hooks for one in network.modules())


def test_the_same_network_is_always_scaled_alike() -> None:
    one, other = quiet(), quiet()
    awaken(one, [SHAPE])
    torch.randn(3)
    awaken(other, [SHAPE])
    for name, value in one.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name


def test_a_layer_that_gives_the_same_everywhere_is_left_alone() -> None:
    network = nn.Sequential(nn.Conv2d(2, 3, 1), nn.AdaptiveAvgPool2d(1), nn.Conv2d(3, 3, 1))
    with torch.no_grad():
        network[0].weight.zero_()
        network[0].weight[0, 0] = 1e-9
    before = network[0].weight.clone()
    awaken(network, [SHAPE], batch=1)
    assert torch.equal(network[0].weight, before)
    assert all(one.isfinite().all() for one in network.state_dict().values())


def test_a_layer_that_is_not_used_stays_as_it_is() -> None:
    network = quiet()
    before = network.idle.weight.clone()
    awaken(network, [SHAPE])
    assert torch.equal(network.idle.weight, before)
