"""UNet3Plus: sizes, deep supervision, the classification-guided module and its gate."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from models.unet3_plus import ABSENT_LOGIT, UNet3Plus, tiny
from tests.models.laws import check_golden, check_learns, check_onnx, check_reload, examples, parameters

SHAPES = [(1, 32, 48)]
BOTH = {"deep_supervision": True, "classification": True}
MODES = {"plain": {}, "deep": {"deep_supervision": True}, "guided": {"classification": True}, "both": BOTH}


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        ({}, 26_970_625),
        ({"in_channels": 3}, 26_971_777),
        ({"in_channels": 3, "deep_supervision": True}, 26_989_637),
        # Two 1x1 filters on 1024 channels more.
        ({"in_channels": 3, **BOTH}, 26_989_637 + 2_050),
    ],
)
def test_the_published_size(arguments: dict[str, Any], wanted: int) -> None:
    assert parameters(partial(UNet3Plus, **arguments)) == wanted


def opened(network: UNet3Plus) -> UNet3Plus:
    """The network with a module that finds every image to have something; a closed gate would hide the logits."""
    if network.image_head is not None:
        network.image_head[1].bias.data[1] += 1e3
    return network


@pytest.mark.parametrize("mode", MODES)
def test_laws(mode: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    build = partial(tiny, **MODES[mode])
    check_learns(build(), SHAPES)
    check_reload(build, SHAPES, tmp_path)
    check_golden(f"unet3_plus_{mode}", lambda: opened(build()), SHAPES)


def test_onnx_computes_the_gate() -> None:
    torch.manual_seed(0)
    network = tiny(**BOTH)
    lean(network, 0.0)
    with torch.no_grad():
        empty = (network(*examples(SHAPES, 8)) == ABSENT_LOGIT).flatten(1).all(dim=1)
    assert 0 < empty.sum() < 8
    check_onnx(network, SHAPES)


@pytest.mark.parametrize(
    ("mode", "sides", "image"), [("plain", 1, 0), ("deep", 5, 0), ("guided", 1, 1), ("both", 5, 1)]
)
def test_what_training_and_evaluation_give(mode: str, sides: int, image: int) -> None:
    network, (x,) = tiny(in_channels=1, **MODES[mode]), examples(SHAPES, 2)
    training = network(x)
    parts = training if isinstance(training, tuple) else (training,)
    assert [tuple(one.shape) for one in parts] == [(2, 1, 32, 48)] * sides + [(2, 2)] * image
    evaluated = network.eval()(x)
    assert isinstance(evaluated, torch.Tensor)
    assert evaluated.shape == (2, 1, 32, 48)


def test_several_classes() -> None:
    network = tiny(in_channels=3, classes=4, deep_supervision=True)
    assert [tuple(one.shape) for one in network(torch.zeros(2, 3, 16, 32))] == [(2, 4, 16, 32)] * 5


def lean(network: UNet3Plus, towards_present: float) -> None:
    """Shift the module's decision; 0 puts the eight examples on both sides of it."""
    with torch.no_grad():
        network.eval()
        (x,) = examples(SHAPES, 8)
        maps = network._decode(network._encode(x))
        image = network.image_head(maps[-1]).amax(dim=(2, 3))
        network.image_head[1].bias[1] -= (image[:, 1] - image[:, 0]).median() - towards_present


@pytest.mark.parametrize("present", [True, False])
def test_the_modules_decision_gates_the_logits(present: bool) -> None:
    torch.manual_seed(0)
    plain, guided = tiny().eval(), tiny(classification=True).eval()
    guided.load_state_dict(plain.state_dict(), strict=False)
    lean(guided, 1e3 if present else -1e3)
    (x,) = examples(SHAPES, 2)
    logits = guided(x)
    if present:
        assert torch.equal(logits, plain(x))
    else:
        assert (logits == ABSENT_LOGIT).all()
        assert torch.sigmoid(logits).max() < 1e-8


def test_the_gate_keeps_out_of_training() -> None:
    torch.manual_seed(0)
    network = tiny(**BOTH)
    lean(network, -1e3)
    main, *_, image = network.train()(*examples(SHAPES, 2))
    assert (image[:, 1] < image[:, 0]).all()
    assert (main != ABSENT_LOGIT).all()


def test_the_module_with_several_classes_is_refused() -> None:
    with pytest.raises(ValueError, match="Found the classification-guided module with 4 classes; wanted 1"):
        tiny(classes=4, classification=True)


def test_sides_that_do_not_halve_four_times_are_refused() -> None:
    with pytest.raises(ValueError, match="Found an input of 8 x 32 pixels; wanted .* multiples of 16"):
        tiny()(torch.zeros(1, 1, 8, 32))
