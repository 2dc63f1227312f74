"""L1 of the weights, without norms and biases."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from training.losses.regularise import l1


def _network() -> nn.Sequential:
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2), nn.Linear(2, 1))
    for parameter in network.parameters():
        nn.init.constant_(parameter, -0.5)
    return network


def test_weights_alone_count() -> None:
    """Two weights of the convolution and two of the linear layer; with norms and biases nine parameters."""
    assert l1(_network(), weight=1.0).item() == pytest.approx(2)
    assert l1(_network(), weight=1.0, norm_and_bias=True).item() == pytest.approx(0.5 * 11)
    assert l1(_network()).item() == pytest.approx(2 * 5e-5)


def test_frozen_weights_do_not_count_and_norms_get_no_slope() -> None:
    network = _network()
    network[2].requires_grad_(False)
    l1(network, weight=1.0).backward()
    assert torch.equal(network[0].weight.grad, -torch.ones(2, 1, 1, 1))
    assert network[1].weight.grad is None
    assert network[2].weight.grad is None


def test_a_network_that_is_frozen_through() -> None:
    with pytest.raises(ValueError, match=r"Found no trainable weight; wanted at least one\. Unfreeze"):
        l1(_network().requires_grad_(False))
