"""What segmentation-models-pytorch has, through our builders: U-Net, UNet++, DeepLabV3+."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from segmentation_models_pytorch.encoders import encoders
from torch import nn
from torchvision.models import mobilenet_v2, resnet18

from models import deeplab, smp_unet, unet_plus_plus
from tests.models.laws import check_golden, check_learns, check_onnx, check_reload, parameters
from tests.models.starts import cache_hub_file, check_refusals, check_start, save

SHAPES = [(1, 64, 64)]


@dataclass(frozen=True)
class Expected:
    """One builder's file: the builder, the encoder of its tiny network, how many parameters it has at full size."""

    module: ModuleType
    builder: str
    encoder: str
    parameters: int

    def tiny(self, **changes: Any) -> nn.Module:
        return self.module.tiny(**changes)


NETWORKS = {
    "smp_unet": Expected(smp_unet, "smp_unet", "resnet18", 24_430_097),
    "unet_plus_plus": Expected(unet_plus_plus, "unet_plus_plus", "resnet18", 26_072_337),
    "deeplab": Expected(deeplab, "deeplab_v3_plus", "mobilenet_v2", 4_377_937),
}
TORCHVISION = {"resnet18": resnet18, "mobilenet_v2": mobilenet_v2}
each = pytest.mark.parametrize("name", NETWORKS)


def encode(network: nn.Module, x: torch.Tensor) -> torch.Tensor:
    return network.encoder(x)[-1]


@each
def test_the_published_size(name: str) -> None:
    one = NETWORKS[name]
    assert parameters(getattr(one.module, one.builder)) == one.parameters


@each
def test_laws(name: str, tmp_path: Path) -> None:
    tiny = NETWORKS[name].tiny
    torch.manual_seed(0)
    check_learns(tiny(), SHAPES)
    check_reload(tiny, SHAPES, tmp_path)
    check_onnx(tiny(), SHAPES)
    check_golden(name, tiny, SHAPES)


@each
@pytest.mark.parametrize(("channels", "classes", "size"), [(1, 1, (32, 64)), (3, 4, (64, 32))])
def test_logits_have_the_inputs_size(name: str, channels: int, classes: int, size: tuple[int, int]) -> None:
    network = NETWORKS[name].tiny(in_channels=channels, classes=classes).eval()
    assert network(torch.zeros(2, channels, *size)).shape == (2, classes, *size)


@each
def test_it_starts_from_torchvisions_weights_in_a_file(name: str, tmp_path: Path) -> None:
    one = NETWORKS[name]
    torch.manual_seed(0)
    check_start(one.tiny, encode, save(TORCHVISION[one.encoder]().state_dict(), tmp_path), 64)


@each
def test_it_starts_from_the_librarys_weights(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = NETWORKS[name]
    hub = encoders[one.encoder]["pretrained_settings"]["imagenet"]
    cache_hub_file(one.tiny(in_channels=3).encoder, hub["repo_id"], hub["revision"], tmp_path, monkeypatch)
    check_start(one.tiny, encode, "library", 64)


@each
def test_foreign_weights_are_refused(name: str, tmp_path: Path) -> None:
    check_refusals(NETWORKS[name].tiny, tmp_path)
