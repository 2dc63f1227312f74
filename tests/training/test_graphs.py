"""The graphs of a recipe's network: one, one with depth, or an encoder and decoders of boxes and points."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from models.sam import tiny as tiny_sam
from tests.training import tiny_runs
from training.graphs import Graph, graphs, of_prediction, write_graphs
from training.state import build_network


def test_most_networks_are_one_graph() -> None:
    recipe = tiny_runs.recipe("a", "localise")
    (graph,) = graphs(recipe, build_network(recipe))
    assert (graph.role, graph.shapes, graph.outputs) == ("network", [(1, 32, 32)], ("logits", "presence"))
    assert not graph.network.training


def test_depth_is_a_channel_behind_the_picture() -> None:
    recipe = tiny_runs.recipe("a", "fuse", classes=["background", "body"])
    (graph,) = graphs(recipe, torch.nn.Conv2d(2, 2, 1))
    assert graph.shapes == [(2, 32, 32)]


def test_a_prompted_network_is_an_encoder_and_a_decoder() -> None:
    recipe = tiny_runs.recipe("a", "prompt", input={"size": [64, 64], "channels": 3})
    network = tiny_sam()
    encoder, decoder = graphs(recipe, network)
    assert (encoder.role, encoder.shapes) == ("encoder", [(3, 64, 64)])
    assert (decoder.role, decoder.inputs, decoder.outputs) == ("decoder", ["embedding", "boxes"], ["logits"])
    assert decoder.shapes[1] == (1, 4)
    with torch.no_grad():
        embedding = encoder.network(torch.rand(2, 3, 64, 64))
    assert tuple(embedding.shape[1:]) == decoder.shapes[0]


POINTS = {"points": 3, "box": False}
SEEN = {"size": [64, 64], "channels": 3}


@pytest.fixture(scope="module")
def pointed() -> tuple[Graph, ...]:
    """The graphs of a tiny SAM that is prompted by three points."""
    torch.manual_seed(0)
    return graphs(tiny_runs.recipe("sam", "prompt", input=SEEN, prompts=POINTS), tiny_sam())


def test_prompts_of_points_have_a_decoder_of_their_own(pointed: tuple[Graph, ...]) -> None:
    encoder, boxes, points = pointed
    assert [one.role for one in pointed] == ["encoder", "decoder", "point_decoder"]
    assert points.inputs == ["embedding", "points", "labels"]
    assert points.shapes == [boxes.shapes[0], (5, 2), (5,)], "two places more, for the corners of a box"
    assert of_prediction(pointed) == (encoder, points), "one prediction goes through one decoder"
    assert of_prediction(pointed[:2]) == pointed[:2]


def test_several_graphs_are_called_by_their_roles(tmp_path: Path) -> None:
    torch.manual_seed(0)
    half = torch.nn.Conv2d(1, 4, 3).eval()
    made = [Graph(role, half, [(1, 8, 8)], ["image"], ["logits"]) for role in ("encoder", "point_decoder")]
    written = write_graphs(made, "sam", tmp_path / "out")
    assert [one.path.name for one in written] == ["sam_encoder.onnx", "sam_point_decoder.onnx"]
    assert [one.role for one in written] == ["encoder", "point_decoder"]
    assert all(one.path.is_file() and one.difference <= 1e-4 for one in written)
    (alone,) = write_graphs(made[:1], "unet", tmp_path / "out")
    assert alone.path == tmp_path / "out" / "unet.onnx"


def test_points_need_a_decoder_that_takes_them() -> None:
    network = torch.nn.Module()
    network.encoder, network.decoder = torch.nn.Conv2d(3, 4, 8, 8), torch.nn.Conv2d(1, 1, 1)
    recipe = tiny_runs.recipe("a", "prompt", input=SEEN, prompts=POINTS)
    with pytest.raises(ValueError, match=r"Found prompts of points for models\.compact.*; wanted a decoder that takes"):
        graphs(recipe, network)


def test_a_prompt_needs_both_halves() -> None:
    recipe = tiny_runs.recipe("a", "prompt")
    with pytest.raises(ValueError, match=r"Found no encoder and decoder in models\.compact.*; wanted both as modules"):
        graphs(recipe, torch.nn.Conv2d(1, 1, 1))
