"""What a run leaves behind can be read by people and by the next program."""

from __future__ import annotations

import csv
import json
import os
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import yaml

from tests.training.test_state import recipe
from training import run_folder
from training.distributed import World
from training.recipe import Recipe

HISTORY = [{"loss": 1.0, "learning_rate": 0.1, "validation": 0.2}, {"loss": 0.5, "validation": 0.4, "dice_one": 0.4}]


def test_the_configuration_is_the_whole_recipe(tmp_path: Path) -> None:
    run_folder.describe(tmp_path, recipe(), Path("data"), World(torch.device("cpu")))
    content = yaml.safe_load((tmp_path / "config.yaml").read_text(encoding="utf-8"))
    assert content["optimizer"]["path"] == "torch.optim.AdamW"
    assert Recipe.model_validate(content) == recipe()


def test_the_environment_is_noted(tmp_path: Path) -> None:
    run_folder.describe(tmp_path, recipe(), Path("data"), World(torch.device("cpu"), 0, 3))
    noted = json.loads((tmp_path / "environment.json").read_text(encoding="utf-8"))
    assert noted["seed"] == 0
    assert noted["processes"] == 3
    assert noted["packages"]["torch"].startswith("2.")
    assert set(noted) == {"seed", "data", "revision", "python", "packages", "device", "processes", "threads"}


def test_the_revision_is_that_of_the_repository_and_says_when_files_differ(tmp_path: Path) -> None:
    file = tmp_path / "code.py"
    file.write_text("one = 1\n")
    assert run_folder.revision(file) is None
    names = ("GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL")
    environment = {**os.environ, **dict.fromkeys(names, "nobody"), "GIT_CONFIG_GLOBAL": os.devnull}
    for command in (["init", "-q"], ["add", "code.py"], ["commit", "-q", "-m", "one"]):
        subprocess.run(["git", "-C", tmp_path, *command], check=True, env=environment)
    clean = run_folder.revision(file)
    assert clean is not None
    assert len(clean) == 40
    file.write_text("one = 2\n")
    assert run_folder.revision(file) == f"{clean}+changes"


def test_curves_are_a_row_an_epoch_and_a_picture(tmp_path: Path) -> None:
    run_folder.write_curves(tmp_path, HISTORY)
    with (tmp_path / "curves.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert rows[0]["dice_one"] == ""
    assert float(rows[1]["dice_one"]) == 0.4
    run_folder.draw_curves(tmp_path, HISTORY, "tiny")
    picture = cv2.imread(str(tmp_path / "curves.png"))
    assert picture.shape == (300, 1000, 3)


def test_no_epoch_draws_nothing(tmp_path: Path) -> None:
    run_folder.draw_curves(tmp_path, [], "tiny")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_prediction_is_picture_truth_and_guess_side_by_side(channels: int, tmp_path: Path) -> None:
    image = np.random.default_rng(0).random((channels, 16, 20), np.float32)
    truth, guess = np.zeros((16, 20), np.uint8), np.zeros((16, 20), np.uint8)
    truth[2:5, 3:9], guess[10:12, 4:6] = 1, 7
    run_folder.draw_prediction(tmp_path, "phantom/ 3 (1)", image, truth, guess)
    (path,) = (tmp_path / "predictions").iterdir()
    assert path.name == "phantom_3_(1).png"
    shown, true, guessed = np.split(cv2.imread(str(path)), 3, axis=1)
    assert np.array_equal((shown != true).any(axis=2), truth > 0)
    assert np.array_equal((shown != guessed).any(axis=2), guess > 0)


def test_a_prediction_that_cannot_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "imwrite", lambda *_: False)
    plane = np.zeros((4, 4), np.uint8)
    with pytest.raises(OSError, match="Found no way to write .*one.png; wanted room on the disk"):
        run_folder.draw_prediction(tmp_path, "one", plane[None], plane, plane)
