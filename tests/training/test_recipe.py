"""Recipes: those that lie here load, and mistakes are named."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml
from pydantic import ValidationError

from training.recipe import Part, Recipe, merged, read_recipe, resolve
from training.state import build_network
from training.template import read_template, recipes_of
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
    template = read_template(path)
    recipes = {stage.name: recipes_of(path, stage) for stage in template.stages}
    kinds = {"localise": "detect", "segment": "segment", "labels": "segment", "fuse": "segment"}
    kinds |= {"classify": "classify", "map": "map"}
    for stage in template.stages:
        assert {kinds[one.task] for one in recipes[stage.name]} == {stage.block["kind"]}
        shown = [(one.network, one.dataset, one.input, one.look) for one in recipes[stage.name]]
        assert all(one == shown[0] for one in shown), "a phase goes on where the one before was best"
    assert len({(one.test_fold, one.validation) for phases in recipes.values() for one in phases}) == 1
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


# ---- recipes on recipes ---------------------------------------------------------------------------------------------


def _write(folder: Path, **recipes: object) -> None:
    for name, content in recipes.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(content))


def test_a_recipe_holds_only_what_differs_from_the_one_it_extends(tmp_path: Path) -> None:
    base = yaml.safe_load(PLAIN.read_text())
    _write(
        tmp_path,
        base=base,
        longer={"extends": "base.yaml", "name": "longer", "schedule": {"epochs": 200}},
        longest={"extends": "longer.yaml", "name": "longest", "network": {"arguments": {"dropout": 0.5}}},
    )
    found, under = (read_recipe(tmp_path / f"{name}.yaml") for name in ("longest", "base"))
    assert found.name == "longest"
    assert found.schedule == under.schedule.model_copy(update={"epochs": 200})
    assert found.network.arguments == {**under.network.arguments, "dropout": 0.5}
    assert found.augment == under.augment


def test_another_network_or_kind_replaces_the_whole_block() -> None:
    under = {
        "network": {"path": "a", "arguments": {"widths": 3}},
        "window": {"kind": "percentile", "low": 1},
        "keep": 1,
    }
    over = {"network": {"path": "b"}, "window": {"kind": "full"}}
    assert merged(under, over) == {"network": {"path": "b"}, "window": {"kind": "full"}, "keep": 1}
    assert merged(under, {"network": {"arguments": {"classes": 2}}})["network"] == {
        "path": "a",
        "arguments": {"widths": 3, "classes": 2},
    }


def test_recipes_that_extend_each_other_are_refused(tmp_path: Path) -> None:
    _write(tmp_path, one={"extends": "other.yaml"}, other={"extends": "one.yaml"})
    with pytest.raises(
        ValueError, match="Found that .*one.yaml extends itself through one.yaml, other.yaml; wanted an end"
    ):
        read_recipe(tmp_path / "one.yaml")


def test_a_recipe_that_extends_nothing_is_refused(tmp_path: Path) -> None:
    _write(tmp_path, one={"extends": "gone.yaml"})
    with pytest.raises(FileNotFoundError, match="Found no .*gone.yaml, which .*one.yaml extends; wanted a recipe"):
        read_recipe(tmp_path / "one.yaml")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"task": "labels"}, "task labels needs `classes`: the names of its labels, background first"),
        ({"task": "fuse", "classes": ["background"]}, "task fuse needs `classes`"),
        ({"interest": 3}, r"interest is label 3, wanted 0 to 2"),
        ({"device": "gpu"}, "device"),
        ({"schedule": {"rate": {"kind": "linear"}}}, "schedule.rate.kind"),
    ],
)
def test_what_does_not_fit_together_is_told(changes: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Recipe.model_validate(yaml.safe_load(PLAIN.read_text()) | changes)
