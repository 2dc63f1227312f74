"""DeepLabV3+ of segmentation-models-pytorch through our builder."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from segmentation_models_pytorch.encoders import encoders
from torchvision.models import mobilenet_v2

from models.deeplab import deeplab_v3_plus, tiny
from tests.models.laws import check_golden, check_learns, check_onnx, check_reload, parameters
from tests.models.starts import cache_hub_file, check_refusals, check_start, save

SHAPES = [(1, 64, 64)]


def encode(network: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    return network.encoder(x)[-1]


def test_the_published_size() -> None:
    assert parameters(deeplab_v3_plus) == 4_377_937


def test_laws(tmp_path: Path) -> None:
    torch.manual_seed(0)
    check_learns(tiny(), SHAPES)
    check_reload(tiny, SHAPES, tmp_path)
    check_onnx(tiny(), SHAPES)
    check_golden("deeplab", tiny, SHAPES)


@pytest.mark.parametrize(("channels", "classes", "size"), [(1, 1, (32, 64)), (3, 4, (64, 32))])
def test_logits_have_the_inputs_size(channels: int, classes: int, size: tuple[int, int]) -> None:
    network = tiny(in_channels=channels, classes=classes).eval()
    assert network(torch.zeros(2, channels, *size)).shape == (2, classes, *size)


def test_it_starts_from_torchvisions_weights_in_a_file(tmp_path: Path) -> None:
    torch.manual_seed(0)
    check_start(tiny, encode, save(mobilenet_v2().state_dict(), tmp_path), 64)


def test_it_starts_from_the_librarys_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = encoders["mobilenet_v2"]["pretrained_settings"]["imagenet"]
    cache_hub_file(tiny(in_channels=3).encoder, hub["repo_id"], hub["revision"], tmp_path, monkeypatch)
    check_start(tiny, encode, "library", 64)


def test_foreign_weights_are_refused(tmp_path: Path) -> None:
    check_refusals(tiny, tmp_path)
