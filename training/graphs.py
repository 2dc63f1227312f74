"""The graphs that a recipe's network becomes: one, or for what is prompted an encoder and a decoder or two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx
import torch
from torch import nn

from training.onnx_graph import check_export, traced
from training.prompts import Prompts, places_of
from training.recipe import Recipe
from training.tasks import TASKS

Shape = tuple[int, ...]
ENCODER, DECODER, POINT_DECODER = "encoder", "decoder", "point_decoder"


@dataclass(frozen=True, eq=False)
class Graph:
    """One file to be.

    Attributes:
        role: ``network``, ``encoder`` or ``decoder``, as in a manifest, or ``point_decoder``, which may stand there as
            the decoder: it takes boxes, too, by their corners.
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

    A ``fuse`` network takes depth as a channel behind the picture's, as served. One of the task ``prompt`` has a
    decoder of points beside that of boxes where the recipe prompts with points. Raises ValueError for such a network
    without an encoder and a decoder, or without a decoder of points that the recipe needs.
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
    both = (
        Graph(ENCODER, encoder, [picture], ["image"], ["embedding"]),
        Graph(DECODER, decoder, [embedding, (1, 4)], ["embedding", "boxes"], ["logits"]),
    )
    places = places_of(Prompts.model_validate(recipe.prompts))
    return (*both, _pointed(recipe, decoder, embedding, places)) if places else both


def _pointed(recipe: Recipe, decoder: nn.Module, embedding: Shape, places: int) -> Graph:
    # Only here: it brings transformers, which takes seconds that other networks need not wait.
    from models.sam import SamDecoder, SamPointDecoder

    if not isinstance(decoder, SamDecoder):
        raise ValueError(
            f"Found prompts of points for {recipe.network.path}; wanted a decoder that takes them, as SAM's does. Set "
            "`prompts.points` to 0."
        )
    inputs = ["embedding", "points", "labels"]
    return Graph(
        POINT_DECODER, SamPointDecoder(decoder).eval(), [embedding, (places, 2), (places,)], inputs, ["logits"]
    )


@dataclass(frozen=True)
class Written:
    """A graph in its file, and how far it is from torch, relative to the largest output."""

    role: str
    path: Path
    difference: float


def write_graphs(made: Sequence[Graph], name: str, folder: Path) -> list[Written]:
    """Write each graph, fixed sizes and a dynamic batch, to ``<name>_<role>.onnx``; a single one to ``<name>.onnx``.

    Raises ValueError where ONNX Runtime and torch differ by more than `training.onnx_graph.check_export` allows.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return [_written(one, folder / f"{name}{f'_{one.role}' if len(made) > 1 else ''}.onnx") for one in made]


def _written(graph: Graph, path: Path) -> Written:
    content = graph.onnx().SerializeToString()
    difference = check_export(graph.network, content, *graph.shapes).relative
    path.write_bytes(content)
    return Written(graph.role, path, difference)


def of_prediction(made: Sequence[Graph]) -> tuple[Graph, ...]:
    """The graphs that one prediction goes through: of two decoders that of points, by which the recipe prompts."""
    roles = {one.role for one in made}
    return tuple(one for one in made if one.role != DECODER or POINT_DECODER not in roles)


@torch.no_grad()
def _shape_of(encoder: nn.Module, picture: Shape) -> Shape:
    device = next(encoder.parameters()).device
    return tuple(encoder(torch.zeros(1, *picture, device=device)).shape[1:])
