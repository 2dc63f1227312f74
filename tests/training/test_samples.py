"""Samples: what the networks see in training is what serving shows them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from service.image import Region, crop
from service.preprocess import prepare
from service.stages import looked_at
from tests.training.phantom_busi import SIZE, phantom
from training.datasets.busi import CLASSES
from training.datasets.case import Case
from training.recipe import Recipe
from training.regions import EMPTY_BOX, jittered, lesion_boxes, random_box
from training.samples import Loaded, Samples, load

GRID = Region(0, 0, SIZE[1], SIZE[0])


def recipe(task: str, **changes: Any) -> Recipe:
    content = {
        "name": "small",
        "task": task,
        "network": {"path": "models.compact_unet.CompactUNet"},
        "dataset": {"path": "training.datasets.busi.cases"},
        "input": {
            "size": [32, 48],
            "mean": [0.4],
            "std": [0.25],
            "window": {"kind": "percentile", "low": 1, "high": 99},
        },
        "look": {"square": True, "margin": 0.5, "minimum": 48},
    }
    return Recipe.model_validate(content | changes)


def loaded(categories: Sequence[str] = CLASSES, *, ambiguous: bool = False) -> list[Loaded]:
    """One phantom per category, in memory."""
    drawn = [phantom(seed, category) for seed, category in enumerate(categories)]
    cases = [
        Case(f"{category} {seed}", Path("none.png"), (), category, f"group {seed}", 1, ambiguous)
        for seed, category in enumerate(categories)
    ]
    return [Loaded(case, one.image, one.mask) for case, one in zip(cases, drawn, strict=True)]


@pytest.mark.parametrize("task", ["localise", "segment", "classify"])
@pytest.mark.parametrize("training", [True, False])
def test_every_sample_has_the_networks_shape_and_a_target_from_0_to_1(task: str, training: bool) -> None:
    samples = Samples(loaded(), recipe(task), training=training)
    assert len(samples) == 3
    for index in range(3):
        image, target, category = samples[index]
        assert image.shape == target.shape == (1, 32, 48)
        assert image.dtype == target.dtype == torch.float32
        assert 0 <= target.min() <= target.max() <= 1
        assert category.dtype == torch.int64


def test_validation_shows_what_serving_shows_of_the_whole_picture() -> None:
    spec = recipe("localise").input
    for index, one in enumerate(loaded()):
        image, target, category = Samples(loaded(), recipe("localise"), training=False)[index]
        wanted, _ = prepare(one.image[..., None], spec)
        assert np.array_equal(image.numpy(), wanted)
        assert category == int(one.mask.any())
        assert abs(float(target.mean()) - float(one.mask.mean())) < 1e-3


def test_validation_shows_what_serving_shows_of_a_found_box() -> None:
    """The crop that serving cuts around the true box, prepared as serving prepares it."""
    block = recipe("segment")
    (one,) = loaded(["malignant"])
    image, target, _ = Samples([one], block, training=False)[0]
    region = looked_at(lesion_boxes(one.mask)[0], block.look, one.grid)
    wanted, _ = prepare(crop(one.image[None], region)[0][..., None], block.input)
    assert np.array_equal(image.numpy(), wanted)
    assert abs(float(target.mean()) - float(crop(one.mask[None], region).mean())) < 1e-3


def test_three_channels_are_the_grey_one_repeated() -> None:
    block = recipe("localise", input={"size": [32, 32], "channels": 3})
    image, target, _ = Samples(loaded(), block, training=True)[0]
    assert image.shape == (3, 32, 32)
    assert target.shape == (1, 32, 32)
    assert torch.equal(image[0], image[1])
    assert torch.equal(image[0], image[2])


def test_a_sample_depends_on_seed_epoch_and_index_alone() -> None:
    one, again, other = (Samples(loaded(), recipe("segment"), training=True) for _ in range(3))
    other.epoch = 1
    _ = one[0]  # drawing another sample first must not matter
    assert torch.equal(one[1][0], again[1][0])
    assert not torch.equal(one[1][0], other[1][0])
    reseeded = recipe("segment", schedule={"seed": 5})
    assert not torch.equal(one[1][0], Samples(loaded(), reseeded, training=True)[1][0])


def test_validation_does_not_depend_on_the_epoch() -> None:
    one, other = (Samples(loaded(), recipe("segment"), training=False) for _ in range(2))
    other.epoch = 9
    for index in range(2):
        assert torch.equal(one[index][0], other[index][0])


def test_categories_of_classification() -> None:
    samples = Samples(loaded(), recipe("classify"), training=False)
    assert [int(samples[index][2]) for index in range(3)] == [0, 1, 2]


def test_an_ambiguous_lesion_has_no_category_but_normal_tissue_stays_normal() -> None:
    samples = Samples(loaded(ambiguous=True), recipe("classify"), training=False)
    assert [int(samples[index][2]) for index in range(3)] == [-1, -1, 2]


def test_negatives_look_elsewhere() -> None:
    (one,) = loaded(["benign"])
    always = Samples([one], recipe("segment", negatives=1.0), training=True)
    never = Samples([one], recipe("segment", negatives=0.0), training=True)
    shown: dict[str, list[float]] = {"always": [], "never": []}
    for epoch in range(30):
        always.epoch = never.epoch = epoch
        shown["always"].append(float(always[0][1].sum()))
        shown["never"].append(float(never[0][1].sum()))
    assert min(shown["never"]) > 0
    assert min(shown["always"]) == 0
    assert np.mean(shown["always"]) < 0.6 * np.mean(shown["never"])


def test_a_crop_of_a_malignant_picture_without_its_lesion_is_normal() -> None:
    (one,) = loaded(["malignant"])
    samples = Samples([one], recipe("classify", negatives=1.0), training=True)
    seen = set()
    for epoch in range(40):
        samples.epoch = epoch
        _, target, category = samples[0]
        seen.add(int(category))
        assert (int(category) == CLASSES.index("normal")) == (float(target.mean()) < 0.004) or target.mean() < 0.01
    assert seen == {1, 2}


def test_boxes_of_lesions_come_largest_first_and_tight() -> None:
    mask = np.zeros((40, 50), np.uint8)
    mask[2:6, 3:8] = 1
    mask[20:35, 10:40] = 1
    assert lesion_boxes(mask) == [Region(10, 20, 40, 35), Region(3, 2, 8, 6)]
    assert lesion_boxes(np.zeros((5, 5), np.uint8)) == []


@given(st.integers(0, 2**32 - 1))
def test_a_jittered_box_stays_on_the_grid_and_near_the_true_one(seed: int) -> None:
    box = Region(40, 30, 80, 60)
    moved = jittered(box, GRID, np.random.default_rng(seed))
    assert moved == moved.clipped(GRID)
    assert moved.iou(box) > 0.25
    assert 0.7 * box.width <= moved.width <= 1.4 * box.width


@given(st.integers(0, 2**32 - 1))
def test_a_box_at_the_corner_is_clipped(seed: int) -> None:
    moved = jittered(Region(0, 0, 2, 2), GRID, np.random.default_rng(seed))
    assert moved == moved.clipped(GRID)


@given(st.integers(0, 2**32 - 1), st.integers(2, 300), st.integers(2, 300))
def test_a_random_box_has_a_lesions_size(seed: int, width: int, height: int) -> None:
    grid = Region(0, 0, width, height)
    box = random_box(grid, np.random.default_rng(seed))
    assert box == box.clipped(grid)
    assert box.width <= max(2, EMPTY_BOX[1] * width + 1)


def test_loading_shrinks_to_the_longest_side_asked_for(tmp_path: Path) -> None:
    from tests.training.phantom_busi import write_busi
    from training.datasets.busi import cases

    found = cases(write_busi(tmp_path, 5))
    for full, small in zip(load(found), load(found, 72), strict=True):
        assert full.image.shape == SIZE
        assert small.image.shape == small.mask.shape == (56, 72)
        assert set(np.unique(small.mask)) <= {0, 1}
        assert small.mask.mean() == pytest.approx(full.mask.mean(), abs=0.01)
