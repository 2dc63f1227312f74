"""Comparing methods: trained once, measured on one part, and a table whose numbers are those of the scores."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.manifest import Look
from tests import tiny_pipeline
from tests.training import tiny_runs
from tests.training.tiny_runs import Runs
from training.choices import Regions
from training.compare import LOOK, Entry, Protocol, Trial, compare, compare_runs, looking
from training.datasets.busi import cases
from training.evaluate import true_boxes
from training.recipe import Recipe
from training.regions import read_boxes, write_boxes
from training.samples import region_of
from training.scores import read_scores
from training.table import CSV, MARKDOWN
from training.trained import recipe_of


def short(name: str, task: str = "whole", **changes: Any) -> Recipe:
    schedule = {"epochs": 2, "batch": 2, "learning_rate": 0.02, "average": 0.5, "precision": "float32"}
    return tiny_runs.recipe(name, task, schedule=schedule, **changes)


ENTRIES = [Entry("first", short("one")), Entry("second", short("two", loss={"path": "training.losses.dice_ce"}))]


def table(out: Path) -> list[dict[str, str]]:
    with (out / CSV).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def dice_of(out: Path, folder: str, *, lesion: bool = False) -> float:
    rows = read_scores(out / "evaluations" / "busi_fold_0" / folder / "scores.csv")
    return float(np.mean([row.dice for row in rows if row.truth_px or not lesion]))


@pytest.fixture(scope="module")
def done(small_busi: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two recipes compared; nobody writes here."""
    out = tmp_path_factory.mktemp("compared")
    compare(ENTRIES, Protocol(small_busi, out, epochs=1), "A comparison")
    return out


@pytest.fixture
def begun(done: Path, tmp_path: Path) -> Path:
    """A folder in which both are trained and measured already."""
    return Path(shutil.copytree(done, tmp_path / "begun"))


def test_recipes_are_trained_and_measured(done: Path) -> None:
    text = (done / MARKDOWN).read_text(encoding="utf-8")
    assert "Measured on BUSI fold 0" in text
    assert "| first | whole |" in text
    rows = [row for row in table(done) if row["set"] == "all"]
    assert [(row["method"], row["regions"], row["loss"], row["epochs"]) for row in rows] == [
        ("first", "none", "dice_bce", "1"),
        ("second", "none", "dice_ce", "1"),
    ]
    for row, name in zip(rows, ("one", "two"), strict=True):
        assert float(row["dice_value"]) == pytest.approx(dice_of(done, f"{name}_none"), abs=1e-5)
        assert float(row["gmac"]) > 0
        assert float(row["ms_per_image"]) > 0


def test_nothing_is_done_twice(begun: Path, small_busi: Path) -> None:
    def times() -> dict[Path, int]:
        folders = [begun / name for name in ("runs", "evaluations", "costs")]
        return {file: file.stat().st_mtime_ns for folder in folders for file in folder.rglob("*.*")}

    before, said = times(), (begun / CSV).read_text()
    compare(ENTRIES, Protocol(small_busi, begun, epochs=1), "A comparison")
    assert times() == before
    assert (begun / CSV).read_text() == said


def test_regions_train_on_what_they_are_measured_on(begun: Path, small_busi: Path, tmp_path: Path) -> None:
    found = {
        case.name: list(true_boxes(case.read_mask())) if case.read_mask().any() else [] for case in cases(small_busi)
    }
    write_boxes(found, tmp_path / "boxes.json")
    compare(
        ENTRIES[:1],
        Protocol(small_busi, begun, regions=tuple(Regions), epochs=1, boxes=tmp_path / "boxes.json"),
        "t",
    )
    rows = [row for row in table(begun) if row["set"] == "lesion"]
    assert [(row["regions"], row["trained_on"]) for row in rows] == [
        ("none", "whole"),
        ("detector", "crop"),
        ("truth", "crop"),
    ]
    assert rows[1]["dice_value"] == rows[2]["dice_value"], "here the detector is right"
    assert recipe_of(begun / "runs" / "one_crop").boxes == tmp_path / "boxes.json"
    assert sorted(path.name for path in (begun / "runs").iterdir()) == ["one", "one_crop", "two"]


def test_a_recipe_is_turned_to_what_it_will_look_at() -> None:
    whole, crop = short("a"), short("b", "segment")
    assert looking(whole, None) is looking(whole, Regions.none) is whole
    assert looking(crop, None) is looking(crop, Regions.truth) is looking(crop, Regions.detector) is crop
    cut = looking(whole.model_copy(update={"look": Look()}), Regions.detector)
    assert (cut.name, region_of(cut), cut.look) == ("a_crop", "crop", LOOK)
    assert looking(whole, Regions.truth).look == whole.look, "a look of its own is kept"
    everywhere = looking(crop, Regions.none)
    assert (everywhere.name, region_of(everywhere)) == ("b_whole", "whole")
    prompted = crop.model_copy(update={"task": "prompt"})
    assert looking(prompted, Regions.none) is prompted


def test_finished_runs_are_compared_as_they_are(begun: Path, runs: Runs) -> None:
    trials = [Trial("whole", runs.whole, None), Trial("crop", runs.crop, None)]
    compare_runs(trials, Protocol(runs.data, begun), "t")
    rows = [row for row in table(begun) if row["set"] == "lesion"]
    assert [(row["method"], row["regions"]) for row in rows] == [("whole", "none"), ("crop", "truth")]
    assert float(rows[0]["dice_value"]) > 0.3, "it learned something"
    gain = float(rows[1]["dice_value"]) - float(rows[0]["dice_value"])
    assert float(rows[1]["dice_minus_first"]) == pytest.approx(gain, abs=1e-5)


def test_a_pipeline_localises_and_other_data_sets_have_tables_of_their_own(
    begun: Path, runs: Runs, tmp_path: Path
) -> None:
    root = tiny_pipeline.write(tmp_path / "pipelines")
    folder = root / tiny_pipeline.NAME / tiny_pipeline.VERSION
    elsewhere = [case for case in cases(runs.data) if case.fold != 0][:2]
    protocol = Protocol(runs.data, begun, boxes=folder, externals={"Elsewhere": elsewhere})
    text = compare_runs([Trial("crop", runs.crop, None)], protocol, "t").read_text(encoding="utf-8")
    assert "## BUSI fold 0" in text
    assert "## Elsewhere" in text
    assert {row["regions"] for row in table(begun)} == {"detector"}
    assert {row["images"] for row in table(begun) if row["data_set"] == "Elsewhere"} <= {"1", "2"}
    (known,) = (begun / "boxes").glob("elsewhere_*.json")
    assert set(read_boxes(known)) == {case.name for case in elsewhere}


def test_minutes_decide_about_epochs(begun: Path, small_busi: Path) -> None:
    protocol = Protocol(small_busi, begun, epochs=30, minutes=1e-6)
    text = compare([Entry("third", short("third"))], protocol, "t").read_text(encoding="utf-8")
    assert recipe_of(begun / "runs" / "third").schedule.epochs == 1
    assert "| 1 of 1 |" in text
    assert "Each method had 1e-06 minutes" in text


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (short("b", test_fold=1), r"Found b on training.datasets.busi.cases, test fold 1, .*; wanted .* fold 0"),
        (short("b", validation=0.3), r"Found b on .* validation 0.3; wanted .* validation 0.4, as a has it"),
        (short("b", excluded=[2]), r"without folds \[2\]; wanted"),
        (short("a", l1_lambda=0.1), "Found two recipes called a; wanted each name once"),
    ],
)
def test_recipes_that_cannot_be_compared_are_refused(
    other: Recipe, words: str, small_busi: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=words):
        compare([Entry("a", short("a")), Entry("b", other)], Protocol(small_busi, tmp_path), "t")
    assert not (tmp_path / "runs").exists()


def test_one_fold_for_all_is_one_split(begun: Path, small_busi: Path) -> None:
    other = short("two", loss={"path": "training.losses.dice_ce"}, test_fold=3)
    compare([ENTRIES[0], Entry("second", other)], Protocol(small_busi, begun, fold=0, epochs=1), "t")
    assert {row["data_set"] for row in table(begun)} == {"BUSI fold 0"}


def test_nothing_to_compare_is_told(small_busi: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Found no recipe; wanted at least one to compare"):
        compare([], Protocol(small_busi, tmp_path), "t")


def test_runs_of_other_splits_may_have_learned_what_is_measured(begun: Path, runs: Runs) -> None:
    config = begun / "runs" / "one" / "config.yaml"
    config.write_text(config.read_text().replace("test_fold: 0", "test_fold: 1"))
    trials = [Trial("one", runs.whole, None), Trial("two", begun / "runs" / "one", None)]
    with pytest.raises(ValueError, match=r"Found a run trained on .* fold 1, .*; wanted .* fold 0"):
        compare_runs(trials, Protocol(runs.data, begun), "t")


def test_a_detector_must_be_named(runs: Runs, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Found regions detector but no boxes; wanted a localiser's. Pass --boxes"):
        compare_runs([Trial("one", runs.crop, Regions.detector)], Protocol(runs.data, tmp_path), "t")
