"""Recipes: those that lie here load, and mistakes are named."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml
from pydantic import ValidationError

from service.yaml12 import read_yaml
from training.export import Template
from training.recipe import Part, read_recipe, resolve
from training.state import build_network
from training.yolo import is_yolo

FOLDER = Path(__file__).parents[2] / "training" / "recipes"
TEMPLATES = [path for path in sorted(FOLDER.glob("*.yaml")) if "stages" in yaml.safe_load(path.read_text())]
RECIPES = [path for path in sorted(FOLDER.glob("*.yaml")) if path not in TEMPLATES]
PLAIN = FOLDER / "ultrasound_localiser.yaml"


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_loads_and_names_things_that_exist(path: Path) -> None:
    recipe = read_recipe(path)
    assert recipe.name == path.stem
    assert callable(resolve(recipe.dataset))
    if is_yolo(recipe):
        resolve(recipe.network)(**recipe.network.arguments)
    else:
        # Sizes without memory; weights to start from lie elsewhere.
        with torch.device("meta"):
            build_network(recipe, start=False)
    assert path.read_text().startswith("# ")
    assert f"training/recipes/{path.name}" in path.read_text()


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_no_recipe_trains_on_fold_0_or_starts_from_elsewhere(path: Path) -> None:
    recipe = read_recipe(path)
    assert recipe.test_fold == 0
    assert recipe.excluded == ()
    assert recipe.start is None
    assert is_yolo(recipe) == ("yolo" in path.stem)


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_every_template_names_recipes_that_exist_and_fit_its_stages(path: Path) -> None:
    template = Template.model_validate(read_yaml(path.read_text(encoding="utf-8")))
    recipes = {stage.name: read_recipe(path.parent / stage.recipe) for stage in template.stages}
    kinds = {"localise": "detect", "segment": "segment", "classify": "classify"}
    for stage in template.stages:
        assert (stage.model_extra or {})["kind"] == kinds[recipes[stage.name].task]
    assert len({(one.test_fold, one.validation) for one in recipes.values()}) == 1
    assert f"training/recipes/{path.name}" in path.read_text()


def test_an_unknown_field_is_named(tmp_path: Path) -> None:
    content = yaml.safe_load(PLAIN.read_text()) | {"epoch": 3}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(ValidationError, match="epoch\n.*Extra inputs are not permitted"):
        read_recipe(tmp_path / "recipe.yaml")


@pytest.mark.parametrize("path", ["models.nothing.Net", "models.compact_unet.Nothing", "CompactUNet", ""])
def test_a_path_to_nothing_is_named(path: str) -> None:
    with pytest.raises(ImportError, match=f"Found no '{path}'; wanted the dotted path"):
        resolve(Part(path=path))


@pytest.mark.parametrize(("field", "value"), [("name", "../tiny"), ("name", "Tiny"), ("test_fold", -1)])
def test_a_name_that_is_no_file_name_and_a_fold_below_0_are_refused(field: str, value: object, tmp_path: Path) -> None:
    content = yaml.safe_load(PLAIN.read_text()) | {field: value}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(ValidationError, match=field):
        read_recipe(tmp_path / "recipe.yaml")
