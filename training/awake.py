"""Fresh networks in which every layer has a say, as in trained ones: what exports are tried with.

Behind a few layers of small random weights a network gives the same everywhere, and most of its weights could be wrong
without anybody seeing it. Scaling each layer by what it gives on data is after Salimans and Kingma 2016,
arXiv:1602.07868, with one scale a layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

LAYERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.Linear)
# Of what is added to norms, biases and positions, which start at 1 or 0.
NOISE = 0.3
# Of the largest number: what varies less is rounding.
LEAST_SPREAD = 1e-4
# What linear layers give: products of it go into softmaxes, which would else choose one place and enlarge rounding.
SOFT = 0.25


@torch.no_grad()
def awaken(network: nn.Module, shapes: Sequence[tuple[int, ...]], *, batch: int = 4) -> None:
    """Scale a network, in place, so that each layer gives numbers of standard deviation 1, centred where it has a bias.

    Linear layers give a quarter of that. ``shapes`` are those of one example of each input, without the batch; at least
    2 examples are needed where a batch norm stands behind a pooling to one pixel. Parameters that start constant get
    noise, batch norms what they see. The same network is always scaled alike. It is left in evaluation mode.
    """
    generator = torch.Generator().manual_seed(0)
    network.eval()
    for one in network.parameters():
        if (one == one.flatten()[0]).all():
            one.add_(NOISE * torch.randn(one.shape, generator=generator))
    layers = [one.register_forward_hook(_scaled) for one in network.modules() if isinstance(one, LAYERS)]
    norms = {one: one.momentum for one in network.modules() if isinstance(one, _BatchNorm)}
    for norm in norms:
        # All of what it sees now, nothing of before.
        norm.train().momentum = 1.0
    network(*(torch.randn(batch, *shape, generator=generator) for shape in shapes))
    for handle in layers:
        handle.remove()
    for norm, momentum in norms.items():
        norm.eval().momentum = momentum


def _scaled(layer: Any, _: Any, output: Tensor) -> Tensor | None:
    channels = output.ndim - 1 if isinstance(layer, nn.Linear) else 1
    but_channels = [axis for axis in range(output.ndim) if axis != channels]
    middle = output.mean(but_channels, keepdim=True)
    spread = (output - middle).std()
    # What is the same everywhere, or one number, has no spread to scale.
    if not spread > LEAST_SPREAD * output.abs().max():
        return None
    gain = (SOFT if isinstance(layer, nn.Linear) else 1) / spread
    layer.weight.mul_(gain)
    if layer.bias is None:
        return output * gain
    layer.bias.sub_(middle.flatten()).mul_(gain)
    return (output - middle) * gain
