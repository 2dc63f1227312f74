"""AnatoSegNet: each mode is its definition, and what is known of the published code is so."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from models.anato_seg_net import (
    MODES,
    AnatomicalAttention,
    AnatoSegNet,
    DifferentialAttention,
    DistanceBias,
    tiny,
)
from tests.models.laws import check_golden, check_learns, check_onnx, check_reload, examples, parameters

# Three rows and three columns are left at the second attention: enough for every beta and gamma of 1.5 and 1 to matter.
SHAPES = [(3, 96, 96)]
OPTIONS: dict[str, Any] = {"learn_bias": True, "pre_norm": True, "beta": 1.5, "vertical": (1.5, 1.0)}
VARIANTS: dict[str, dict[str, Any]] = {
    "anatomical": {},
    "anatomical_options": OPTIONS,
    "as_published_code": {"mode": "as_published_code"},
    "diff_lambda": {"mode": "diff_lambda"},
    "diff_lambda_options": OPTIONS | {"mode": "diff_lambda", "residual": False},
}
EACH = pytest.mark.parametrize("variant", VARIANTS)


@pytest.mark.parametrize("mode", ["anatomical", "as_published_code"])
def test_the_published_size(mode: str) -> None:
    assert parameters(lambda: AnatoSegNet(mode=mode)) == 92_857_282


def test_the_published_size_of_the_attentions() -> None:
    assert parameters(lambda: AnatomicalAttention(1024, 8)) == 4_195_328
    assert parameters(lambda: AnatomicalAttention(2048, 8)) == 16_779_264


def test_what_the_other_options_add() -> None:
    """Differential: no biases of the last layers; 4 vectors and the norm's gain per attention."""
    lambdas = 4 * 128 + 256 + 4 * 256 + 512
    assert parameters(lambda: AnatoSegNet(mode="diff_lambda")) == 92_857_282 - (1024 + 2048) + lambdas
    assert parameters(lambda: AnatoSegNet(pre_norm=True)) == 92_857_282 + 2 * (1024 + 2048)
    assert parameters(lambda: AnatoSegNet(learn_bias=True)) == 92_857_282 + 2 * 2 * 8
    assert parameters(lambda: AnatoSegNet(learn_bias=True, clamp=False)) == 92_857_282 + 2 * 8


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("channels", "classes", "size"), [(1, 1, (64, 32)), (3, 2, (37, 50))])
def test_logits_have_the_inputs_size(mode: str, channels: int, classes: int, size: tuple[int, int]) -> None:
    network = tiny(mode=mode, in_channels=channels, classes=classes).eval()
    assert network(torch.zeros(2, channels, *size)).shape == (2, classes, *size)


@pytest.mark.parametrize(
    "options", [*VARIANTS.values(), {"residual": False}, {"learn_bias": True, "clamp": False}], ids=str
)
def test_everything_learns(options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    check_learns(tiny(**options), SHAPES)


@EACH
def test_a_checkpoint_loads(variant: str, tmp_path: Path) -> None:
    check_reload(partial(tiny, **VARIANTS[variant]), [(3, 64, 32)], tmp_path)


def awake(**options: Any) -> AnatoSegNet:
    """An attention with a shortcut starts at 0, where it would not be seen."""
    network = tiny(**options)
    for one in network.attended:
        torch.nn.init.normal_(one.attention.project.weight)
    return network


@pytest.mark.parametrize("variant", ["anatomical_options", "as_published_code", "diff_lambda_options"])
def test_onnx_computes_the_same(variant: str) -> None:
    """Each mode with all that its graph can hold."""
    torch.manual_seed(0)
    check_onnx(tiny(**VARIANTS[variant]), [(3, 64, 32)])


@EACH
def test_the_output_is_golden(variant: str) -> None:
    check_golden(f"anato_seg_net_{variant}", partial(tiny, **VARIANTS[variant]), [(3, 64, 64)])


# The bias.


def bias(height: int, width: int, *, beta: float = 3.5, gamma: float = 1.0, **options: Any) -> Tensor:
    return DistanceBias(2, (beta, gamma), **options)(height, width)


@given(st.integers(1, 6), st.integers(1, 6), st.floats(0.1, 8), st.floats(0.1, 3))
def test_the_anatomical_bias_is_its_definition(height: int, width: int, beta: float, gamma: float) -> None:
    tokens = [(y, x) for y in range(height) for x in range(width)]
    for axis, along in enumerate(("rows", "columns")):
        wanted = [[max(0.0, beta - gamma * abs(one[axis] - other[axis])) for other in tokens] for one in tokens]
        found = bias(height, width, beta=beta, gamma=gamma, along=along)
        torch.testing.assert_close(found, torch.tensor(wanted).expand(2, -1, -1), rtol=1e-4, atol=1e-5)


def test_the_anatomical_bias_is_a_bonus_of_one_layer_whatever_the_column() -> None:
    grid = bias(16, 16)[0].reshape(16, 16, 16, 16)
    assert torch.equal(grid, grid[:, :1, :, :1].expand_as(grid))
    rows = grid[8, 0, :, 0]
    assert (rows > 0).nonzero().flatten().tolist() == [5, 6, 7, 8, 9, 10, 11]
    assert rows[8] == pytest.approx(3.5)


def test_the_published_bias_holds_attention_to_the_next_indices() -> None:
    """80 % of the mass within one index, 93 % within two, 99.6 % within five; the token above is out of reach."""
    mass = bias(16, 16, along="raster", clamp=False)[0].softmax(dim=-1)[128]
    near = (torch.arange(256) - 128).abs()
    assert [round(float(mass[near <= reach].sum()), 3) for reach in (1, 2, 5)] == [0.802, 0.927, 0.996]
    assert float(mass[128 - 16] / mass[128]) == pytest.approx(torch.tensor(-16.0).exp().item(), rel=1e-3)


def test_the_published_bias_wraps_from_the_end_of_a_row_to_the_next() -> None:
    assert torch.equal(
        bias(4, 4, along="raster", clamp=False)[0, 3, 4], bias(4, 4, along="raster", clamp=False)[0, 4, 5]
    )


@pytest.mark.parametrize(
    ("along", "clamp", "moves"), [("raster", False, False), ("rows", False, False), ("rows", True, True)]
)
def test_beta_matters_only_where_the_bias_is_clamped(along: str, clamp: bool, moves: bool) -> None:
    logits = torch.randn(2, 36, 36, generator=torch.Generator().manual_seed(0))
    one, other = ((logits + bias(6, 6, along=along, clamp=clamp, beta=beta)).softmax(-1) for beta in (3.5, 2.0))
    assert bool((one - other).abs().max() > 1e-3) is moves
    assert bool((one - other).abs().max() < 1e-6) is not moves


@pytest.mark.parametrize(("mode", "moves"), [("as_published_code", False), ("anatomical", True), ("diff_lambda", True)])
def test_beta_does_nothing_to_the_published_network(mode: str, moves: bool) -> None:
    (features,) = examples([(64, 12, 4)], 1)
    outputs = []
    for beta in (3.5, 2.0):
        torch.manual_seed(0)
        outputs.append(awake(mode=mode, beta=beta).attended[0](features))
    assert bool((outputs[0] - outputs[1]).abs().max() > 1e-2) is moves
    assert bool((outputs[0] - outputs[1]).abs().max() < 1e-4) is not moves


def test_beta_and_gamma_are_in_every_checkpoint_under_one_name() -> None:
    fixed, learnt = DistanceBias(2, (3.5, 1.0)), DistanceBias(2, (1.0, 2.0), learn=True)
    assert [name for name, _ in fixed.named_parameters()] == []
    assert [name for name, _ in learnt.named_parameters()] == ["beta", "gamma"]
    learnt.load_state_dict(fixed.state_dict())
    torch.testing.assert_close(learnt(5, 2), fixed(5, 2))


# The attentions.


def split(projected: Tensor, heads: int) -> Tensor:
    return projected.reshape(*projected.shape[:2], heads, -1).transpose(1, 2)


@pytest.mark.parametrize("scrambled", [False, True])
def test_anatomical_attention_is_its_definition(scrambled: bool) -> None:
    torch.manual_seed(0)
    attention, (height, width) = AnatomicalAttention(8, 2, scrambled=scrambled), (5, 3)
    (tokens,) = examples([(15, 8)], 2)
    layers = bias(height, width)
    grid = tokens.reshape(2, 8, 5, 3) if scrambled else tokens.transpose(1, 2).reshape(2, 8, 5, 3)
    right = torch.diff(grid, dim=3, append=grid[..., -1:]).reshape(2, 8, 15).transpose(1, 2)
    below = torch.diff(grid, dim=2, append=grid[..., -1:, :]).reshape(2, 8, 15).transpose(1, 2)
    logits = torch.zeros(2, 2, 15, 15)
    for one in (tokens, right, below):
        query, key, _ = attention.qkv(one).chunk(3, dim=-1)
        logits = logits + split(query, 2) @ split(key, 2).mT / 4**0.5
    value = split(attention.qkv(tokens).chunk(3, dim=-1)[2], 2)
    wanted = attention.project(((logits + layers).softmax(-1) @ value).transpose(1, 2).reshape(2, 15, 8))
    torch.testing.assert_close(attention(tokens, layers[None], (height, width)), wanted)


def test_only_scrambled_differences_see_what_is_not_there() -> None:
    """A map that is the same at every place has no differences between places."""
    tokens = torch.randn(1, 1, 8, generator=torch.Generator().manual_seed(0)).expand(1, 12, 8)
    for scrambled in (False, True):
        differences = AnatomicalAttention(8, 2, scrambled=scrambled)._differences(tokens, (3, 4))
        assert bool(torch.stack(differences).abs().max() > 0) is scrambled


@pytest.mark.parametrize("layer", [0, 1])
def test_differential_attention_is_its_definition(layer: int) -> None:
    torch.manual_seed(0)
    attention = DifferentialAttention(16, 4, layer=layer)
    torch.nn.init.normal_(attention.norm.weight)
    (tokens,) = examples([(6, 16)], 2)
    layers = bias(3, 2)
    start = 0.8 - 0.6 * 2.718281828 ** (-0.3 * layer)
    vectors = attention.lambdas
    share = (vectors["q1"] @ vectors["k1"]).exp() - (vectors["q2"] @ vectors["k2"]).exp() + start
    query, key, value = (split(one, 2) for one in attention.qkv(tokens).chunk(3, dim=-1))
    maps = [(query[..., half] @ key[..., half].mT / 4**0.5 + layers).softmax(-1) for half in (slice(0, 4), slice(4, 8))]
    attended = (maps[0] - share * maps[1]) @ value
    normed = attended / (attended.square().mean(-1, keepdim=True) + 1e-5).sqrt() * attention.norm.weight
    wanted = attention.project(((1 - start) * normed).transpose(1, 2).reshape(2, 6, 16))
    torch.testing.assert_close(attention(tokens, layers[None], (3, 2)), wanted)


@pytest.mark.parametrize("mode", MODES)
def test_a_shortcut_leaves_the_encoder_unharmed_at_the_start(mode: str) -> None:
    """The published code has none, and its random attention replaces what a pretrained encoder found."""
    torch.manual_seed(0)
    attended = tiny(mode=mode).attended[0]
    (features,) = examples([(64, 4, 3)], 2)
    assert torch.equal(attended(features), features) is (mode != "as_published_code")


# Weights, and what is refused.


def test_the_encoder_starts_from_a_file(tmp_path: Path) -> None:
    colour, path = tiny(), tmp_path / "weights.pt"
    torch.save({**colour.encoder.state_dict(), "fc.weight": torch.zeros(1000, 128)}, path)
    grey = tiny(weights=str(path), in_channels=1)
    torch.testing.assert_close(grey.encoder.conv1.weight, colour.encoder.conv1.weight.sum(dim=1, keepdim=True))
    assert torch.equal(grey.encoder.layer4[0].conv3.weight, colour.encoder.layer4[0].conv3.weight)


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(ValueError, match="Found mode 'anatomic'; wanted one of anatomical, as_published_code, diff_"):
        tiny(mode="anatomic")


@pytest.mark.parametrize(
    ("mode", "heads", "wanted"), [("anatomical", 7, "a number that"), ("diff_lambda", 1, "an even number that")]
)
def test_heads_that_do_not_divide_the_channels_are_refused(mode: str, heads: int, wanted: str) -> None:
    with pytest.raises(ValueError, match=f"Found {heads} heads in mode {mode}; wanted {wanted} divides 64"):
        tiny(mode=mode, heads=heads)


@pytest.mark.parametrize(
    "option", [{"vertical": (3.5, 1)}, {"learn_bias": True}, {"residual": True}, {"pre_norm": True}]
)
def test_the_published_code_takes_no_options(option: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="Found vertical, .* with mode as_published_code; wanted none of them"):
        tiny(mode="as_published_code", **option)


@pytest.mark.parametrize(("beta", "gamma"), [(0, 1), (3.5, -1), (float("nan"), 1)])
def test_a_bias_of_nothing_is_refused(beta: float, gamma: float) -> None:
    with pytest.raises(ValueError, match=f"Found beta {beta} and gamma {gamma}; wanted both greater than 0"):
        tiny(beta=beta, gamma=gamma)
