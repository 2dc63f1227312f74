"""Depth Anything: published size, nothing trains, weights, one graph for a map stage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from models.depth_anything import DepthAnything, depth_anything, tiny
from service.frame import Frame
from service.network import Device, OnnxNetwork
from service.preprocess import prepare, restore
from service.stages import Map
from tests.fakes import picture, spec
from tests.models.laws import check_golden, check_reload, examples, parameters
from training.awake import awaken
from training.onnx_graph import check_export, traced

SIZE = (56, 56)
SHAPES = ((3, *SIZE),)


def loud() -> DepthAnything:
    """With answers that vary, and above zero, where its last rectifier does not hide everything."""
    torch.manual_seed(0)
    network = tiny()
    awaken(network, SHAPES)
    with torch.no_grad():
        network.network.head.conv3.bias.add_(1)
    return network


def test_published_size() -> None:
    assert parameters(depth_anything) == 24_785_089
    with torch.device("meta"):
        config = depth_anything().network.config
    assert config.backbone_config.out_indices == [3, 6, 9, 12]
    assert (config.backbone_config.image_size, config.patch_size) == (518, 14)


def test_nothing_trains() -> None:
    """Method 0 takes its depth as it is."""
    assert not [name for name, one in tiny().named_parameters() if one.requires_grad]


def test_reload(tmp_path: Path) -> None:
    check_reload(tiny, SHAPES, tmp_path)


def test_golden() -> None:
    check_golden("depth_anything", tiny, SHAPES)


@torch.no_grad()
@pytest.mark.parametrize("size", [(56, 56), (42, 70)])
def test_depth_has_the_pictures_size(size: tuple[int, int]) -> None:
    depth = loud()(torch.randn(2, 3, *size))
    assert depth.shape == (2, 1, *size)
    assert depth.min() >= 0
    assert depth.std() > 0.05


def test_a_side_that_is_no_multiple_is_refused() -> None:
    with pytest.raises(ValueError, match="Found an input of 56 x 60 pixels; wanted both sides to be multiples of 14"):
        tiny()(torch.zeros(1, 3, 56, 60))


@torch.no_grad()
def test_weights_from_a_folder_and_a_file(tmp_path: Path) -> None:
    network = loud()
    network.network.save_pretrained(tmp_path / "folder")
    torch.save(network.network.state_dict(), tmp_path / "state.pt")
    for name in ("folder", "state.pt"):
        found = tiny(weights=str(tmp_path / name)).eval()
        torch.testing.assert_close(found(*examples(SHAPES, 2)), network(*examples(SHAPES, 2)))


@torch.no_grad()
def test_one_graph_for_a_map_stage() -> None:
    network = loud()
    content = traced(network, SHAPES, ["image"], ["depth"]).SerializeToString()
    assert network(*examples(SHAPES, 2)).std() > 0.05
    check_export(network, content, *SHAPES)
    block = spec("depth", "map", size=SIZE, input={"channels": 3})
    colours = np.random.default_rng(0).integers(0, 256, (40, 30, 3), np.uint8)
    served = Map(block, OnnxNetwork(content, "depth", Device())).plane(Frame(picture(colours)), 0)
    tensor, placement = prepare(colours, block.input)
    wanted = restore(network(torch.from_numpy(tensor)[None])[0].numpy(), placement)
    np.testing.assert_allclose(served[..., 0], wanted[0], atol=1e-4)
