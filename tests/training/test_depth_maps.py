"""Depth of photographs: cut, asked, stretched, put back; cached once; the same network as a served stage."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest
import torch
import yaml
from numpy.typing import NDArray
from torch import Tensor

from service.manifest import StageSpec
from service.preprocess import prepare
from tests.training.tiny_depth import small_depth
from training.datasets.photographs import depth_path
from training.depth_maps import cache_depth, depth_input, depth_map, export_depth, input_size, photographs_in

RANDOM = np.random.default_rng(5)
SIZE = (28, 42)


def brightness(image: Tensor) -> Tensor:
    """A depth network for which bright is near."""
    return image.mean(1)


def photograph(height: int = 60, width: int = 90) -> NDArray[np.uint8]:
    """Brighter towards the right."""
    ramp = np.linspace(40, 220, width)[None, :, None]
    return np.clip(ramp + RANDOM.normal(0, 1, (height, width, 3)), 0, 255).astype(np.uint8)


def write_photographs(root: Path, names: tuple[str, ...] = ("a.png", "b.jpg")) -> list[Path]:
    (root / "images").mkdir(parents=True)
    for name in names:
        cv2.imwrite(str(root / "images" / name), photograph())
    return photographs_in(root)


def test_depth_covers_the_photograph_from_far_to_near() -> None:
    depth = depth_map(photograph(), brightness)
    assert (depth.shape, depth.dtype) == ((60, 90), np.uint8)
    assert (depth.min(), depth.max()) == (0, 255)
    np.testing.assert_allclose(depth.mean(axis=0), np.linspace(0, 255, 90), atol=12)


def test_black_around_a_photograph_changes_nothing_and_stays_black() -> None:
    inner = photograph()
    padded = np.zeros((100, 90, 3), np.uint8)
    padded[:] = RANDOM.integers(0, 5, padded.shape)
    padded[20:80] = inner
    depth = depth_map(padded, brightness)
    np.testing.assert_array_equal(depth[20:80], depth_map(inner, brightness))
    assert not depth[:20].any()
    assert not depth[80:].any()


def test_the_network_sees_standardised_rgb() -> None:
    seen: list[Tensor] = []

    def network(image: Tensor) -> Tensor:
        seen.append(image)
        return brightness(image)[:, None]

    flat = np.full((42, 42, 3), (255, 0, 0), np.uint8)
    flat[0, 0] = 9
    depth_map(flat, network, (14, 14))
    assert seen[0].shape == (1, 3, 14, 14)
    wanted = [(1 - 0.485) / 0.229, -0.456 / 0.224, -0.406 / 0.225]
    torch.testing.assert_close(seen[0][0, :, 7, 7], torch.tensor(wanted), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("size", "wanted"),
    [
        ((768, 1024), (518, 686)),
        ((1024, 768), (686, 518)),
        ((200, 300), (350, 518)),
        ((518, 518), (518, 518)),
        ((3, 900), (14, 518)),
    ],
)
def test_input_sizes_are_those_of_the_models_own_processor(size: tuple[int, int], wanted: tuple[int, int]) -> None:
    assert input_size(*size) == wanted


def test_a_black_photograph_is_refused() -> None:
    with pytest.raises(ValueError, match="Found nothing but black; wanted a photograph"):
        depth_map(np.zeros((20, 20, 3), np.uint8), brightness)


@pytest.mark.parametrize("value", [1.0, float("nan")])
def test_a_flat_answer_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="Found depth from .* to .*; wanted near and far"):
        depth_map(photograph(), lambda image: torch.full(image.shape[2:], value)[None])


def test_an_answer_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Found depth of shape \(1, 28, 21\); wanted \(1, 28, 42\)"):
        depth_map(photograph(), lambda image: brightness(image)[..., ::2], SIZE)


def test_maps_are_cached_beside_the_photographs_and_made_once(tmp_path: Path) -> None:
    images = write_photographs(tmp_path)
    asked: list[int] = []

    def network(image: Tensor) -> Tensor:
        asked.append(1)
        return brightness(image)

    maps = cache_depth(images, network, SIZE)
    assert maps == [tmp_path / "depth" / "a.png", tmp_path / "depth" / "b.png"]
    assert maps == [depth_path(image) for image in images]
    assert cv2.imread(str(maps[0]), cv2.IMREAD_UNCHANGED).shape == (60, 90)
    maps[0].unlink()
    assert cache_depth(images, network, SIZE, progress=reversed) == maps
    assert len(asked) == 3


def test_a_broken_photograph_is_named_and_the_others_are_kept(tmp_path: Path) -> None:
    images = write_photographs(tmp_path, ("a.png", "b.png", "c.png"))
    images[1].write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"Found no readable picture in .*b.png"):
        cache_depth(images, brightness, SIZE)
    cv2.imwrite(str(images[1]), np.zeros((9, 9, 3), np.uint8))
    with pytest.raises(ValueError, match=r"b.png: Found nothing but black"):
        cache_depth(images, brightness, SIZE)
    assert [path.name for path in (tmp_path / "depth").iterdir()] == ["a.png"]


def test_photographs_lie_in_one_folder_or_in_collections(tmp_path: Path) -> None:
    write_photographs(tmp_path / "aesthetics")
    write_photographs(tmp_path / "cinderella", ("c.png",))
    assert [path.name for path in photographs_in(tmp_path)] == ["a.png", "b.jpg", "c.png"]
    with pytest.raises(FileNotFoundError, match=r"Found no images/ in .*depthless or below; wanted photographs"):
        photographs_in(tmp_path / "depthless")


def test_the_exported_stage_gives_what_is_cached(tmp_path: Path) -> None:
    network = small_depth().eval()
    path = export_depth(network, tmp_path / "stage", SIZE, "CC0-1.0")
    stage = StageSpec.model_validate(yaml.safe_load((tmp_path / "stage" / "stage.yaml").read_text()))
    assert (stage.kind, stage.weights["network"].file, stage.weights["network"].licence) == (
        "map",
        path.name,
        "CC0-1.0",
    )
    assert stage.input == depth_input(SIZE)
    view = photograph(*SIZE)
    tensor, _ = prepare(view, stage.input)
    served = onnxruntime.InferenceSession(path.read_bytes()).run(None, {"image": tensor[None]})[0]
    np.testing.assert_allclose(served[0, 0] * 255, depth_map(view, network, SIZE), atol=0.51)


def test_a_size_that_patches_do_not_fill_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Found size 30 x 42; wanted multiples of 14"):
        export_depth(small_depth(), tmp_path, (30, 42), "")
