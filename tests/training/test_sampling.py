"""Which cases an epoch shows: each once or by weight, shared out among processes, always the same for one seed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from training.distributed import World
from training.phantoms.tiny import cases
from training.recipe import Recipe
from training.samples import Loaded, Stored, load
from training.sampling import Order, balance, loaders, parts_of, taught

ALONE = World(torch.device("cpu"))


def recipe(**changes: Any) -> Recipe:
    content = {
        "name": "tiny",
        "task": "whole",
        "network": {"path": "models.unet.tiny"},
        "dataset": {"path": "training.phantoms.tiny.cases", "arguments": {"kind": "mri"}},
        "input": {"size": [32, 32]},
        "schedule": {"batch": 2},
        "validation": 0.37,
    }
    return Recipe.model_validate(content | changes)


def order(count: int, weights: list[float] | None, rank: int = 0, size: int = 1) -> list[int]:
    world = World(torch.device("cpu"), rank, size)
    return list(Order(count, weights, torch.Generator().manual_seed(5), world))


@given(st.integers(1, 40), st.integers(1, 4))
def test_processes_share_an_epoch_without_overlap(count: int, size: int) -> None:
    shares = [order(count, None, rank, size) for rank in range(size)]
    assert {len(share) for share in shares} == {count // size}
    together = [index for share in shares for index in share]
    assert len(set(together)) == len(together)
    assert set(together) <= set(range(count))
    # Side by side they are what one process would see.
    assert [one for row in zip(*shares, strict=True) for one in row] == order(count, None)[: len(together)]


@pytest.mark.parametrize(("sampling", "kinds"), [("lesion_balanced", 2), ("class_balanced", 3)])
def test_balanced_sampling_shows_each_kind_as_often(sampling: str, kinds: int, tmp_path: Path) -> None:
    loaded = load(cases(tmp_path, kind="mri", count=12))[:7]
    weights = balance(recipe(sampling=sampling), loaded)
    assert weights is not None
    generator = torch.Generator().manual_seed(1)
    drawn = [index for _ in range(300) for index in Order(7, weights, generator, ALONE)]
    seen = Counter(_kind(loaded[index], sampling) for index in drawn)
    assert len(seen) == kinds
    assert max(seen.values()) / min(seen.values()) < 1.25


def _kind(one: Loaded, sampling: str) -> Any:
    return one.case.category if sampling == "class_balanced" else bool(one.mask.any())


def test_no_balance_means_no_weights(tmp_path: Path) -> None:
    assert balance(recipe(), load(cases(tmp_path, kind="mri", count=3))) is None


def test_only_chosen_categories_are_trained_and_validated_on(tmp_path: Path) -> None:
    every, some = (parts_of(recipe(categories=wanted), tmp_path) for wanted in (None, ["benign"]))
    assert {case.category for case in (*some.train, *some.validation)} == {"benign"}
    assert some.test == every.test
    assert set(some.train) < set(every.train)


def test_excluded_folds_are_in_no_part(tmp_path: Path) -> None:
    parts = parts_of(recipe(excluded=[2, 3]), tmp_path)
    assert {case.fold for case in (*parts.train, *parts.validation)} == {1, 4}
    assert {case.fold for case in parts.test} == {0}


def test_a_segmenter_without_negatives_sees_no_normal_pictures(tmp_path: Path) -> None:
    every = parts_of(recipe(), tmp_path).train
    assert {case.category for case in taught(recipe(task="segment", negatives=0.0), every)} == {"benign", "malignant"}
    assert taught(recipe(task="segment"), every) == list(every)


def test_reading_when_needed_gives_what_lies_in_memory(tmp_path: Path) -> None:
    listed = cases(tmp_path, kind="photograph", count=3)
    stored = Stored(listed, 48, ("depth",))
    assert len(stored) == 3
    for one, other in zip(stored, load(listed, 48, ("depth",)), strict=True):
        assert np.array_equal(one.image, other.image)
        assert np.array_equal(one.mask, other.mask)
        assert np.array_equal(one.inputs["depth"], other.inputs["depth"])
        assert one.image.shape == (48, 48, 3)
    small = loaders(recipe(in_memory=False), tmp_path, 0, ALONE)
    for one, other in zip(small.train, loaders(recipe(), tmp_path, 0, ALONE).train, strict=True):
        assert all(torch.equal(*pair) for pair in zip(one, other, strict=True))


def test_a_data_set_is_told_which_argument_it_does_not_take(tmp_path: Path) -> None:
    odd = recipe(dataset={"path": "training.phantoms.tiny.cases", "arguments": {"kinds": "mri"}})
    with pytest.raises(
        ValueError, match="Found dataset training.phantoms.tiny.cases with kinds, which it does not take"
    ):
        loaders(odd, tmp_path, 0, ALONE)
