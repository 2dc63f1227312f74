"""TransUNet: size, parts that are timm's, weights of timm's hybrid, laws."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from timm.models.vision_transformer_hybrid import vit_base_r50_s16_224
from torch import Tensor

from models.trans_unet import TransUNet, tiny
from tests.models.laws import check_golden, check_learns, check_onnx, check_reload, parameters
from tests.models.starts import check_refusals, check_start, save

SHAPES = [(1, 32, 32)]


@pytest.mark.parametrize(("size", "wanted"), [(224, 105_275_921), (256, 105_322_001), ((224, 256), 105_297_425)])
def test_the_published_size(size: Any, wanted: int) -> None:
    assert parameters(lambda: TransUNet(image_size=size)) == wanted
    assert abs(wanted - 105_300_000) < 500_000


def test_laws(tmp_path: Path) -> None:
    torch.manual_seed(0)
    check_learns(tiny(), SHAPES)
    check_reload(tiny, SHAPES, tmp_path)
    check_onnx(tiny(), SHAPES)
    check_golden("trans_unet", tiny, SHAPES)


@pytest.mark.parametrize(("channels", "classes", "size"), [(1, 1, (32, 32)), (3, 4, (48, 32)), (2, 1, (32, 64))])
def test_logits_have_the_inputs_size(channels: int, classes: int, size: tuple[int, int]) -> None:
    network = tiny(in_channels=channels, classes=classes, image_size=size)
    assert network(torch.zeros(2, channels, *size)).shape == (2, classes, *size)


def test_grey_is_grey_as_rgb() -> None:
    torch.manual_seed(0)
    grey, colour = tiny().eval(), tiny(in_channels=3).eval()
    colour.load_state_dict(grey.state_dict())
    picture = torch.randn(2, 1, 32, 32)
    assert torch.equal(grey(picture), colour(picture.expand(-1, 3, -1, -1)))


def test_skips_have_their_sizes_and_are_padded_to_the_right_and_below() -> None:
    torch.manual_seed(0)
    tokens, skips = tiny(image_size=(32, 64)).eval().encoder(torch.randn(1, 3, 32, 64))
    assert tokens.shape == (1, 32, 2, 4)
    assert [tuple(one.shape[1:]) for one in skips] == [(8, 16, 32), (16, 8, 16), (32, 4, 8)]
    assert not skips[1][..., -1, :].any()
    assert not skips[1][..., -1].any()
    assert skips[1][..., :-1, :-1].any()


def hybrid(network: TransUNet, tokens: int) -> dict[str, Tensor]:
    """An encoder's weights as timm's hybrid would save them: with a class token, its position and a head."""
    generator = torch.Generator().manual_seed(5)
    state = {name: torch.randn(one.shape, generator=generator) for name, one in network.encoder.state_dict().items()}
    width = state["pos_embed"].shape[-1]
    extra = {"cls_token": torch.zeros(1, 1, width), "pos_embed": torch.randn(1, 1 + tokens, width)}
    return {**state, **extra, "head.weight": torch.zeros(10, width), "head.bias": torch.zeros(10)}


def encode(network: TransUNet, x: Tensor) -> Tensor:
    return network.encoder(x.repeat(1, network.repeat, 1, 1))[0]


@pytest.mark.parametrize("tokens", [4, 16])
def test_it_starts_from_weights_of_timms_hybrid(tokens: int, tmp_path: Path) -> None:
    weights = hybrid(tiny(), tokens)
    check_start(tiny, encode, save(weights, tmp_path), 32)
    network = tiny(weights=save(weights, tmp_path))
    assert torch.equal(network.encoder.blocks[1].mlp.fc1.weight, weights["blocks.1.mlp.fc1.weight"])
    positions = network.encoder.pos_embed
    assert positions.shape == (1, 4, 32)
    if tokens == 4:
        assert torch.equal(positions, weights["pos_embed"][:, 1:])


def test_its_own_encoder_loads_without_a_class_token(tmp_path: Path) -> None:
    first = tiny()
    second = tiny(weights=save(first.encoder.state_dict(), tmp_path))
    for name, one in second.encoder.state_dict().items():
        assert torch.equal(one, first.encoder.state_dict()[name])


def test_the_full_size_has_the_names_and_shapes_of_timms_network() -> None:
    with torch.device("meta"):
        ours = TransUNet().encoder.state_dict()
        theirs = vit_base_r50_s16_224(pretrained=False, num_classes=0).state_dict()
    assert theirs.keys() - ours.keys() == {"cls_token"}
    assert ours.keys() <= theirs.keys()
    assert [name for name in ours if ours[name].shape != theirs[name].shape] == ["pos_embed"]


def test_foreign_weights_are_refused(tmp_path: Path) -> None:
    check_refusals(tiny, tmp_path)


@pytest.mark.parametrize("size", [40, (32, 40)])
def test_a_size_that_makes_no_whole_patches_is_refused(size: Any) -> None:
    with pytest.raises(ValueError, match="Found image_size .*40.*; wanted multiples of 16"):
        tiny(image_size=size)


def test_input_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="Found an input of 48 x 32 pixels; wanted 32 x 32"):
        tiny()(torch.zeros(1, 1, 48, 32))


def test_dropout_acts_in_training_alone() -> None:
    network, x = partial(tiny, dropout=0.5)(), torch.randn(2, 1, 32, 32)
    assert not torch.equal(network(x), network(x))
    network.eval()
    assert torch.equal(network(x), network(x))
