"""SamDepthFusion: published sizes, every mode, what depth is brought to, attention as its formula says."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from transformers import SamConfig, SamMaskDecoderConfig, SamModel, SamPromptEncoderConfig, SamVisionConfig

from models.sam_depth_fusion import CrossModal, SamDepthFusion, tiny, unit_range
from tests.models.laws import check_golden, check_learns, check_onnx, check_reload, examples, parameters

SHAPES = ((4, 64, 64),)
ENCODER = 89_670_912


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, 94_153_659),
        ({"mode": "rgb"}, 92_034_054),
        ({"mode": "depth_target"}, 92_034_054 + 257),
        # One direction less, no fusion block: 791,041 and 148,289.
        ({"mode": "one_way"}, 94_153_659 - 791_041 - 148_289),
        ({"confidence": False}, 94_153_659 - 177),
        ({"position": "none"}, 94_153_659 - 2 * 256),
        ({"position": "depth"}, 94_153_659 + 10 * 256 + 257 * 256),
        ({"norm": "group"}, 94_153_659),
        ({"classes": 4}, 94_153_659 - 2 * 257),
    ],
)
def test_published_sizes(changes: dict[str, object], wanted: int) -> None:
    assert parameters(lambda: SamDepthFusion(**changes)) == wanted  # type: ignore[arg-type]


def test_published_parts() -> None:
    with torch.device("meta"):
        network = SamDepthFusion()
    assert network.size == 1024
    parts = {"encoder": ENCODER, "depth_encoder": 388_800, "to_rgb": 791_041, "to_depth": 791_041}
    for name, wanted in parts.items():
        assert sum(one.numel() for one in getattr(network, name).parameters()) == wanted, name
    assert sum(one.numel() for one in network.parameters()) - ENCODER == 4_482_747


VARIANTS = [
    {},
    {"mode": "one_way"},
    {"mode": "depth_target"},
    {"mode": "rgb"},
    {"position": "depth", "confidence": False, "standardise": True},
    {"position": "none", "norm": "group"},
]


@pytest.mark.parametrize("changes", VARIANTS)
def test_every_parameter_learns(changes: dict[str, object]) -> None:
    check_learns(tiny(**changes), SHAPES)


@pytest.mark.parametrize("changes", VARIANTS)
def test_depth_is_drawn_in_training_alone(changes: dict[str, object]) -> None:
    network, (x,) = tiny(classes=3, **changes), examples(SHAPES, 2)
    drawn = network(x)
    if changes.get("mode") == "rgb":
        assert drawn.shape == (2, 3, 64, 64)
    else:
        assert [one.shape for one in drawn] == [(2, 3, 64, 64), (2, 1, 64, 64)]
    assert network.eval()(x).shape == (2, 3, 64, 64)


def test_reload(tmp_path: Path) -> None:
    check_reload(tiny, SHAPES, tmp_path)


def test_golden() -> None:
    check_golden("sam_depth_fusion", tiny, SHAPES)


def test_onnx() -> None:
    torch.manual_seed(0)
    check_onnx(tiny(position="depth"), SHAPES)


@torch.no_grad()
def test_colour_and_depth_may_come_apart() -> None:
    network, (x,) = tiny().eval(), examples(SHAPES, 2)
    torch.testing.assert_close(network(x[:, :3], x[:, 3:]), network(x))


@torch.no_grad()
@pytest.mark.parametrize("mode", ["rgb", "depth_target"])
def test_modes_of_colour_read_no_depth(mode: str) -> None:
    network, (x,) = tiny(mode=mode).eval(), examples(SHAPES, 2)
    torch.testing.assert_close(network(x), network(x[:, :3]))


@torch.no_grad()
def test_depth_counts_whatever_its_scale_and_offset() -> None:
    network, (x,) = tiny().eval(), examples(SHAPES, 2)
    other = torch.cat([x[:, :3], 7 * x[:, 3:] + 90], dim=1)
    torch.testing.assert_close(network(other), network(x), rtol=0, atol=1e-5)
    flipped = torch.cat([x[:, :3], x[:, 3:].flip(3)], dim=1)
    assert (network(flipped) - network(x)).abs().max() > 1e-4


def dropped(network: SamDepthFusion, x: Tensor) -> Tensor:
    """The logits with batch statistics, all other dropout off."""
    network.train()
    for part in network.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0
        if isinstance(part, CrossModal):
            part.dropout = 0.0
    return network(x)[0]


@torch.no_grad()
def test_modality_dropout_takes_the_colours_away() -> None:
    (x,) = examples(SHAPES, 2)
    other = torch.cat([x[:, :3].flip(2), x[:, 3:]], dim=1)
    blind, seeing = tiny(modality_dropout=1.0), tiny(modality_dropout=0.0)
    torch.testing.assert_close(dropped(blind, x), dropped(blind, other))
    assert (dropped(seeing, x) - dropped(seeing, other)).abs().max() > 1e-3
    assert (blind.eval()(x) - blind.eval()(other)).abs().max() > 1e-3


@torch.no_grad()
def test_attention_is_softmax_over_the_learned_temperature() -> None:
    torch.manual_seed(2)
    block = CrossModal(8, 2, vector=True).eval()
    block.temperature.fill_(0.7)
    asked, given_ = torch.randn(1, 12, 8), torch.randn(1, 5, 8)
    q, k, v = block.query(asked), block.key(given_), block.value(given_)
    heads = []
    for head in (slice(0, 4), slice(4, 8)):
        weights = torch.softmax(q[..., head] @ k[..., head].transpose(1, 2) / 0.7, dim=-1)
        heads.append(weights @ v[..., head])
    torch.testing.assert_close(block._attended(asked, given_), torch.cat(heads, dim=-1))
    assert float(CrossModal(256, 8, vector=True).temperature.detach()) == pytest.approx(math.sqrt(32))


MAPS = st.lists(st.floats(0.125, 255, width=32), min_size=2, max_size=16).filter(lambda v: max(v) - min(v) > 0.5)


@given(MAPS, st.floats(0.01, 100), st.floats(0, 50))
def test_unit_range_forgets_scale_and_offset(values: list[float], scale: float, offset: float) -> None:
    depth = torch.tensor(values, dtype=torch.float64).reshape(1, 1, 1, -1)
    found = unit_range(depth)
    assert (float(found.min()), float(found.max())) == (0.0, 1.0)
    torch.testing.assert_close(unit_range(scale * depth + offset), found, rtol=0, atol=1e-6)


@given(MAPS, st.integers(1, 5))
def test_unit_range_leaves_padding_out(values: list[float], padding: int) -> None:
    depth = torch.tensor(values).reshape(1, 1, 1, -1)
    padded = torch.nn.functional.pad(depth, (padding, 0))
    found = unit_range(padded)
    assert not found[..., :padding].any()
    torch.testing.assert_close(found[..., padding:], unit_range(depth))


@pytest.mark.parametrize("value", [0.0, 3.5])
def test_a_flat_map_is_zero(value: float) -> None:
    assert not unit_range(torch.full((2, 1, 4, 4), value)).any()


def test_the_encoder_starts_from_sams_weights(tmp_path: Path) -> None:
    vision = SamVisionConfig(
        hidden_size=16, output_channels=16, num_hidden_layers=2, num_attention_heads=2, window_size=3,
        global_attn_indexes=(1,), num_pos_feats=8, image_size=64, initializer_range=0.2,
    )  # fmt: skip
    mask = SamMaskDecoderConfig(hidden_size=16, mlp_dim=32, num_attention_heads=2, iou_head_hidden_dim=16)
    prompt = SamPromptEncoderConfig(hidden_size=16, image_size=64)
    model = SamModel(SamConfig(vision_config=vision, prompt_encoder_config=prompt, mask_decoder_config=mask))
    model.save_pretrained(tmp_path / "folder")
    torch.save(model.state_dict(), tmp_path / "state.pt")
    wanted = model.vision_encoder.state_dict()
    for name in ("folder", "state.pt"):
        found = tiny(weights=str(tmp_path / name)).encoder.state_dict()
        torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mode": "three_way"}, "Found mode='three_way'; wanted one of two_way, one_way, depth_target, rgb"),
        ({"position": "sine"}, "Found position='sine'; wanted one of vector, none, depth"),
        ({"norm": "layer"}, "Found norm='layer'; wanted one of batch, group"),
    ],
)
def test_unknown_switches_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tiny(**changes)


@pytest.mark.parametrize("shape", [(3, 64, 64), (4, 64, 32)])
def test_input_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"Found an input of shape \(\d, 64, \d+\); wanted \(4, 64, 64\)"):
        tiny()(torch.zeros(1, *shape))
