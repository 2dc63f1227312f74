"""ACAAtrousResUNet: size, learning, saving, exporting."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from models.aca_atrous_res_unet import ACAAtrousResUNet, tiny
from tests.models.laws import check_differ, check_golden, check_learns, check_onnx, check_reload, examples, parameters

SHAPES = [(1, 64, 64)]
POOLED = pytest.mark.parametrize("pooled", [False, True])


@POOLED
@pytest.mark.parametrize(("classes", "count"), [(1, 27_733_573), (4, 27_733_768)])
def test_the_published_size(classes: int, count: int, pooled: bool) -> None:
    assert parameters(lambda: ACAAtrousResUNet(classes=classes, pooled=pooled)) == count


def test_the_published_parts() -> None:
    with torch.device("meta"):
        network = ACAAtrousResUNet()
    parts = {name: sum(one.numel() for one in part.parameters()) for name, part in network.named_children()}
    assert parts == {"encoder": 21_278_400, "decoder": 4_983_296 + 1_471_812, "head": 65}


@pytest.mark.parametrize(("channels", "classes"), [(1, 1), (3, 4)])
@pytest.mark.parametrize("size", [(64, 96), (33, 50)])
def test_logits_have_the_inputs_size(channels: int, classes: int, size: tuple[int, int]) -> None:
    network = tiny(in_channels=channels, classes=classes).eval()
    assert network(torch.zeros(2, channels, *size)).shape == (2, classes, *size)


@POOLED
def test_everything_learns(pooled: bool) -> None:
    """Above all the decoder, which the project's cascade left at its random start."""
    torch.manual_seed(0)
    # A gate of one or two channels may be closed for each of the few pictures.
    check_learns(tiny(pooled=pooled, widths=(32, 32, 32, 32), dropout=0.1), SHAPES)


def test_everything_is_there_before_the_first_call(tmp_path: Path) -> None:
    network = tiny()
    before = list(network.state_dict())
    network.eval()(*examples(SHAPES, 1))
    assert list(network.state_dict()) == before
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
    name = f"aca_atrous_res_unet{'_pooled' if pooled else ''}"
    check_golden(name, lambda: tiny(pooled=pooled), SHAPES)


def test_the_encoder_starts_from_a_file(tmp_path: Path) -> None:
    colour, path = tiny(in_channels=3), tmp_path / "weights.pt"
    torch.save(colour.encoder.state_dict(), path)
    grey = tiny(weights=str(path))
    torch.testing.assert_close(grey.encoder.conv1.weight, colour.encoder.conv1.weight.sum(dim=1, keepdim=True))
    assert torch.equal(grey.encoder.layer4[0].conv2.weight, colour.encoder.layer4[0].conv2.weight)


def test_a_decoder_of_another_depth_is_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        tiny(decoder=(16, 8, 8))
