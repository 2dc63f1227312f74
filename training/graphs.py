"""The graphs that a recipe's network becomes: one, or an encoder and a decoder for what is prompted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import onnx
import torch
from torch import nn

from training.onnx_graph import traced
from training.recipe import Recipe
from training.tasks import TASKS

Shape = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Graph:
    """One file to be.

    Attributes:
        role: ``network``, ``encoder`` or ``decoder``, as in a manifest.
        network: in evaluation mode.
        shapes: of one example of each input, without the batch.
        inputs: their names.
        outputs: names of what it gives.
    """

    role: str
    network: nn.Module
    shapes: Sequence[Shape]
    inputs: Sequence[str]
    outputs: Sequence[str]

    def onnx(self) -> onnx.ModelProto:
        """The graph with fixed sizes and a dynamic batch."""
        return traced(self.network, self.shapes, self.inputs, self.outputs)


def graphs(recipe: Recipe, network: nn.Module) -> tuple[Graph, ...]:
    """The graphs of a recipe's network, which is put into evaluation mode.

    A ``fuse`` network takes depth as a channel behind the picture's, as served. Raises ValueError for a network of the
    task ``prompt`` without an encoder and a decoder.
    """
    network.eval()
    picture = (recipe.channels, *recipe.input.size)
    if recipe.task == "prompt":
        return _prompted(recipe, network, picture)
    return (Graph("network", network, [picture], ["image"], TASKS[recipe.task].outputs),)


def _prompted(recipe: Recipe, network: nn.Module, picture: Shape) -> tuple[Graph, ...]:
    encoder, decoder = (getattr(network, name, None) for name in ("encoder", "decoder"))
    if not isinstance(encoder, nn.Module) or not isinstance(decoder, nn.Module):
        raise ValueError(
            f"Found no encoder and decoder in {recipe.network.path}; wanted both as modules for task prompt. Give the "
            "network these attributes."
        )
    embedding = _shape_of(encoder, picture)
    return (
        Graph("encoder", encoder, [picture], ["image"], ["embedding"]),
        Graph("decoder", decoder, [embedding, (1, 4)], ["embedding", "boxes"], ["logits"]),
    )


@torch.no_grad()
def _shape_of(encoder: nn.Module, picture: Shape) -> Shape:
    device = next(encoder.parameters()).device
    return tuple(encoder(torch.zeros(1, *picture, device=device)).shape[1:])
