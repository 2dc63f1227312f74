"""SegFormer of transformers: size, weights under old and new names, laws."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import SegformerConfig, SegformerModel

from models.blocks import read_weights
from models.segformer import LIBRARY_WEIGHTS, SegFormer, tiny
from tests.models.laws import check_golden, check_learns, check_onnx, check_reload, parameters
from tests.models.starts import cache_hub_file, check_refusals, check_start, save

SHAPES = [(1, 64, 96)]


def encode(network: SegFormer, x: torch.Tensor) -> torch.Tensor:
    return network.network.segformer(x).last_hidden_state


def test_the_published_size() -> None:
    assert parameters(SegFormer) == 3_711_265


def test_laws(tmp_path: Path) -> None:
    torch.manual_seed(0)
    check_learns(tiny(), SHAPES)
    check_reload(tiny, SHAPES, tmp_path)
    check_onnx(tiny(), SHAPES)
    check_golden("segformer", tiny, SHAPES)


@pytest.mark.parametrize(("channels", "classes", "size"), [(1, 1, (32, 64)), (3, 4, (64, 32))])
def test_logits_have_the_inputs_size(channels: int, classes: int, size: tuple[int, int]) -> None:
    network = tiny(in_channels=channels, classes=classes).eval()
    assert network(torch.zeros(2, channels, *size)).shape == (2, classes, *size)


def test_it_starts_from_a_file_with_present_names(tmp_path: Path) -> None:
    check_start(tiny, encode, save(tiny(in_channels=3).network.segformer.state_dict(), tmp_path), 64)


def test_it_starts_from_a_file_with_the_hubs_names(tmp_path: Path) -> None:
    encoder = tiny(in_channels=3).network.segformer
    encoder.save_pretrained(tmp_path)
    path = str(tmp_path / "model.safetensors")
    assert read_weights(path).keys().isdisjoint(encoder.state_dict())
    check_start(tiny, encode, path, 64)


def test_a_grey_encoder_loads_as_it_is(tmp_path: Path) -> None:
    first = tiny()
    second = tiny(weights=save(first.network.segformer.state_dict(), tmp_path))
    for name, one in second.network.segformer.state_dict().items():
        assert torch.equal(one, first.network.segformer.state_dict()[name])


def test_it_starts_from_the_librarys_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = SegformerModel(SegformerConfig())
    encoder.save_pretrained(tmp_path / "saved")
    cache_hub_file(encoder, LIBRARY_WEIGHTS, "0" * 40, tmp_path / "hub", monkeypatch)
    (folder,) = (tmp_path / "hub").iterdir()
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("0" * 40, encoding="utf-8")
    for name in ("config.json", "model.safetensors"):
        (tmp_path / "saved" / name).replace(folder / "snapshots" / ("0" * 40) / name)
    check_start(SegFormer, encode, "library", 64)


@pytest.mark.parametrize("spoil", ["gap", "shape"])
def test_what_transformers_would_fill_with_random_numbers_is_refused(spoil: str, tmp_path: Path) -> None:
    tiny().network.segformer.save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    name = "encoder.block.1.0.mlp.dense1.weight"
    weights[name] = torch.zeros(3, 3)
    if spoil == "gap":
        del weights[name]
    with pytest.raises(ValueError, match=r"another architecture in .*: 1 parameters missing or.*mlp.fc1.weight"):
        tiny(weights=save(weights, tmp_path))


def test_foreign_weights_are_refused(tmp_path: Path) -> None:
    check_refusals(tiny, tmp_path)


def test_sides_that_do_not_divide_are_refused() -> None:
    with pytest.raises(ValueError, match="Found an input of 48 x 64 pixels; wanted .* multiples of 32"):
        tiny()(torch.zeros(1, 1, 48, 64))
