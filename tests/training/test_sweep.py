"""Sweeps: every combination once, named by what differs."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from tests.training import tiny_runs
from training.sweep import changed, variants

RECIPE = tiny_runs.recipe("base")


def test_every_combination_is_one_recipe() -> None:
    found = variants(RECIPE, ["schedule.learning_rate=0.1,0.01", "input.size=[16,16],[32, 32]"])
    assert [entry.name for entry in found] == [
        "schedule.learning_rate=0.1, input.size=[16, 16]",
        "schedule.learning_rate=0.1, input.size=[32, 32]",
        "schedule.learning_rate=0.01, input.size=[16, 16]",
        "schedule.learning_rate=0.01, input.size=[32, 32]",
    ]
    assert [entry.recipe.name for entry in found] == ["base_01", "base_02", "base_03", "base_04"]
    assert [entry.recipe.schedule.learning_rate for entry in found] == [0.1, 0.1, 0.01, 0.01]
    assert [entry.recipe.input.size for entry in found] == [(16, 16), (32, 32)] * 2
    for entry in found:
        assert entry.recipe.schedule.batch == RECIPE.schedule.batch
        assert entry.recipe.network == RECIPE.network


def test_arguments_are_swept_too_and_a_new_loss_is_named_by_its_path() -> None:
    (one, two) = variants(RECIPE, ["network.arguments.widths=[4, 8],[8, 16]"])
    assert (one.recipe.network.arguments["widths"], two.recipe.network.arguments["widths"]) == ([4, 8], [8, 16])
    (dice, focal) = variants(RECIPE, ["loss={path: training.losses.dice_bce},{path: training.losses.focal}"])
    assert (dice.name, focal.name) == ("loss=dice_bce", "loss=focal")
    (same,) = variants(RECIPE, ["loss.path=training.losses.focal"])
    assert same.recipe.loss == focal.recipe.loss


@pytest.mark.parametrize("settings", [[], ["l1_lambda=0.1", "l1_lambda=0.2"]])
def test_each_key_is_wanted_once(settings: list[str]) -> None:
    with pytest.raises(ValueError, match="wanted each key once. Mend --set"):
        variants(RECIPE, settings)


@pytest.mark.parametrize("text", ["l1_lambda", "=1", "l1_lambda="])
def test_what_is_no_setting_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=f"Found setting '{text}'; wanted KEY=A,B,C"):
        variants(RECIPE, [text])


def test_keys_that_a_recipe_does_not_have_are_refused() -> None:
    with pytest.raises(ValueError, match="Found key 'lr'; wanted one of name, task"):
        variants(RECIPE, ["lr=0.1"])
    with pytest.raises(ValidationError, match=r"schedule.speed"):
        variants(RECIPE, ["schedule.speed=1"])
    with pytest.raises(ValidationError, match="schedule.epochs"):
        variants(RECIPE, ["schedule.epochs=many"])


def test_one_value_each_changes_a_recipe_and_leaves_its_name() -> None:
    found = changed(RECIPE, ["input.size=[16, 16]", "l1_lambda=0.1"])
    assert (found.name, found.input.size, found.l1_lambda) == ("base", (16, 16), 0.1)
    assert changed(RECIPE, []) is RECIPE
    with pytest.raises(ValueError, match="Found 2 combinations of settings; wanted one value each. Use"):
        changed(RECIPE, ["l1_lambda=0.1,0.2"])
