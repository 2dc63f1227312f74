"""Recipes: those that lie here load, and mistakes are named."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from training.augment import Strength
from training.recipe import Augment, Part, read_recipe, resolve
from training.yolo import is_yolo

FOLDER = Path(__file__).parents[2] / "training" / "recipes"
RECIPES = [path for path in sorted(FOLDER.glob("*.yaml")) if "stages" not in yaml.safe_load(path.read_text())]


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_loads_and_names_things_that_exist(path: Path) -> None:
    recipe = read_recipe(path)
    assert recipe.name == path.stem
    assert callable(resolve(recipe.dataset))
    resolve(recipe.network)(**recipe.network.arguments)
    assert path.read_text().startswith("# ")
    assert f"training/recipes/{path.name}" in path.read_text()


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_no_recipe_trains_on_fold_0_or_starts_from_elsewhere(path: Path) -> None:
    recipe = read_recipe(path)
    assert recipe.test_fold == 0
    assert recipe.start is None
    assert is_yolo(recipe) == ("yolo" in path.stem)


def test_augmentation_has_the_fields_of_strength_and_their_defaults() -> None:
    assert Strength(**Augment().model_dump()) == Strength()


def test_an_unknown_field_is_named(tmp_path: Path) -> None:
    content = yaml.safe_load(RECIPES[0].read_text()) | {"epoch": 3}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(ValidationError, match="epoch\n.*Extra inputs are not permitted"):
        read_recipe(tmp_path / "recipe.yaml")


@pytest.mark.parametrize("path", ["models.nothing.Net", "models.compact_unet.Nothing", "CompactUNet", ""])
def test_a_path_to_nothing_is_named(path: str) -> None:
    with pytest.raises(ImportError, match=f"Found no '{path}'; wanted the dotted path"):
        resolve(Part(path=path))
