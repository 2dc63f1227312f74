"""The graphs of a recipe's network: one, one with depth, or an encoder and a decoder."""

from __future__ import annotations

import pytest
import torch

from models.sam import tiny as tiny_sam
from tests.training import tiny_runs
from training.cost import cost, gmac, parameters
from training.graphs import graphs
from training.onnx_graph import check_export
from training.state import build_network


def test_most_networks_are_one_graph() -> None:
    recipe = tiny_runs.recipe("a", "localise")
    (graph,) = graphs(recipe, build_network(recipe))
    assert (graph.role, graph.shapes, graph.outputs) == ("network", [(1, 32, 32)], ("logits", "presence"))
    assert not graph.network.training
    content = graph.onnx().SerializeToString()
    assert check_export(graph.network, content, *graph.shapes) <= 1e-4


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


def test_the_cost_is_that_of_all_graphs() -> None:
    recipe = tiny_runs.recipe("a")
    network = build_network(recipe)
    found = cost(graphs(recipe, network), threads=1)
    assert found.parameters == parameters(network)
    assert found.gmac == gmac(network, (1, 32, 32)) > 0
    assert found.milliseconds > 0
    assert found.threads == 1
