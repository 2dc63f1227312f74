"""Measuring a run: what is written is what was predicted, and finished work is not done twice."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from service.image import Region
from tests.training.tiny_runs import Runs
from training.choices import Part, Regions
from training.evaluate import true_boxes
from training.evaluate_run import (
    PREDICTIONS,
    SCORES,
    SUMMARY,
    Images,
    evaluate_run,
    images_of,
    natural_regions,
    prediction_of,
    read_calibration,
    read_prediction,
)
from training.metrics.overlap import dice
from training.predict import predictor
from training.scores import read_scores
from training.trained import recipe_of


@pytest.fixture(scope="module")
def images(runs: Runs) -> Images:
    return images_of(recipe_of(runs.whole), runs.data, Part.test)


@pytest.fixture(scope="module")
def measured(runs: Runs, images: Images, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run on whole pictures, measured; nobody writes here."""
    out = tmp_path_factory.mktemp("measured")
    evaluate_run(runs.whole, images, out)
    return out


def test_the_test_part_is_the_fold_that_was_kept(runs: Runs, images: Images) -> None:
    assert images.name == "BUSI fold 0"
    assert {case.fold for case in images.cases} == {0}
    validation = images_of(recipe_of(runs.whole), runs.data, Part.validation)
    assert validation.name == "validation part beside BUSI fold 0"
    assert not {case.group for case in validation.cases} & {case.group for case in images.cases}


def test_a_fold_without_cases_cannot_be_measured(runs: Runs) -> None:
    recipe = recipe_of(runs.whole).model_copy(update={"test_fold": 7})
    with pytest.raises(ValueError, match="Found no case in BUSI fold 7; wanted at least one"):
        images_of(recipe, runs.data, Part.test)


def test_every_prediction_is_an_indexed_picture_on_the_images_grid(runs: Runs, images: Images, measured: Path) -> None:
    assert len(list((measured / PREDICTIONS).iterdir())) == len(images.cases)
    network = predictor(runs.whole, device="cpu")
    for case in images.cases:
        with Pillow.open(prediction_of(measured, case)) as picture:
            assert picture.mode == "P"
        labels = read_prediction(measured, case)
        assert np.array_equal(labels, network(case.read_image())[0] > 0.5)


def test_scores_are_those_of_the_predictions(images: Images, measured: Path) -> None:
    rows = {row.image: row for row in read_scores(measured / SCORES)}
    assert set(rows) == {case.name for case in images.cases}
    for case in images.cases:
        guess, truth = read_prediction(measured, case) > 0, case.read_mask() > 0
        row = rows[case.name]
        assert row.dice == pytest.approx(dice(guess, truth), rel=1e-5)
        assert (row.mask_px, row.truth_px, row.category) == (guess.sum(), truth.sum(), case.category)


def test_the_summary_says_on_what_by_what_and_how_well(runs: Runs, images: Images, measured: Path) -> None:
    content = json.loads((measured / SUMMARY).read_text())
    assert (content["run"], content["recipe"], content["on"], content["regions"]) == (
        "whole",
        "whole",
        images.name,
        "none",
    )
    assert "both empty: 1" in content["convention"]
    every = content["labels"]["lesion"][0]
    values = [row.dice for row in read_scores(measured / SCORES)]
    assert every["figures"]["dice"]["value"] == pytest.approx(np.mean(values), rel=1e-4)
    bins = read_calibration(measured)
    assert bins.counts.sum() == sum(case.read_mask().size for case in images.cases)
    assert content["calibration"]["error"] == pytest.approx(bins.error, abs=1e-6)


def test_what_is_finished_is_read_and_what_changed_is_measured_anew(
    runs: Runs, images: Images, measured: Path, tmp_path: Path
) -> None:
    shutil.copytree(measured, tmp_path / "out")
    path = tmp_path / "out" / SCORES
    path.write_text(path.read_text().replace("benign", "marked"))
    assert "marked" in evaluate_run(runs.whole, images, tmp_path / "out")[0].image
    assert "marked" not in evaluate_run(runs.whole, images, tmp_path / "out", Regions.truth)[0].image
    shutil.copytree(runs.whole, tmp_path / "whole")
    shutil.copyfile(runs.whole / "last.pt", tmp_path / "whole" / "best.pt")
    path.write_text(path.read_text().replace("benign", "marked"))
    assert "marked" not in evaluate_run(tmp_path / "whole", images, tmp_path / "out", Regions.truth)[0].image


def test_other_boxes_are_another_measurement(runs: Runs, images: Images, tmp_path: Path) -> None:
    found = {case.name: [*true_boxes(case.read_mask())] if case.read_mask().any() else [] for case in images.cases}
    rows = evaluate_run(runs.crop, images, tmp_path, boxes=found)
    assert json.loads((tmp_path / SUMMARY).read_text())["regions"] == "detector"
    missed = {name: [Region(0, 0, 4, 4)] for name in found}
    assert evaluate_run(runs.crop, images, tmp_path, boxes=missed) != rows


def test_networks_look_where_they_were_trained_to(runs: Runs) -> None:
    whole, crop = recipe_of(runs.whole), recipe_of(runs.crop)
    assert natural_regions(whole, None) is natural_regions(whole, {}) is Regions.none
    assert natural_regions(crop, None) is Regions.truth
    assert natural_regions(crop, {}) is Regions.detector
    assert natural_regions(crop.model_copy(update={"task": "prompt"}), {}) is Regions.detector


def test_missing_parts_are_told(images: Images, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"Found no config.yaml in .*; wanted a run folder"):
        evaluate_run(tmp_path, images, tmp_path / "out")
    with pytest.raises(FileNotFoundError, match="Found no prediction .*; wanted an indexed PNG"):
        read_prediction(tmp_path, images.cases[0])
    with pytest.raises(FileNotFoundError, match=r"Found no .*summary.json; wanted an evaluation's summary"):
        read_calibration(tmp_path)
