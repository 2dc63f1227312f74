"""ACAAtrousUNet: size, learning, saving, exporting."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from models.aca_atrous_unet import ACAAtrousUNet, tiny
from tests.models.laws import check_differ, check_golden, check_learns, check_onnx, check_reload, parameters

SHAPES = [(1, 48, 32)]
POOLED = pytest.mark.parametrize("pooled", [False, True])


@POOLED
def test_the_published_size(pooled: bool) -> None:
    assert parameters(lambda: ACAAtrousUNet(pooled=pooled)) == 15_949_949


@pytest.mark.parametrize(("channels", "classes"), [(1, 1), (3, 4)])
@pytest.mark.parametrize("size", [(32, 48), (17, 50)])
def test_logits_have_the_inputs_size(channels: int, classes: int, size: tuple[int, int]) -> None:
    network = tiny(in_channels=channels, classes=classes).eval()
    assert network(torch.zeros(2, channels, *size)).shape == (2, classes, *size)


@POOLED
def test_everything_learns(pooled: bool) -> None:
    torch.manual_seed(0)
    # A gate of one or two channels may be closed for each of the few pictures.
    check_learns(tiny(pooled=pooled, base=32, dropout=0.1), SHAPES)


def test_a_checkpoint_loads(tmp_path: Path) -> None:
    check_reload(tiny, SHAPES, tmp_path)


def test_onnx_computes_the_same() -> None:
    """The pooled gate is exported alone, beside its definition."""
    torch.manual_seed(0)
    check_onnx(tiny(classes=4), SHAPES)


def test_pooling_the_context_makes_another_network() -> None:
    torch.manual_seed(0)
    check_differ(tiny(), tiny(pooled=True), SHAPES)


@POOLED
def test_the_output_is_golden(pooled: bool) -> None:
    check_golden(f"aca_atrous_unet{'_pooled' if pooled else ''}", lambda: tiny(pooled=pooled), SHAPES)
