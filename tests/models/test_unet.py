"""UNet of method 4: both heads, Glorot weights, dropout in training alone."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

from models.unet import UNet, tiny
from tests.models.laws import check_golden, check_learns, check_onnx, check_reload, examples, parameters

SHAPES = [(1, 32, 48)]
HEADS = ["logits", "relu_mse"]


def test_the_published_size() -> None:
    assert parameters(UNet) == 31_030_593


@pytest.mark.parametrize("head", HEADS)
def test_laws(head: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    build = partial(tiny, head=head)
    check_learns(build(), SHAPES)
    check_reload(build, SHAPES, tmp_path)
    check_golden(f"unet_{head}", build, SHAPES)


def test_onnx() -> None:
    torch.manual_seed(0)
    # The graph of the other head is this one without its last node.
    check_onnx(tiny(head="relu_mse"), SHAPES)


@pytest.mark.parametrize(("channels", "classes", "size"), [(1, 1, (16, 16)), (3, 4, (48, 32))])
def test_the_output_has_the_inputs_size(channels: int, classes: int, size: tuple[int, int]) -> None:
    network = tiny(in_channels=channels, classes=classes)
    assert network(torch.zeros(2, channels, *size)).shape == (2, classes, *size)


def test_the_published_head_gives_nothing_below_zero() -> None:
    torch.manual_seed(0)
    plain, published = tiny().eval(), tiny(head="relu_mse").eval()
    published.load_state_dict(plain.state_dict())
    (x,) = examples(SHAPES, 2)
    logits = plain(x)
    assert logits.min() < 0 < logits.max()
    assert torch.equal(published(x), torch.relu(logits))


def test_weights_are_drawn_after_glorot() -> None:
    for module in tiny(widths=(16, 32)).modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            fans = (module.in_channels + module.out_channels) * module.kernel_size[0] * module.kernel_size[1]
            limit = (6 / fans) ** 0.5
            assert 0.5 * limit < module.weight.abs().max() <= limit
            assert not module.bias.any()


def test_dropout_acts_in_training_alone() -> None:
    network = tiny()
    (x,) = examples(SHAPES, 2)
    assert not torch.equal(network(x), network(x))
    network.eval()
    assert torch.equal(network(x), network(x))


def test_an_unknown_head_is_refused() -> None:
    with pytest.raises(ValueError, match="Found head 'sigmoid'; wanted one of logits, relu_mse"):
        tiny(head="sigmoid")


def test_sides_that_do_not_halve_four_times_are_refused() -> None:
    with pytest.raises(ValueError, match="Found an input of 32 x 40 pixels; wanted .* multiples of 16"):
        tiny()(torch.zeros(1, 1, 32, 40))
