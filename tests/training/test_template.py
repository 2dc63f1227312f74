"""Templates of pipelines: phases, settings of stages, and what cannot be meant."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from tests.training import tiny_export, tiny_runs
from training.export import served
from training.template import Settings, StageTemplate, Template, read_template, recipes_of

RECIPES = Path(__file__).parents[2] / "training" / "recipes"
TEMPLATES = sorted(RECIPES.glob("*_pipeline.yaml"))


def stage(**changes: Any) -> StageTemplate:
    return StageTemplate.model_validate({"name": "segment", "recipe": "a.yaml", "licence": "none"} | changes)


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_every_template_that_comes_along_gives_a_manifest(path: Path) -> None:
    template = read_template(path)
    assert path.stem == f"{template.name}_pipeline"
    manifest = served(template, [recipes_of(path, one)[-1] for one in template.stages])
    assert [one.name for one in manifest.stages] == [one.name for one in template.stages]
    assert manifest.stages[0].name in (manifest.stages[1].on, *manifest.stages[1].with_)
    assert f"fit-cascade training/recipes/{path.name}" in path.read_text(encoding="utf-8")


def test_every_modality_has_a_template() -> None:
    names = [path.stem.removesuffix("_pipeline") for path in TEMPLATES]
    assert names == ["mammography", "mri_compact", "mri", "mri_yolo11n", "photo", "ultrasound"]


@pytest.mark.parametrize("name", ["mri", "mri_compact", "mri_yolo11n"])
def test_what_serves_volumes_has_a_window_of_its_own_for_each_slice(name: str) -> None:
    path = RECIPES / f"{name}_pipeline.yaml"
    for one in read_template(path).stages:
        block = recipes_of(path, one)[-1].input
        assert (block.window.kind, block.letterbox) == ("percentile", True), "full has no meaning for raw voxels"


def test_one_recipe_is_one_phase_and_a_list_are_several() -> None:
    assert stage().recipe == ("a.yaml",)
    assert stage(recipe=["a.yaml", "b.yaml"]).recipe == ("a.yaml", "b.yaml")


def test_the_manifest_gets_what_is_not_of_training() -> None:
    one = stage(train={"epochs": 3}, on="localise", label="lesion", threshold=0.4)
    assert one.block == {"name": "segment", "on": "localise", "label": "lesion", "threshold": 0.4}
    assert (one.on, one.label) == ("localise", "lesion")
    assert (stage().on, stage().label) == ("image", None)


def test_settings_reach_each_phase() -> None:
    settings = Settings.model_validate(
        {"epochs": "5,6", "learning_rate": 0.1, "batch": [3, 4], "l1_lambda": "0,0.5", "size": "64x32"}
    )
    first, second = (settings.of_phase(phase, 2) for phase in (0, 1))
    assert first == {
        "l1_lambda": 0.0,
        "schedule": {"epochs": 5, "learning_rate": 0.1, "batch": 3},
        "input": {"size": [64, 32]},
    }
    assert second["schedule"] == {"epochs": 6, "learning_rate": 0.1, "batch": 4}
    assert second["l1_lambda"] == 0.5
    assert Settings().of_phase(0, 2) == {}


@pytest.mark.parametrize(
    ("text", "size"), [("48", (48, 48)), ("64X32", (64, 32)), (48, (48, 48)), ([64, 32], (64, 32))]
)
def test_a_size_is_a_side_or_height_and_width(text: Any, size: tuple[int, int]) -> None:
    assert Settings.model_validate({"size": text}).size == size


def test_what_is_set_counts_more_than_what_the_template_has() -> None:
    own = Settings(epochs=(5,), checkpoint="last", changes={"negatives": 0.5})
    merged = Settings(epochs=(2,), changes={"l1_lambda": 1}).over(own)
    assert (merged.epochs, merged.checkpoint, merged.changes) == ((2,), "last", {"negatives": 0.5, "l1_lambda": 1})


def test_changes_are_laid_over_the_recipe_of_every_phase(tmp_path: Path) -> None:
    for name in ("one", "two"):
        tiny_export.write_recipe(tiny_runs.recipe(name, "segment"), tmp_path)
    chosen = stage(recipe=["one.yaml", "two.yaml"], train={"changes": {"negatives": 0.5}, "size": 16, "epochs": [1, 2]})
    one, two = recipes_of(tmp_path / "template.yaml", chosen)
    assert (one.negatives, one.input.size, one.schedule.epochs) == (0.5, (16, 16), 1)
    assert (two.negatives, two.input.size, two.schedule.epochs) == (0.5, (16, 16), 2)
    assert two.input.mean == (0.4,)


def test_values_for_other_phases_than_there_are_are_refused() -> None:
    with pytest.raises(ValueError, match="Found 3 values of epochs; wanted one, or one for each of 2 phases"):
        Settings(epochs=(1, 2, 3)).of_phase(0, 2)


@pytest.mark.parametrize("values", [{"epochs": 0}, {"epochs": "a"}, {"size": "64x32x2"}, {"batch": [0]}, {"speed": 1}])
def test_settings_that_cannot_be_meant_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(values))):
        Settings.model_validate(values)


@pytest.mark.parametrize("start", [{"stage": "classify"}, {"stage": "segment", "phase": 2}, {"stage": "segment"}])
def test_a_stage_starts_from_an_earlier_one_that_has_this_phase(start: dict[str, Any], tmp_path: Path) -> None:
    path = tiny_export.write_template(tmp_path, "localise", "segment", "classify")
    content = yaml.safe_load(path.read_text())
    content["stages"][2]["train"] = {"start": start}
    if start == {"stage": "segment"}:
        assert Template.model_validate(content).stages[2].train.start is not None
        return
    with pytest.raises(ValidationError, match=f"stage classify starts from {start['stage']}, which is no earlier"):
        Template.model_validate(content)


def test_the_region_of_a_stage_is_that_of_its_own_choice() -> None:
    template = read_template(RECIPES / "mammography_pipeline.yaml")
    tissue, lesion = template.stages
    assert (tissue.region, lesion.region, lesion.label) == ((), ("adipose", "fibroglandular"), None)
    assert template.canonical_side == "left"
    wide = StageTemplate.model_validate(lesion.model_dump() | {"region": "full"})
    with pytest.raises(ValueError, match="Found stage lesion looking at the whole picture; wanted a region of"):
        _ = wide.region
