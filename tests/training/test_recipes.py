"""Every recipe that comes with the project runs: two steps of its tiny configuration, on drawn phantoms."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import pytest

from training.fit import fit
from training.recipe import Recipe, read_recipe
from training.smoke import smoke
from training.yolo import is_yolo

FOLDER = Path(__file__).parents[2] / "training" / "recipes"
RECIPES = [path for path in sorted(FOLDER.glob("*.yaml")) if "\nstages:" not in path.read_text(encoding="utf-8")]
TRAINED = [path for path in RECIPES if "yolo" not in path.stem]


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("phantoms")


def _two_steps(path: Path) -> Recipe:
    small = smoke(read_recipe(path))
    return small.model_copy(update={"schedule": small.schedule.model_copy(update={"epochs": 1, "batch": 2})})


@pytest.mark.parametrize("path", TRAINED, ids=lambda path: path.stem)
def test_a_recipe_takes_two_steps(path: Path, phantoms: Path, tmp_path: Path) -> None:
    best = fit(_two_steps(path), phantoms, tmp_path / "run", workers=0)
    assert best.is_file()
    with (tmp_path / "run" / "curves.csv").open(encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert math.isfinite(float(row["loss"]))
    assert math.isfinite(float(row["validation"]))


@pytest.mark.parametrize("path", [path for path in RECIPES if path not in TRAINED], ids=lambda path: path.stem)
def test_a_recipe_of_yolo_can_be_made_tiny(path: Path) -> None:
    """Training it takes longer and is tested in `test_yolo`."""
    small = smoke(read_recipe(path))
    assert is_yolo(small)
    assert small.input.size == (64, 64)
