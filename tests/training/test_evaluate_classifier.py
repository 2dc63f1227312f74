"""Measuring a classifier's run: what is written is what was predicted, by the command, once."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from service.image import Region
from tests.training import tiny_runs
from tests.training.tiny_export import CLASSIFIER
from training.choices import Part, Regions
from training.class_scores import read_classes
from training.cli import app
from training.evaluate import true_boxes
from training.evaluate_classifier import RELIABILITY, evaluate_classifier
from training.evaluate_run import SCORES, SUMMARY, Images, images_of, read_calibration
from training.fit import fit
from training.predict import predictor
from training.trained import recipe_of


@pytest.fixture(scope="module")
def run(small_busi: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny classifier of crops, trained for two epochs; nobody writes here."""
    network = {"path": CLASSIFIER, "arguments": {"widths": [4, 8, 8]}}
    schedule = {"epochs": 2, "batch": 2, "learning_rate": 0.02, "average": 0.5, "precision": "float32"}
    folder = tmp_path_factory.mktemp("runs") / "classifier"
    fit(tiny_runs.recipe("classifier", "classify", network=network, schedule=schedule), small_busi, folder, workers=0)
    return folder


@pytest.fixture(scope="module")
def images(run: Path, small_busi: Path) -> Images:
    return images_of(recipe_of(run), small_busi, Part.test)


@pytest.fixture(scope="module")
def measured(run: Path, small_busi: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """What the command writes and prints; nobody writes here."""
    out = tmp_path_factory.mktemp("measured")
    result = CliRunner().invoke(app, ["evaluate-run", str(run), "--data", str(small_busi), "-o", str(out)])
    assert result.exit_code == 0, result.output
    return out, result.stdout


def test_every_image_has_the_scores_of_the_network_at_its_true_box(
    run: Path, images: Images, measured: tuple[Path, str]
) -> None:
    network, found = predictor(run, device="cpu"), read_classes(measured[0] / SCORES)
    assert [row.image for row in found.rows] == [case.name for case in images.cases]
    for case, row in zip(images.cases, found.rows, strict=True):
        mask = case.read_mask()
        wanted = network(case.read_image(), boxes=true_boxes(mask, case.speck) if mask.any() else ())
        assert list(row.probabilities.values()) == pytest.approx(wanted.tolist(), rel=1e-4)
        assert (row.guess, row.category) == (found.names[int(wanted.argmax())], case.category)


def test_the_summary_tells_all_that_a_classifier_is_judged_by(run: Path, measured: tuple[Path, str]) -> None:
    out, _ = measured
    told, found = json.loads((out / SUMMARY).read_text()), read_classes(out / SCORES)
    assert (told["run"], told["regions"], told["on"]) == ("classifier", "truth", "BUSI fold 0")
    assert told["figures"]["accuracy"]["value"] == pytest.approx(
        np.mean([row.right for row in found.counted]), rel=1e-4
    )
    assert set(told["figures"]) == {"accuracy", "auroc_mean", *(f"auroc_{name}" for name in found.names)}
    matrix = np.array(told["confusion_matrix"]["images"])
    assert matrix.shape == (3, 4)
    assert (matrix.sum(), np.trace(matrix)) == (told["counted"], sum(row.right for row in found.counted))
    assert read_calibration(out).counts.sum() == told["counted"] - told["nothing_found"]
    picture = cv2.imread(str(out / RELIABILITY))
    assert picture is not None
    assert picture.std() > 1


def test_the_command_prints_figures_and_the_confusion_matrix(measured: tuple[Path, str]) -> None:
    out, text = measured
    assert text.splitlines()[-1] == str(out / SUMMARY)
    for words in ("accuracy", "auroc_malignant", "calibration error", "guess benign", "nothing found"):
        assert words in text


def test_what_is_finished_is_read(run: Path, images: Images, measured: tuple[Path, str], tmp_path: Path) -> None:
    evaluate_classifier(run, images, tmp_path)
    path = tmp_path / SCORES
    path.write_text(path.read_text().replace("benign (", "marked ("))
    assert any("marked" in row.image for row in evaluate_classifier(run, images, tmp_path).rows)
    assert not any("marked" in row.image for row in evaluate_classifier(run, images, tmp_path, Regions.none).rows)


def test_a_localiser_that_finds_nothing_leaves_nothing_to_classify(run: Path, images: Images, tmp_path: Path) -> None:
    boxes = {case.name: [Region(10, 10, 60, 60)] for case in images.cases}
    boxes[images.cases[0].name] = []
    found = evaluate_classifier(run, images, tmp_path, boxes=boxes)
    assert (found.rows[0].guess, found.rows[0].right) == ("", images.cases[0].category == "normal")
    assert json.loads((tmp_path / SUMMARY).read_text())["nothing_found"] == 1


def test_a_network_of_masks_has_no_classes(runs: tiny_runs.Runs, images: Images, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Found task whole; wanted classify"):
        evaluate_classifier(runs.whole, images, tmp_path)
