"""A cascade as one run: regions that stage 1 never learned from, both stages, a pipeline that serves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from service.engine import Engine, Request
from service.formats.raster import read_raster
from tests.training import tiny_export, tiny_runs
from tests.training.phantom_busi import write_busi
from training.cascade import Plan, _out_of_fold, fit_cascade
from training.choices import Source
from training.datasets.busi import cases
from training.regions import read_boxes
from training.sampling import parts_of
from training.trained import EVENTS, recipe_of
from training.yolo import write_folder

ONCE = {"schedule": {"epochs": 1}}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_busi(tmp_path_factory.mktemp("busi"), 20)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template")
    for stage, task in (("localise", "localise"), ("segment", "segment")):
        tiny_export.write_recipe(tiny_runs.recipe(f"tiny_{stage}", task, validation=0.3), folder)
    return tiny_export.write_template(folder, "localise", "segment")


@pytest.fixture(scope="module")
def plan(data: Path, template: Path, tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """Two folds stay out of it altogether, lest it take too long."""
    out = tmp_path_factory.mktemp("cascade")
    return Plan(template, data, out, Source.folds, ({**ONCE, "excluded": [1, 2]}, ONCE), out / "runs", out / "logs")


@pytest.fixture(scope="module")
def first(plan: Plan) -> Path:
    """Stage 1 alone."""
    return fit_cascade(plan, only=1)


@pytest.fixture(scope="module")
def pipeline(plan: Plan, first: Path) -> Path:
    """Both stages; nobody writes here."""
    assert first == plan.out / "runs" / "localise" / "best.pt"
    assert not (plan.out / "runs" / "segment").exists()
    return fit_cascade(plan, only=2)


def test_every_fold_gets_its_regions_from_a_network_without_it(first: Path, plan: Plan, data: Path) -> None:
    boxes = read_boxes(plan.boxes)
    assert set(boxes) == {case.name for case in cases(data) if case.fold not in (1, 2)}
    for fold in (3, 4):
        recipe = recipe_of(plan.out / "runs" / f"localise_without_{fold}")
        assert recipe.excluded == (1, 2, fold)
        parts = parts_of(recipe, data)
        assert fold not in {case.fold for case in (*parts.train, *parts.validation)}


def test_both_stages_become_a_pipeline_that_serves(pipeline: Path, plan: Plan, data: Path) -> None:
    assert pipeline == plan.out / "pipelines" / "small" / "1.0.0"
    engine = Engine.open([pipeline.parent.parent], "cpu", 1)
    case = cases(data)[0]
    answer = engine.segment(read_raster(case.image.read_bytes()), Request("small", "1.0.0"))
    assert answer.result.mask.labels.shape[1:] == case.read_mask().shape
    stages = yaml.safe_load((pipeline / "manifest.yaml").read_text())["stages"]
    assert [stage["training"]["recipe"] for stage in stages] == ["tiny_localise", "tiny_segment"]


def test_stage_2_learns_on_the_regions_of_stage_1(pipeline: Path, plan: Plan) -> None:
    assert recipe_of(plan.out / "runs" / "segment").boxes == plan.boxes


def test_logs_lie_where_they_are_wanted(pipeline: Path, plan: Plan) -> None:
    for stage in ("localise", "segment"):
        assert list((plan.out / "logs" / stage).glob(EVENTS))
        assert list((plan.out / "runs" / stage).glob(EVENTS))


def test_what_is_finished_stays(pipeline: Path, plan: Plan) -> None:
    before = {path: path.stat().st_mtime_ns for path in (plan.out / "runs").rglob("*.*")}
    fit_cascade(plan, only=1)
    assert {path: path.stat().st_mtime_ns for path in (plan.out / "runs").rglob("*.*")} == before


def test_changes_reach_the_stage_they_are_for(data: Path, template: Path, tmp_path: Path) -> None:
    first = {"schedule": {"epochs": 3, "batch": 4}, "l1_lambda": 0.1, "input": {"size": [16, 16]}}
    one, two = Plan(template, data, tmp_path, changes=(first, ONCE), fold=3).recipes
    assert (one.test_fold, two.test_fold) == (3, 3)
    assert (one.schedule.epochs, one.schedule.batch, one.l1_lambda, one.input.size) == (3, 4, 0.1, (16, 16))
    assert (two.schedule.epochs, two.schedule.batch, two.l1_lambda, two.input.size) == (1, 2, 0, (32, 32))
    assert one.input.mean == two.input.mean


def test_stage_2_alone_needs_the_regions_of_stage_1(data: Path, template: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"Found no .*boxes_folds.json; wanted the regions of stage 1"):
        fit_cascade(Plan(template, data, tmp_path), only=2)


def test_one_fold_alone_cannot_look_at_itself(plan: Plan, first: Path) -> None:
    with pytest.raises(ValueError, match=r"Found fold \[1\] beside test fold 0; wanted at least two"):
        _out_of_fold(plan, [case for case in cases(plan.data) if case.fold == 1], None)


def test_yolo_never_sees_the_folds_that_it_is_to_look_at(data: Path, tmp_path: Path) -> None:
    network = {"path": "training.yolo.YoloPlan", "arguments": {}}
    look = {"size": [32, 32], "mean": [0.0], "std": [1.0]}
    recipe = tiny_runs.recipe("yolo", "localise", network=network, input=look, excluded=[1, 2, 3])
    write_folder(recipe, data, tmp_path)
    written = list((tmp_path / "images").rglob("*.png"))
    assert len(written) == sum(case.fold == 4 for case in cases(data))


def test_a_pipeline_of_one_stage_is_no_cascade(template: Path, plan: Plan, tmp_path: Path) -> None:
    alone = tiny_export.write_template(tmp_path, "localise")
    with pytest.raises(ValueError, match=r"Found localise in .*pipeline.yaml; wanted a second stage on the first one"):
        _ = replace(plan, template=alone).stages


def test_a_change_that_no_recipe_takes_is_refused(plan: Plan) -> None:
    with pytest.raises(ValidationError, match="schedule.epochs"):
        _ = replace(plan, changes=({"schedule": {"epochs": 0}},)).recipes
