"""The laws see what they should: a fault in any parameter shows, also in networks that start out nearly constant."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from models import aca_atrous_res_unet, aca_atrous_unet, attention_unet, deeplab, segformer, trans_unet
from tests.models.laws import examples, tensors
from training.awake import awaken
from training.onnx_graph import SPREAD_TOLERANCE, TOLERANCE, Difference, check_export, difference, traced

QUIET: dict[str, tuple[Callable[[], nn.Module], tuple[int, int, int]]] = {
    "aca_atrous_res_unet": (aca_atrous_res_unet.tiny, (1, 32, 32)),
    "aca_atrous_unet": (aca_atrous_unet.tiny, (1, 32, 32)),
    "attention_unet": (attention_unet.tiny, (1, 32, 32)),
    "deeplab": (deeplab.tiny, (1, 64, 64)),
    "segformer": (segformer.tiny, (1, 64, 64)),
    "trans_unet": (trans_unet.tiny, (1, 32, 32)),
}
each = pytest.mark.parametrize("name", QUIET)


def awake(name: str) -> tuple[nn.Module, tuple[int, int, int]]:
    build, shape = QUIET[name]
    torch.manual_seed(0)
    network = build()
    awaken(network, [shape])
    return network, shape


def disturb(parameter: nn.Parameter, seed: int) -> None:
    """Noise half as large as what is there."""
    size = parameter.std() if parameter.numel() > 1 else parameter.abs()
    parameter.add_(0.5 * size * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(seed)))


@torch.no_grad()
def given(network: nn.Module, shape: tuple[int, int, int]) -> list[torch.Tensor]:
    return tensors(network(*examples([shape], 2)))


@torch.no_grad()
@each
def test_a_fault_in_any_parameter_is_seen(name: str) -> None:
    """But for biases of keys, which a softmax cancels."""
    network, shape = awake(name)
    right, unseen = given(network, shape), []
    for parameter_name, parameter in network.named_parameters():
        before = parameter.clone()
        disturb(parameter, 1)
        pairs = zip(given(network, shape), right, strict=True)
        if not _refused(difference([(one.numpy(), other.numpy()) for one, other in pairs])):
            unseen.append(parameter_name)
        parameter.copy_(before)
    assert [one for one in unseen if not one.endswith("k_proj.bias")] == []


def _refused(found: Difference) -> bool:
    return found.relative > TOLERANCE or found.of_spread > SPREAD_TOLERANCE


def test_a_graph_with_a_fault_deep_inside_is_refused() -> None:
    """The parameter in the middle is of the bottom, or near it."""
    network, shape = awake("attention_unet")
    graph = traced(network, [shape], ["image"], ["logits"]).SerializeToString()
    deep = [one for one in network.parameters() if one.ndim > 1]
    with torch.no_grad():
        disturb(deep[len(deep) // 2], 2)
    with pytest.raises(ValueError, match="Found ONNX and torch to differ by"):
        check_export(network, graph, shape)
