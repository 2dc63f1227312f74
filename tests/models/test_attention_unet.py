"""AttentionUNet: size, gates that only weigh, laws."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from models.attention_unet import AttentionGate, AttentionUNet, tiny
from tests.models.laws import check_golden, check_learns, check_onnx, check_reload, parameters

SHAPES = [(1, 32, 48)]


@pytest.mark.parametrize(("channels", "wanted"), [(1, 34_877_421), (3, 34_878_573)])
def test_the_published_size(channels: int, wanted: int) -> None:
    assert parameters(lambda: AttentionUNet(in_channels=channels)) == wanted


def test_laws(tmp_path: Path) -> None:
    torch.manual_seed(0)
    check_learns(tiny(), SHAPES)
    check_reload(tiny, SHAPES, tmp_path)
    check_onnx(tiny(), SHAPES)
    check_golden("attention_unet", tiny, SHAPES)


@pytest.mark.parametrize(("channels", "classes", "size"), [(1, 1, (16, 32)), (3, 4, (48, 32))])
def test_logits_have_the_inputs_size(channels: int, classes: int, size: tuple[int, int]) -> None:
    network = tiny(in_channels=channels, classes=classes)
    assert network(torch.zeros(2, channels, *size)).shape == (2, classes, *size)


def test_a_gate_weighs_each_pixel_of_the_skip_once() -> None:
    torch.manual_seed(0)
    gate = AttentionGate(6, 3)
    skip, signal = torch.rand(2, 6, 8, 8) + 0.1, torch.randn(2, 6, 8, 8)
    weight = gate(skip, signal) / skip
    assert weight.min() > 0
    assert weight.max() < 1
    torch.testing.assert_close(weight, weight[:, :1].expand_as(weight))
    assert weight.std() > 0


def test_sides_that_do_not_halve_four_times_are_refused() -> None:
    with pytest.raises(ValueError, match="Found an input of 40 x 32 pixels; wanted .* multiples of 16"):
        tiny()(torch.zeros(1, 1, 40, 32))
