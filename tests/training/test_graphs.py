"""The graphs of a recipe's network: one, one with depth, or an encoder and a decoder."""

from __future__ import annotations

import pytest
import torch

from models.sam import tiny as tiny_sam
from tests.training import tiny_runs
from training.graphs import graphs
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


def test_a_prompt_needs_both_halves() -> None:
    recipe = tiny_runs.recipe("a", "prompt")
    with pytest.raises(ValueError, match=r"Found no encoder and decoder in models\.compact.*; wanted both as modules"):
        graphs(recipe, torch.nn.Conv2d(1, 1, 1))
