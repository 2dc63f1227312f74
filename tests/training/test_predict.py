"""A run folder predicts on a picture's own grid what its network gives for exactly the input of training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from service.image import Point, Region
from service.preprocess import prepare
from tests.training.test_state import recipe
from training.datasets.case import Case
from training.distributed import World
from training.phantoms.tiny import cases
from training.predict import Predictor, predictor
from training.prompts import points_of_box
from training.recipe import Recipe
from training.run_folder import describe
from training.samples import Samples, load
from training.state import build_network

SIZE = 64
CPU = torch.device("cpu")


def made(**changes: Any) -> Predictor:
    """An untrained network of a recipe, whose input is as large as the picture."""
    block: Recipe = recipe(**{"input": {"size": [SIZE, SIZE], "window": {"kind": "full"}}, **changes})
    return Predictor(block, build_network(block).eval(), CPU)


def picture(seed: int = 0, *channels: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (SIZE, SIZE, *channels), np.uint8)


def sigmoid(logits: torch.Tensor) -> np.ndarray:
    return torch.sigmoid(logits).detach().numpy()


def test_a_whole_picture_is_predicted_from_what_training_validates_on(tmp_path: Path) -> None:
    one = load(cases(tmp_path, kind="mri", count=2))[1]
    predict = made(input={"size": [32, 32], "window": {"kind": "full"}})
    image, _, _ = Samples([one], predict.recipe, training=False)[0]
    wanted = sigmoid(predict.network(image[None]))[0, 0]
    found = predict(one.image)
    assert found.shape == (1, *one.image.shape)
    assert found.dtype == np.float32
    small = cv2.resize(found[0], (32, 32), interpolation=cv2.INTER_AREA)
    assert np.abs(small - wanted).max() < 0.02


def test_at_the_networks_own_size_nothing_is_resized() -> None:
    predict = made()
    wanted = sigmoid(predict.network(torch.tensor(picture()[None, None] / 255).float()))
    np.testing.assert_allclose(predict(picture()), wanted[0], atol=1e-6)


def test_labels_are_probabilities_with_the_background_first() -> None:
    predict = made(
        task="labels",
        classes=["background", "one", "two"],
        network={"path": "models.unet.tiny", "arguments": {"classes": 3}},
    )
    found = predict(picture())
    assert found.shape == (3, SIZE, SIZE)
    np.testing.assert_allclose(found.sum(axis=0), 1, atol=1e-5)


def test_regions_are_pasted_and_the_likeliest_counts() -> None:
    predict = made(task="segment")
    one, other = Region(4, 4, 36, 36), Region(20, 20, 60, 60)
    first, second, both = (predict(picture(), boxes=boxes)[0] for boxes in ([one], [other], [one, (20, 20, 60, 60)]))
    assert (first > 0).any()
    outside = np.ones((SIZE, SIZE), bool)
    outside[one.slices[1:]] = False
    assert (first[outside] == 0).all()
    np.testing.assert_array_equal(both, np.maximum(first, second))
    assert not predict(picture(), boxes=[]).any()


def test_masked_out_pictures_are_predicted_whole() -> None:
    predict = made(task="segment", region="mask_out")
    box = Region(10, 10, 40, 40)
    black = np.zeros_like(picture())
    black[box.slices[1:]] = picture()[box.slices[1:]]
    np.testing.assert_array_equal(predict(picture(), boxes=[box]), made()(black))


def test_a_network_that_looks_at_regions_wants_boxes() -> None:
    with pytest.raises(ValueError, match="Found no boxes for tiny; wanted those of a localiser"):
        made(task="segment")(picture())


def test_a_classifier_gives_a_score_for_each_class() -> None:
    network = {"path": "models.vgg16.tiny", "arguments": {"in_channels": 1}}
    whole = made(task="classify", region="whole", network=network)(picture())
    assert whole.shape == (3,)
    assert whole.sum() == pytest.approx(1, abs=1e-5)
    crop = made(task="classify", network=network, look={"margin": 0.1})
    assert not np.array_equal(crop(picture(), boxes=[Region(4, 4, 20, 20)]), whole)


def test_a_prompted_network_is_told_a_box() -> None:
    block = {"size": [SIZE, SIZE], "channels": 3, "window": {"kind": "full"}}
    predict = made(task="prompt", network={"path": "models.sam.tiny"}, input=block)
    boxes = [Region(4, 4, 20, 20), Region(30, 30, 60, 60)]
    one, other, both = (predict(picture(), boxes=told) for told in ([boxes[0]], [boxes[1]], boxes))
    assert one.shape == (1, SIZE, SIZE)
    assert not np.array_equal(one, other)
    np.testing.assert_array_equal(both, np.maximum(one, other))


def test_a_network_taught_by_points_is_told_points() -> None:
    block = {"size": [SIZE, SIZE], "channels": 3, "window": {"kind": "full"}}
    sam = {"task": "prompt", "network": {"path": "models.sam.tiny"}, "input": block}
    pointed, boxed = made(**sam, prompts={"points": 2, "box": False}), made(**sam)
    pointed = replace(pointed, network=boxed.network)
    box, points = Region(4, 4, 20, 20), [Point(9, 9), Point(12, 15)]
    image, _ = prepare(picture()[..., None], pointed.recipe.input)
    labels = torch.tensor([[1.0, 1.0, -1.0, -1.0]])
    places = torch.tensor([[[9.0, 9.0], [12.0, 15.0], [0.0, 0.0], [0.0, 0.0]]])
    wanted = sigmoid(boxed.network(torch.from_numpy(image)[None], places, labels))[0]
    found = pointed(picture(), boxes=[box], points=[points])
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert not np.allclose(found, boxed(picture(), boxes=[box]), atol=1e-4), "it was measured by boxes once"
    # Without any, the middle of the box and what is deepest beside it.
    own = points_of_box(box, 2)
    assert own[0] in (Point(11, 11), Point(12, 12), Point(11, 12), Point(12, 11))
    np.testing.assert_array_equal(pointed(picture(), boxes=[box]), pointed(picture(), boxes=[box], points=[own]))
    with pytest.raises(ValueError, match="Found points of 2 objects for 1 boxes; wanted some for each. Pair them"):
        pointed(picture(), boxes=[box], points=[points, points])


def test_fusion_needs_depth() -> None:
    predict = made(
        task="fuse",
        classes=["background", "one"],
        network={"path": "models.sam_depth_fusion.tiny", "arguments": {"classes": 2}},
        input={"size": [SIZE, SIZE], "channels": 3, "window": {"kind": "full"}},
    )
    found = predict(picture(0, 3), depth=picture(1))
    assert found.shape == (2, SIZE, SIZE)
    assert not np.array_equal(found, predict(picture(0, 3), depth=picture(2)))
    with pytest.raises(ValueError, match="Found no depth for tiny; wanted a map beside the picture"):
        predict(picture(0, 3))


def test_probabilities_are_cut_to_0_to_1() -> None:
    head = {"path": "models.unet.tiny", "arguments": {"head": "relu_mse"}}
    found = made(network=head, probabilities=True)(picture())
    assert 0 <= found.min() <= found.max() <= 1


def test_a_localiser_tells_whether_anything_is_there() -> None:
    network = {"path": "models.compact_unet.CompactUNet", "arguments": {"widths": [4, 8, 8], "presence": 1}}
    predict = made(task="localise", network=network)
    assert 0 < predict.presence(picture()) < 1
    assert predict(picture()).shape == (1, SIZE, SIZE)
    with pytest.raises(ValueError, match="Found task whole; wanted localise, which alone tells it"):
        made().presence(picture())


def test_a_run_folder_is_opened_by_its_best_weights(tmp_path: Path) -> None:
    block = recipe(start=Path("gone.pt"))
    describe(tmp_path, block, Path("data"), World(CPU))
    network = build_network(block, start=False)
    torch.save(network.state_dict(), tmp_path / "best.pt")
    found = predictor(tmp_path, device="cpu")(picture())
    np.testing.assert_array_equal(found, Predictor(block, network.eval(), CPU)(picture()))


def test_what_is_no_run_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"Found no config.yaml in .*; wanted a run folder"):
        predictor(tmp_path)
    describe(tmp_path, recipe(), Path("data"), World(CPU))
    with pytest.raises(FileNotFoundError, match=r"Found no last.pt in .*; wanted a run folder"):
        predictor(tmp_path, weights="last.pt")


def test_cases_of_a_data_set_are_predicted_as_they_are_read(tmp_path: Path) -> None:
    case: Case = cases(tmp_path, kind="photograph", count=1)[0]
    block = {"size": [32, 32], "channels": 3, "window": {"kind": "full"}, "letterbox": True}
    network = {"path": "models.unet.tiny", "arguments": {"in_channels": 3}}
    assert made(network=network, input=block)(case.read_image()).shape == (1, *case.read_mask().shape)
