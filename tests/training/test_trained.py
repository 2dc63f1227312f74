"""What a run folder tells of its training, and runs that are finished once."""

from __future__ import annotations

import csv
import json
import math
import os
import shutil
from pathlib import Path

import pytest

from tests.training import tiny_runs
from tests.training.tiny_runs import Runs
from training.fit import CHECKPOINT, LAST
from training.recipe import Recipe
from training.trained import (
    EVENTS,
    epochs_within,
    finish,
    finished,
    hardware_of,
    loss_name,
    minutes_of,
    recipe_of,
    trained,
)


def short(name: str = "short", epochs: int = 1) -> Recipe:
    schedule = {"epochs": epochs, "batch": 2, "learning_rate": 0.02, "average": 0.5, "precision": "float32"}
    return tiny_runs.recipe(name, "whole", schedule=schedule)


def test_losses_are_those_of_the_epoch_that_was_kept(runs: Runs) -> None:
    found = trained(runs.whole)
    with (runs.whole / "curves.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    best = max(rows, key=lambda row: float(row["validation"]))
    assert (found.training_loss, found.validation_loss) == (float(best["loss"]), float(best["validation_loss"]))
    assert (found.epochs, found.planned, found.region, found.loss) == (8, 8, "whole", "dice_bce")
    assert trained(runs.crop).region == "crop"
    assert trained(runs.localiser).loss == "dice_bce + 0.5 presence_bce"


def test_minutes_are_those_of_every_attempt(runs: Runs, tmp_path: Path) -> None:
    once = minutes_of(runs.whole)
    assert 0 < once < 5
    for number in (1, 2):
        for events in runs.whole.glob(EVENTS):
            shutil.copyfile(events, tmp_path / f"{events.name}.{number}")
    assert minutes_of(tmp_path) == pytest.approx(2 * once)
    assert math.isnan(minutes_of(tmp_path / "nothing"))


def test_an_event_file_that_breaks_off_counts_as_far_as_it_goes(runs: Runs, tmp_path: Path) -> None:
    (events,) = runs.whole.glob(EVENTS)
    content = events.read_bytes()
    (tmp_path / events.name).write_bytes(content[: len(content) * 2 // 3])
    assert 0 < minutes_of(tmp_path) < minutes_of(runs.whole)


def test_hardware_is_what_the_run_noted(runs: Runs, tmp_path: Path) -> None:
    assert "thread" in hardware_of(runs.whole)
    assert hardware_of(tmp_path) == "not noted"
    noted = {"device": "GPU X", "threads": 4, "processes": 2}
    (tmp_path / "environment.json").write_text(json.dumps(noted))
    assert hardware_of(tmp_path) == "GPU X, 2 processes, 4 threads"


def test_a_loss_is_called_by_its_parts() -> None:
    loss = {"path": "training.losses.dice_ce"}
    terms = {
        "convexity": {"path": "training.losses.x", "weight": 0.1},
        "off": {"path": "training.losses.y", "weight": 0},
    }
    recipe = tiny_runs.recipe("a", loss=loss, terms=terms)
    assert loss_name(recipe) == "dice_ce + 0.1 convexity"
    assert loss_name(recipe.model_copy(update={"loss_weights": "learned"})) == "dice_ce + learned x convexity"
    assert loss_name(tiny_runs.recipe("a", "classify")) == "cross_entropy"


def test_a_folder_without_weights_is_no_run(runs: Runs, tmp_path: Path) -> None:
    shutil.copyfile(runs.whole / "config.yaml", tmp_path / "config.yaml")
    with pytest.raises(FileNotFoundError, match=r"Found no best.pt in .*; wanted a run folder"):
        recipe_of(tmp_path)


def test_a_finished_run_is_left_alone_and_an_interrupted_one_goes_on(small_busi: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    finish(short(), small_busi, run)
    assert finished(run)
    before = os.stat(run / CHECKPOINT).st_mtime_ns
    finish(short(), small_busi, run)
    assert os.stat(run / CHECKPOINT).st_mtime_ns == before
    (run / LAST).unlink()
    assert not finished(run)
    finish(short(), small_busi, run)
    assert finished(run)
    assert trained(run).epochs == 1


def test_a_run_of_another_recipe_is_not_taken_for_this_one(runs: Runs) -> None:
    other = tiny_runs.recipe("whole", validation=0.3)
    with pytest.raises(ValueError, match=r"Found a run in .* whose validation is 0.4; wanted 0.3, as now asked for"):
        finish(other, runs.data, runs.whole)
    same = tiny_runs.recipe("whole", tiny={"a": 1})
    assert finish(same, runs.data, runs.whole) == runs.whole


def test_epochs_fit_the_time_they_are_given(small_busi: Path, tmp_path: Path) -> None:
    long = short("long", epochs=40)
    once = epochs_within(long, small_busi, 1e-6, tmp_path / "pilot")
    assert once == 1
    epoch = minutes_of(tmp_path / "pilot")
    assert epochs_within(long, small_busi, 5.5 * epoch, tmp_path / "pilot") == 5
    assert epochs_within(long, small_busi, 1000, tmp_path / "pilot") == 40
