"""VGG-16: it is torchvision's, and starts from torchvision's weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torchvision.models import vgg16

from models.vgg16 import VGG16, tiny
from tests.models.laws import check_golden, check_learns, check_onnx, check_reload, parameters

SHAPES = [(3, 64, 64)]


def test_the_published_size() -> None:
    assert parameters(VGG16) == 134_272_835
    assert parameters(lambda: VGG16().features) == 14_714_688


def test_it_is_torchvisions() -> None:
    with torch.device("meta"):
        ours, theirs = VGG16(), vgg16(num_classes=3)
    assert [str(one) for one in ours.modules()][1:] == [str(one) for one in theirs.modules()][1:]
    assert {name: one.shape for name, one in ours.state_dict().items()} == {
        name: one.shape for name, one in theirs.state_dict().items()
    }


@pytest.mark.parametrize(("channels", "classes"), [(1, 2), (3, 3)])
@pytest.mark.parametrize("size", [(64, 64), (32, 75)])
def test_logits_are_one_row_per_picture(channels: int, classes: int, size: tuple[int, int]) -> None:
    network = tiny(in_channels=channels, classes=classes).eval()
    assert network(torch.zeros(2, channels, *size)).shape == (2, classes)


def test_everything_learns() -> None:
    torch.manual_seed(0)
    check_learns(tiny(dropout=0.1), SHAPES)


def test_a_checkpoint_loads(tmp_path: Path) -> None:
    check_reload(tiny, SHAPES, tmp_path)


def test_onnx_computes_the_same() -> None:
    torch.manual_seed(0)
    check_onnx(tiny(), SHAPES)


def test_the_output_is_golden() -> None:
    check_golden("vgg16", tiny, SHAPES)


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """torchvision's file in torch's hub folder, small and with its 1000 classes."""
    before = torch.hub.get_dir()
    torch.hub.set_dir(tmp_path)
    path = tmp_path / "checkpoints" / "vgg16-397923af.pth"
    path.parent.mkdir()
    torch.save(tiny(classes=1000).state_dict(), path)
    yield path
    torch.hub.set_dir(before)


@pytest.mark.parametrize("weights", ["library", "path"])
def test_all_but_the_last_layer_starts_from_a_file(weights: str, library: Path) -> None:
    network, file = tiny(weights=str(library) if weights == "path" else weights), torch.load(library)
    state = network.state_dict()
    assert [name for name in state if not torch.equal(state[name], file[name][: len(state[name])])] == [
        "classifier.6.weight"
    ]


def test_grey_through_a_file_for_rgb_is_grey_as_rgb(library: Path) -> None:
    colour, grey = tiny(weights=str(library)), tiny(weights=str(library), in_channels=1)
    picture = torch.rand(2, 1, 64, 64)
    torch.testing.assert_close(grey.features(picture), colour.features(picture.expand(-1, 3, -1, -1)))


def test_the_file_of_another_size_is_refused(library: Path) -> None:
    with pytest.raises(ValueError, match="Found weights of another architecture"):
        tiny(weights=str(library), hidden=16)


def test_widths_of_another_depth_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        tiny(widths=(4, 8))
