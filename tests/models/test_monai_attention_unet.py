"""MONAI's Attention U-Net through our builder."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from models.monai_attention_unet import monai_attention_unet, tiny
from tests.models.laws import check_golden, check_learns, check_onnx, check_reload, parameters

SHAPES = [(1, 32, 48)]


def test_the_published_size() -> None:
    assert parameters(monai_attention_unet) == 31_739_185


def test_laws(tmp_path: Path) -> None:
    torch.manual_seed(0)
    check_learns(tiny(), SHAPES)
    check_reload(tiny, SHAPES, tmp_path)
    check_onnx(tiny(), SHAPES)
    check_golden("monai_attention_unet", tiny, SHAPES)


@pytest.mark.parametrize(("channels", "classes", "size"), [(1, 1, (16, 32)), (3, 4, (48, 32))])
def test_logits_have_the_inputs_size(channels: int, classes: int, size: tuple[int, int]) -> None:
    network = tiny(in_channels=channels, classes=classes)
    assert network(torch.zeros(2, channels, *size)).shape == (2, classes, *size)
