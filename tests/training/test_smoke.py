"""Tiny phantoms have the truth they claim, and a smoke run takes nothing of a recipe that is big or far away."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.training.test_state import recipe
from training.phantoms.tiny import DRAWERS, cases
from training.recipe import read_recipe
from training.samples import load
from training.smoke import smoke

FOLDER = Path(__file__).parents[2] / "training" / "recipes"


@pytest.mark.parametrize("kind", DRAWERS)
def test_phantoms_are_the_same_every_time_and_have_a_truth(kind: str, tmp_path: Path) -> None:
    one, again = (load(cases(tmp_path / name, kind=kind, count=4), inputs=("depth",)) for name in ("a", "b"))
    labels = {"tissue": 4, "photograph": 6, "photograph_merged": 4}.get(kind, 2)
    for drawn, same in zip(one, again, strict=True):
        assert np.array_equal(drawn.image, same.image)
        assert np.array_equal(drawn.mask, same.mask)
        assert drawn.image.ndim == (3 if kind.startswith("photograph") else 2)
        assert set(np.unique(drawn.mask)) <= set(range(labels))
        assert ("depth" in drawn.inputs) == kind.startswith("photograph")
    assert set(np.unique(np.stack([drawn.mask for drawn in one]))) == set(range(labels))
    assert not np.array_equal(one[0].image, one[1].image)


def test_normal_slices_show_no_tumour(tmp_path: Path) -> None:
    for one in load(cases(tmp_path, kind="mri", count=6)):
        assert one.mask.any() == (one.case.category != "normal")


def test_phantoms_of_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Found phantoms of 'x-ray'; wanted one of ultrasound, mammogram"):
        cases(tmp_path, kind="x-ray")


def test_a_smoke_run_is_small_and_near() -> None:
    read = read_recipe(FOLDER / "photo_fusion_sides.yaml")
    small = smoke(read.model_copy(update={"start": Path("far.pt"), "device": "cuda"}))
    assert small.network.arguments == {"classes": 6, "mode": "two_way"}
    assert small.dataset.path == "training.phantoms.tiny.cases"
    assert (small.start, small.device, small.input.size, small.schedule.epochs) == (None, "cpu", (64, 64), 2)
    # What the recipe is about stays.
    assert (small.terms, small.swaps, small.optimizer) == (read.terms, read.swaps, read.optimizer)


def test_a_recipe_that_does_not_say_how_to_be_small_is_refused() -> None:
    with pytest.raises(ValueError, match="Found no `tiny` block in recipe tiny; wanted the overrides of a smoke run"):
        smoke(recipe())
