"""The ResNet encoder is torchvision's, and networks start from torchvision's weights, from a file or from nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision.models import ResNet34_Weights, resnet
from torchvision.models._api import Weights, WeightsEnum

from models.blocks import library_file, load_start, resnet_encoder

DEPTHS, WIDTHS = (1, 1, 1, 1), (8, 16, 16, 32)


class Nowhere(WeightsEnum):
    """At an address that nothing answers."""

    DEFAULT = Weights(url="http://127.0.0.1:9/net-00000000.pth", transforms=nn.Identity, meta={})


def small(layers: int = 34, *, in_channels: int = 3, weights: str | None = None) -> nn.Module:
    return resnet_encoder(layers, in_channels=in_channels, weights=weights, depths=DEPTHS, widths=WIDTHS).eval()


@pytest.fixture
def hub(tmp_path: Path) -> Path:
    """torch's hub folder, empty, with its folder of files."""
    before = torch.hub.get_dir()
    torch.hub.set_dir(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    yield tmp_path / "checkpoints"
    torch.hub.set_dir(before)


@pytest.mark.parametrize(("layers", "build"), [(34, resnet.resnet34), (50, resnet.resnet50)])
def test_names_and_shapes_are_torchvisions(layers: int, build: type[nn.Module]) -> None:
    with torch.device("meta"):
        wanted = {name: one.shape for name, one in build().state_dict().items() if not name.startswith("fc.")}
        found = resnet_encoder(layers, in_channels=3, weights=None, depths=(3, 4, 6, 3), widths=(64, 128, 256, 512))
    assert {name: one.shape for name, one in found.state_dict().items()} == wanted


def test_features_are_torchvisions() -> None:
    torch.manual_seed(0)
    wanted = resnet.ResNet(resnet.BasicBlock, list(DEPTHS)).eval()
    found = resnet_encoder(34, in_channels=3, weights=None, depths=DEPTHS, widths=(64, 128, 256, 512)).eval()
    found.load_state_dict({name: one for name, one in wanted.state_dict().items() if not name.startswith("fc.")})
    picture = torch.randn(1, 3, 64, 32)
    stem = wanted.relu(wanted.bn1(wanted.conv1(picture)))
    last = wanted.layer4(wanted.layer3(wanted.layer2(wanted.layer1(wanted.maxpool(stem)))))
    first, *_, deepest = found.forward_intermediates(picture, intermediates_only=True)
    torch.testing.assert_close(first, stem)
    torch.testing.assert_close(deepest, last)


@pytest.mark.parametrize(("layers", "times"), [(34, 1), (50, 4)])
def test_features_halve_from_stage_to_stage(layers: int, times: int) -> None:
    encoder = small(layers)
    features = encoder.forward_intermediates(torch.zeros(1, 3, 64, 96), intermediates_only=True)
    assert [one.shape[1] for one in features] == [64, *(times * width for width in WIDTHS)]
    assert [one.shape[2:] for one in features] == [(64 // 2**k, 96 // 2**k) for k in range(1, 6)]
    assert [stage["num_chs"] for stage in encoder.feature_info] == [one.shape[1] for one in features]


def test_a_file_for_rgb_starts_a_grey_encoder(tmp_path: Path) -> None:
    colour, path = small(), tmp_path / "weights.pt"
    torch.save({**colour.state_dict(), "fc.weight": torch.zeros(1000, 32), "fc.bias": torch.zeros(1000)}, path)
    grey, picture = small(in_channels=1, weights=str(path)), torch.rand(2, 1, 32, 32)
    torch.testing.assert_close(grey(picture), colour(picture.expand(-1, 3, -1, -1)))


def test_the_librarys_file_is_taken_from_its_folder(hub: Path) -> None:
    before = small()
    torch.save(before.state_dict(), hub / "resnet34-b627a593.pth")
    after = small(weights="library")
    assert all(torch.equal(one, after.state_dict()[name]) for name, one in before.state_dict().items())


def test_the_librarys_file_of_another_size_is_refused(hub: Path) -> None:
    torch.save(small(34).state_dict(), hub / "resnet50-0676ba61.pth")
    with pytest.raises(ValueError, match="Found weights of another architecture in .*resnet50"):
        small(50, weights="library")


def test_a_file_that_cannot_be_fetched_is_said(hub: Path) -> None:
    with pytest.raises(ConnectionError, match=r"Found neither .*net-00000000.pth nor a way to fetch http.*Fetch that"):
        library_file(Nowhere.DEFAULT)
    assert list(hub.iterdir()) == []


def test_without_weights_nothing_is_loaded(hub: Path) -> None:
    network = small()
    before = {name: one.clone() for name, one in network.state_dict().items()}
    load_start(network, None, ResNet34_Weights.IMAGENET1K_V1)
    assert all(torch.equal(one, before[name]) for name, one in network.state_dict().items())
    assert list(hub.iterdir()) == []
