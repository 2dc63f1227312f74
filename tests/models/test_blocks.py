"""Weights from a file: names, shapes, grey input, envelopes, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from models.blocks import ConvNormAct, adapt_channels, check_sides, double_conv, load_encoder, read_weights


def saved(content: Any, folder: Path, name: str = "weights.pt") -> Path:
    torch.save(content, folder / name)
    return folder / name


def encoder(channels: int = 3) -> nn.Module:
    return nn.Sequential(ConvNormAct(channels, 4), ConvNormAct(4, 5)).eval()


def test_a_file_loads_name_for_name(tmp_path: Path) -> None:
    first, second = encoder(), encoder()
    load_encoder(second, saved(first.state_dict(), tmp_path))
    for name, one in second.state_dict().items():
        assert torch.equal(one, first.state_dict()[name])


@pytest.mark.parametrize("envelope", ["state_dict", "model"])
def test_an_envelope_is_opened(envelope: str, tmp_path: Path) -> None:
    state = encoder().state_dict()
    assert read_weights(saved({envelope: state, "epoch": 3}, tmp_path)).keys() == state.keys()


def test_safetensors_is_read(tmp_path: Path) -> None:
    state = encoder().state_dict()
    save_file(state, tmp_path / "weights.safetensors")
    found = read_weights(tmp_path / "weights.safetensors")
    assert found.keys() == state.keys()
    assert all(torch.equal(found[name], state[name]) for name in state)


def test_grey_through_adapted_weights_is_grey_as_rgb(tmp_path: Path) -> None:
    colour, grey = encoder(3), encoder(1)
    load_encoder(grey, saved(colour.state_dict(), tmp_path))
    picture = torch.rand(2, 1, 8, 8)
    torch.testing.assert_close(grey(picture), colour(picture.expand(-1, 3, -1, -1)))


@pytest.mark.parametrize("channels", [2, 3, 4, 6])
def test_equal_channels_through_adapted_weights_keep_their_scale(channels: int) -> None:
    weight = torch.rand(4, 1, 3, 3).expand(-1, 3, -1, -1)
    adapted = adapt_channels(weight, channels)
    assert adapted.shape == (4, channels, 3, 3)
    torch.testing.assert_close(adapted.sum(dim=1), weight.sum(dim=1))


def test_a_head_in_the_file_and_missing_counters_do_no_harm(tmp_path: Path) -> None:
    state = {name: one for name, one in encoder().state_dict().items() if not name.endswith("num_batches_tracked")}
    load_encoder(encoder(), saved({**state, "fc.weight": torch.zeros(10, 5)}, tmp_path))


def test_no_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"Found no file .*none.pt; wanted a state dict"):
        read_weights(tmp_path / "none.pt")


@pytest.mark.parametrize("name", ["weights.pt", "weights.safetensors"])
def test_an_unreadable_file_is_said(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"no weights at all")
    with pytest.raises(ValueError, match="Found no readable weights in .*; wanted a state dict"):
        read_weights(tmp_path / name)


@pytest.mark.parametrize("content", [{}, [1, 2], {"epoch": 3}, {"state_dict": {"a": 1}}])
def test_a_file_without_named_tensors_is_said(content: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Found no named tensors in"):
        read_weights(saved(content, tmp_path))


@pytest.mark.parametrize("spoil", ["missing", "unknown", "shape"])
def test_another_architecture_is_refused(spoil: str, tmp_path: Path) -> None:
    state = dict(encoder().state_dict())
    if spoil == "missing":
        del state["1.0.weight"]
    else:
        state["1.0.weight" if spoil == "shape" else "2.0.weight"] = torch.zeros(7, 4, 3, 3)
    with pytest.raises(ValueError, match=r"Found weights of another architecture in .*0\.weight; wanted .*Sequential"):
        load_encoder(encoder(), saved(state, tmp_path))


@pytest.mark.parametrize("size", [(32, 40), (40, 32), (8, 33)])
def test_sides_that_do_not_divide_are_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=rf"Found an input of {size[0]} x {size[1]} pixels; wanted .* multiples of 16"):
        check_sides(torch.zeros(1, 1, *size), 16)


def test_double_conv_keeps_the_size() -> None:
    check_sides(torch.zeros(1, 1, 32, 48), 16)
    assert double_conv(2, 3)(torch.zeros(2, 2, 8, 6)).shape == (2, 3, 8, 6)
