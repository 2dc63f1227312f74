"""A cascade as one run: regions that stage 1 never learned from, all stages in phases, a pipeline that serves."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from service.engine import BUNDLED, Engine, Request, pipeline_folders
from service.formats.raster import read_raster
from tests.training import tiny_export, tiny_runs
from tests.training.phantom_busi import write_busi
from training import cascade
from training.cascade import _tell_known, fit_cascade
from training.cascade_plan import Plan
from training.choices import Source
from training.datasets.busi import cases
from training.export import export_pipeline
from training.kinship import learned
from training.out_of_fold import Boxes
from training.regions import read_boxes
from training.sampling import parts_of
from training.template import Settings
from training.trained import EVENTS, recipe_of
from training.yolo import write_folder

RECIPES = Path(__file__).parents[2] / "training" / "recipes"
ONCE = {"epochs": 1, "batch": 2, "learning_rate": 0.02, "average": 0, "precision": "float32"}
TASKS = {"localise": "localise", "warm": "segment", "segment": "segment", "classify": "classify"}
STAGES = (
    {"name": "localise", "recipe": "tiny_localise.yaml"},
    {"name": "segment", "recipe": ["tiny_warm.yaml", "tiny_segment.yaml"], "train": {"checkpoint": "last"}},
    {"name": "classify", "recipe": "tiny_classify.yaml", "train": {"start": {"stage": "segment", "phase": 1}}},
)


def stages(*chosen: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"licence": "none", **tiny_export.STAGES[one["name"]], **one} for one in chosen]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_busi(tmp_path_factory.mktemp("busi"), 20)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template")
    for name, task in TASKS.items():
        tiny_export.write_recipe(tiny_runs.recipe(f"tiny_{name}", task, validation=0.3, schedule=ONCE), folder)
    return tiny_export.write_template(folder, stages=stages(*STAGES))


def plan_of(template: Path, data: Path, out: Path, source: Source = Source.folds, **changes: Any) -> Plan:
    """``changes`` are settings by stage."""
    names = [stage["name"] for stage in yaml.safe_load(template.read_text())["stages"]]
    settings = {name: Settings.model_validate({"data": data} | changes.get(name, {})) for name in names}
    return Plan(template, out, settings, source)


@pytest.fixture(scope="module")
def plan(data: Path, template: Path, tmp_path_factory: pytest.TempPathFactory) -> Plan:
    out = tmp_path_factory.mktemp("cascade")
    elsewhere = {"checkpoints": out / "runs" / "stage_1", "logs": out / "logs" / "stage_1"}
    return plan_of(template, data, out, Source.held_out, localise=elsewhere)


@pytest.fixture(scope="module")
def first(plan: Plan) -> Path:
    """Stage 1 alone."""
    return fit_cascade(plan, only=1)


@pytest.fixture(scope="module")
def pipeline(plan: Plan, first: Path) -> Path:
    """All stages; nobody writes here."""
    assert first == plan.out / "runs" / "stage_1" / "best.pt"
    assert not (plan.out / "checkpoints").exists()
    return fit_cascade(plan, only=2)


def test_stage_1_ends_with_regions_on_pictures_that_it_did_not_learn_from(first: Path, plan: Plan) -> None:
    trained = {case.name for lesson in learned(first.parent, validation=False) for case in lesson.cases}
    assert set(read_boxes(plan.told)) == {case.name for case in cases(plan.stages[0].chain.data)} - trained


def test_all_stages_become_a_pipeline_that_serves(pipeline: Path, plan: Plan, data: Path) -> None:
    assert pipeline == plan.out / "pipelines" / "small" / "1.0.0"
    engine = Engine.open([pipeline.parent.parent], "cpu", 1)
    case = cases(data)[0]
    answer = engine.segment(read_raster(case.image.read_bytes()), Request("small", "1.0.0"))
    assert answer.result.mask.labels.shape[1:] == case.read_mask().shape
    found = yaml.safe_load((pipeline / "manifest.yaml").read_text())["stages"]
    assert [stage["training"]["recipe"] for stage in found] == ["tiny_localise", "tiny_segment", "tiny_classify"]


def test_the_card_tells_what_this_run_was_shown(pipeline: Path, data: Path) -> None:
    told = f"folder {data.name}, read as busi"
    manifest = yaml.safe_load((pipeline / "manifest.yaml").read_text())
    assert manifest["evidence"]["data"] == f"{told}, fold 0 never trained on"
    assert {one["weights"]["network"]["licence"] for one in manifest["stages"]} == {f"none (trained on {told})"}
    assert f"{told}, fold 0 never trained on. Licence of the data: that of these folders" in (
        pipeline / "card.md"
    ).read_text(encoding="utf-8")


def test_a_smoke_run_cannot_be_taken_for_what_ships(tmp_path: Path) -> None:
    plan = Plan(RECIPES / "ultrasound_pipeline.yaml", tmp_path, small=True)
    text = cascade._written(plan).read_text(encoding="utf-8")
    content = yaml.safe_load(text)
    assert "BUSI" not in text.replace("training.datasets.busi", "")
    assert (content["name"], content["version"]) == ("ultrasound_own", "0.0.0")
    assert content["evidence"]["data"] == "drawn phantoms of a smoke run, of no use"
    assert content["title"].endswith("(smoke run)")
    assert content["evidence"]["level"] == "demonstration"


SHIPPED = [(path.parent.name, path.name) for path, _ in pipeline_folders()]


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*_pipeline.yaml")), ids=lambda path: path.stem)
def test_no_template_that_comes_along_is_served_in_the_place_of_a_shipped_pipeline(path: Path, tmp_path: Path) -> None:
    own, recipe = Plan(path, tmp_path).naming, yaml.safe_load(path.read_text())
    assert own.name not in {name for name, _ in SHIPPED}
    assert own.version == recipe["version"]
    assert own.name in (recipe["name"], f"{recipe['name']}_own")


def test_name_and_version_may_be_chosen_but_not_those_of_what_ships(template: Path, data: Path, tmp_path: Path) -> None:
    plan = plan_of(template, data, tmp_path)
    assert plan.naming.model_dump() == {"name": "small", "version": "1.0.0"}
    assert replace(plan, name="mine", version="2.1.0").naming.model_dump() == {"name": "mine", "version": "2.1.0"}
    name, version = SHIPPED[0]
    assert replace(plan, name=name, version="99.0.0").naming.name == name
    with pytest.raises(
        ValueError, match=rf"Found {name} {version}, which comes with the service; wanted a pipeline of"
    ):
        _ = replace(plan, name=name, version=version).stages
    with pytest.raises(ValidationError, match="version"):
        _ = replace(plan, version="1").stages


def test_what_takes_a_shipped_name_is_called_otherwise_and_stands_beside_it(
    pipeline: Path, plan: Plan, data: Path, tmp_path: Path
) -> None:
    name = SHIPPED[0][0]
    content = yaml.safe_load((plan.out / "recipes" / "pipeline.yaml").read_text()) | {"name": name}
    for recipe in (plan.out / "recipes").glob("tiny_*.yaml"):
        (tmp_path / recipe.name).write_text(recipe.read_text())
    (tmp_path / "pipeline.yaml").write_text(yaml.safe_dump(content))
    again = replace(plan, template=tmp_path / "pipeline.yaml", out=tmp_path / "out")
    weights = {stage.name: [stage.weights] for stage in plan.stages}
    made = export_pipeline(cascade._written(again), weights, tmp_path / "pipelines")
    assert made == tmp_path / "pipelines" / f"{name}_own" / "1.0.0"
    assert yaml.safe_load((made / "manifest.yaml").read_text())["title"] == "Small (own training)"
    engine = Engine.open([BUNDLED, tmp_path / "pipelines"], "cpu", 1)
    listed = {(one.manifest.name, one.manifest.version): one.default for one in engine.pipelines()}
    assert listed == {**dict.fromkeys(SHIPPED, True), (f"{name}_own", "1.0.0"): True}
    picture = read_raster(cases(data)[0].image.read_bytes())
    for asked in (name, f"{name}_own"):
        assert engine.segment(picture, Request(asked)).manifest.name == asked


def test_stage_2_learns_on_the_regions_of_stage_1_in_every_phase(pipeline: Path, plan: Plan) -> None:
    runs = plan.out / "checkpoints"
    assert recipe_of(runs / "segment_phase1").boxes == recipe_of(runs / "segment").boxes == plan.told
    assert recipe_of(runs / "segment").start == (runs / "segment_phase1" / "best.pt").resolve()
    assert recipe_of(runs / "classify").start == (runs / "segment_phase1" / "best.pt").resolve()
    assert recipe_of(runs / "classify").boxes is None
    assert [stage.weights.name for stage in plan.stages] == ["best.pt", "last.pt", "best.pt"]


def test_a_stage_may_have_folders_of_its_own(pipeline: Path, plan: Plan) -> None:
    for folder in ("logs", "runs"):
        assert list((plan.out / folder / "stage_1").glob(EVENTS))


def test_what_is_finished_stays(pipeline: Path, plan: Plan) -> None:
    before = {path: path.stat().st_mtime_ns for path in plan.out.rglob("*.*")}
    fit_cascade(plan, only=1)
    assert {path: path.stat().st_mtime_ns for path in plan.out.rglob("*.*")} == before


def test_what_was_trained_is_written_down_so_that_it_can_be_exported_again(pipeline: Path, plan: Plan) -> None:
    written = yaml.safe_load((plan.out / "recipes" / "pipeline.yaml").read_text())
    assert [stage["recipe"] for stage in written["stages"]] == [f"tiny_{name}.yaml" for name in tiny_export.STAGES]
    assert not any("train" in stage for stage in written["stages"])


def test_changes_reach_the_stage_they_are_for(data: Path, template: Path, tmp_path: Path) -> None:
    changes = {"epochs": 3, "batch": 4, "l1_lambda": 0.1, "size": "16x32", "learning_rate": 0.5}
    plan = replace(plan_of(template, data, tmp_path, localise=changes, segment={"epochs": "4,5"}), fold=3)
    one, two, three = (stage.chain for stage in plan.stages)
    assert {recipe.test_fold for chain in (one, two, three) for recipe in chain.phases} == {3}
    assert (one.last.schedule.epochs, one.last.schedule.batch, one.last.schedule.learning_rate) == (3, 4, 0.5)
    assert (one.last.l1_lambda, one.last.input.size) == (0.1, (16, 32))
    assert [recipe.schedule.epochs for recipe in two.phases] == [4, 5]
    assert (two.last.schedule.batch, two.last.l1_lambda, two.last.input.size) == (2, 0, (32, 32))
    assert (three.last.schedule.epochs, one.last.input.mean) == (1, two.last.input.mean)


def test_a_smoke_run_is_small_and_needs_no_data(tmp_path: Path) -> None:
    recipes = Path(__file__).parents[2] / "training" / "recipes"
    for path in sorted(recipes.glob("*_pipeline.yaml")):
        plan = Plan(path, tmp_path, small=True)
        assert {stage.chain.data for stage in plan.stages} == {tmp_path / "phantoms"}
        assert {recipe.schedule.epochs for stage in plan.stages for recipe in stage.chain.phases} == {2}
        second = plan.stages[1].chain.last
        assert plan.told == (second.maps if plan.maps_asked else second.boxes)


def test_stage_2_alone_needs_the_regions_of_stage_1(data: Path, template: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"Found no .*boxes_folds.json; wanted the regions of stage 1"):
        fit_cascade(plan_of(template, data, tmp_path), only=2)


def test_films_that_stage_1_knows_in_the_test_part_of_stage_2_are_told(
    plan: Plan, caplog: pytest.LogCaptureFixture
) -> None:
    second, lesson = plan.stages[1].chain, learned(plan.stages[0].chain.run)[0]
    boxes, tested = Boxes(lesson), parts_of(second.last, second.data).test
    with caplog.at_level(logging.WARNING, "breast_cascade.training"):
        _tell_known(plan, boxes)
        assert not caplog.records
        boxes.known = {tested[0].name: list(lesson.cases[:1])}
        _tell_known(plan, boxes)
    assert f"1 pictures of the test part of stage segment, the first {tested[0].name}, show what stage" in caplog.text


def test_yolo_never_sees_the_folds_that_it_is_to_look_at(data: Path, tmp_path: Path) -> None:
    network = {"path": "training.yolo.YoloPlan", "arguments": {}}
    look = {"size": [32, 32], "mean": [0.0], "std": [1.0]}
    recipe = tiny_runs.recipe("yolo", "localise", network=network, input=look, excluded=[1, 2, 3])
    write_folder(recipe, data, tmp_path)
    written = list((tmp_path / "images").rglob("*.png"))
    assert len(written) == sum(case.fold == 4 for case in cases(data))


def test_what_cannot_become_a_pipeline_is_refused_before_anything_is_trained(
    template: Path, data: Path, tmp_path: Path
) -> None:
    folder = template.parent
    alone = tiny_export.write_template(tmp_path, stages=stages(STAGES[0]))
    with pytest.raises(ValueError, match=r"Found localise in .*pipeline.yaml; wanted a second stage on the first one"):
        _ = plan_of(alone, data, tmp_path).stages
    with pytest.raises(FileNotFoundError, match="Found no data for stage localise; wanted the folder of its data set"):
        _ = Plan(template, tmp_path).stages
    with pytest.raises(FileNotFoundError, match=r"Found no folder .*gone for stage localise"):
        _ = plan_of(template, tmp_path / "gone", tmp_path).stages
    with pytest.raises(ValueError, match="Found settings of stage lesion; wanted one of localise, segment, classify"):
        _ = Plan(template, tmp_path, {"lesion": Settings()}).stages
    (tmp_path / "wrong").mkdir()
    for path in folder.glob("tiny_*.yaml"):
        (tmp_path / "wrong" / path.name).write_text(path.read_text())
    wrong = tiny_export.write_template(
        tmp_path / "wrong", stages=stages(STAGES[0], STAGES[1] | {"label": "muscle"}, STAGES[2])
    )
    with pytest.raises(ValidationError, match="stage segment wants label muscle, which localise does not give"):
        _ = plan_of(wrong, data, tmp_path).stages


def test_a_change_that_no_recipe_takes_is_refused(template: Path, data: Path, tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="schedule.weight"):
        _ = plan_of(template, data, tmp_path, segment={"changes": {"schedule": {"weight": 1}}}).stages
