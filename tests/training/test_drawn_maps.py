"""A map stage before a segment stage: its maps come from networks without the picture, and the pipeline serves."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from service.engine import Engine, Request
from service.formats.raster import read_raster
from service.stages import Segment
from tests.fakes import identity
from training.cascade import fit_cascade
from training.cascade_plan import Plan
from training.choices import Part, Source
from training.datasets.case import read_grey
from training.drawn_maps import maps_on
from training.evaluate_run import images_of
from training.kinship import learned
from training.map_files import read_maps
from training.predict import predictor
from training.trained import recipe_of

PIPELINE = Path(__file__).parents[2] / "training" / "recipes" / "photo_pipeline.yaml"


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    made = Plan(PIPELINE, tmp_path_factory.mktemp("photo"), source=Source.held_out, small=True)
    fit_cascade(made)
    return made


def test_every_map_is_of_a_network_that_was_not_trained_on_the_picture(plan: Plan) -> None:
    depth, segment = (one.chain for one in plan.stages)
    trained = {case.name for lesson in learned(depth.run, validation=False) for case in lesson.cases}
    maps = read_maps(plan.told)
    assert plan.told == (plan.out / "maps_held_out.json").resolve()
    assert set(maps).isdisjoint(trained)
    assert len(maps) + len(trained) == 10
    assert recipe_of(segment.run).maps == plan.told
    assert recipe_of(segment.run).boxes is None
    told = json.loads(plan.told.with_suffix(".sources.json").read_text())
    assert {run: set(one["cases"]) for run, one in told.items()} == {str(depth.run): set(maps)}


def test_the_maps_are_what_the_network_draws(plan: Plan) -> None:
    recipe = plan.stages[0].chain.last
    case = images_of(recipe, plan.stages[0].chain.data, Part.test).cases[0]
    drawn = read_grey(read_maps(plan.told)[case.name])
    guess = predictor(plan.stages[0].chain.run, device="cpu")(case.read_image())
    assert guess.shape == (1, *drawn.shape)
    # Weights are rounded to 8 bits when they are exported.
    assert np.abs(guess[0] * 255 - drawn).mean() < 3


def test_a_measured_stage_2_is_shown_the_maps_of_stage_1(plan: Plan) -> None:
    chain = plan.stages[1].chain
    shown = images_of(chain.last, chain.data, Part.test).cases
    assert {case.inputs["depth"] for case in shown} <= set(read_maps(plan.told).values())


def test_the_pipeline_answers_with_labels_and_measurements(plan: Plan) -> None:
    engine = Engine.open([plan.out / "pipelines"], "cpu", 1)
    manifest = engine.pipelines()[0].manifest
    assert manifest.stages[1].with_ == ("depth",)
    assert [stage.kind for stage in manifest.stages] == ["map", "segment"]
    case = images_of(plan.stages[1].chain.last, plan.stages[1].chain.data, Part.test).cases[0]
    answer = engine.segment(read_raster(case.image.read_bytes()), Request("photo"))
    assert answer.result.mask.labels.shape == (1, 96, 96)
    names = {one.name for one in answer.measurements}
    assert {"nipple_to_midline_difference", "breast_area_difference", "solidity_left_breast"} <= names


def test_stage_2_alone_needs_the_maps(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"Found no .*maps_folds.json; wanted the maps of stage 1. Train it fi"):
        fit_cascade(Plan(PIPELINE, tmp_path, small=True), only=2)


def test_a_stage_that_draws_no_map_is_refused(plan: Plan) -> None:
    spec = Engine.open([plan.out / "pipelines"], "cpu", 1).pipelines()[0].manifest.stages[1]
    with pytest.raises(ValueError, match="Found a stage that does segment; wanted map. Name one that draws a map."):
        maps_on(Segment(spec, identity((32, 32))), [])
