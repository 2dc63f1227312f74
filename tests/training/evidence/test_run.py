"""A whole measurement: from a pipeline's folder and data sets to evidence and card, by functions and by commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from service.engine import Engine
from service.manifest import Manifest, read_manifest
from service.oddness import distance, features
from tests import tiny_pipeline
from training import cli
from training.datasets import busi
from training.evaluate import Bench, parts_of
from training.evidence.oddness import OTHERS, fitted, image_of, odd_figures, odd_plan, odd_rows
from training.evidence.plan import Measured, plan_of
from training.evidence.run import KNOWN_BEFORE, Sets, measure, subjects_of, training_folders

BUSI = "training.datasets.busi.cases"
MASKS = {"path": "training.datasets.image_folders.cases", "arguments": {"patient": "P_[0-9]+"}}
RUNNER = CliRunner(env={"COLUMNS": "250", "TERM": "dumb"})
DRAWN = {"writer": "training.phantoms.ultrasound_set.write", "number": 2}


def write(root: Path, **training: Any) -> Path:
    """The tiny pipeline, whose stages learned from BUSI, and the lesion stage as ``training`` says; its folder."""
    folder = tiny_pipeline.write(root) / tiny_pipeline.NAME / tiny_pipeline.VERSION
    content = yaml.safe_load((folder / "manifest.yaml").read_text())
    block = {"dataset": {"path": BUSI, "arguments": {}}, "test_fold": 0, "validation": 0.12}
    for stage in content["stages"]:
        stage["training"] = block | (
            training if stage["name"] == "lesion" else {"test_fold": training.get("test_fold", 0)}
        )
    (folder / "manifest.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path / "pipelines")


@pytest.fixture
def sets(small_busi: Path) -> Sets:
    return Sets(small_busi.parent, {"ultrasound_busi": small_busi})


def write_masks(root: Path, names: list[str]) -> Path:
    for name in names:
        for kind in ("images", "masks"):
            (root / kind).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(root / kind / f"{name}.png"), tiny_pipeline.square(16, 24, 16))
    return root


def test_a_pipeline_is_measured_on_the_fold_it_never_saw(folder: Path, sets: Sets, small_busi: Path) -> None:
    evidence = measure(folder, sets, limit=2, stress=True)
    names = ["BUSI fold 0", "BUSI fold 0, simulated screenshots", "BUSI fold 0, disturbed"]
    assert list(evidence.scores) == names
    _, split = parts_of(read_manifest(folder), small_busi)
    assert [row["image"] for row in evidence.scores["BUSI fold 0"]] == [case.name for case in split.test[:2]]
    assert {about["folder"] for about in evidence.measured.values()} == {"ultrasound_busi"}
    assert all(len(about["index"]) == 64 for about in evidence.measured.values())
    assert {"lesion Dice, cascade", "share of the clean Dice, blur"} <= {one.name for one in evidence.figures()}


def test_phantoms_are_drawn_for_measuring(tmp_path: Path, sets: Sets) -> None:
    block = {"kind": "masks", "drawn": DRAWN, "part": "all", "on": "ultrasound phantoms"}
    evidence = measure(write(tmp_path, measure=[block]), sets)
    about = evidence.measured["ultrasound phantoms"]
    assert about["number"] == 2
    assert "index" not in about
    assert about["folder"].endswith("seeds 10000000 to 10000001")


def test_patients_that_a_stage_learned_from_are_told_apart(tmp_path: Path, small_busi: Path) -> None:
    """Groups of the set that is learned from are made to have the names of two of the three pictures' patients."""
    manifest = read_manifest(write(tmp_path / "one"))
    _, split = parts_of(manifest, small_busi)
    trained, tested = split.train[0].group, split.test[0].group
    write_masks(tmp_path / "masks", [f"{trained}_a", f"{tested}_a", "P_00001_a"])
    dataset = {"path": MASKS["path"], "arguments": {"patient": "(group[0-9]+|P_[0-9]+)"}}
    further = {"kind": "masks", "folder": "masks", "dataset": dataset, "part": "all", "on": "squares"}
    both = [{"kind": "lesions", "folder": "ultrasound_busi"}, further]
    folder = write(tmp_path / "two", measure=both)
    evidence = measure(folder, Sets(tmp_path, {"ultrasound_busi": small_busi}), limit=3)
    found = {on: {row["group"] for row in rows} for on, rows in evidence.scores.items()}
    assert found["squares"] == {tested, "P_00001"}
    assert found[f"squares{KNOWN_BEFORE}"] == {trained}
    assert trained not in found["BUSI fold 0"]


def test_what_cannot_be_measured_is_told(folder: Path, tmp_path: Path, small_busi: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"Found no folder .*ultrasound_busi; wanted .* --folder ultrasound"):
        measure(folder, Sets(tmp_path))
    twice = [{"kind": "masks", "folder": "masks", "dataset": MASKS, "part": "all", "on": "x"}]
    twice.append({**twice[0], "kind": "findings"})
    write_masks(tmp_path / "masks", ["P_1"])
    with pytest.raises(ValueError, match="Found two measurements on x; wanted one name each"):
        measure(write(tmp_path / "twice", measure=twice), Sets(tmp_path))
    wanted = Measured.model_validate({"kind": "lesions", "dataset": {"path": BUSI}})
    far = read_manifest(write(tmp_path / "far", test_fold=7))
    with pytest.raises(ValueError, match="Found no case in BUSI fold 7; wanted at least one"):
        subjects_of(far, wanted, small_busi)


# ---- the check for unlike pictures ----------------------------------------------------------------------------------


@pytest.fixture
def checked(folder: Path, sets: Sets) -> Manifest:
    manifest = read_manifest(folder)
    check = fitted(manifest, training_folders(manifest, sets))
    content = yaml.safe_load((folder / "manifest.yaml").read_text())
    (folder / "manifest.yaml").write_text(yaml.safe_dump(content | {"oddness": check.model_dump(mode="json")}))
    return read_manifest(folder)


def test_the_check_keeps_what_it_learned_from(checked: Manifest, small_busi: Path) -> None:
    assert checked.oddness is not None
    _, split = parts_of(checked, small_busi)
    far = [distance(checked.oddness, features(image_of(case))) for case in split.train]
    assert sum(one <= checked.oddness.threshold for one in far) >= len(far) - 1
    assert min(checked.oddness.deviation) >= 0.02


def test_alarms_are_measured_on_fold_0_and_on_all_other_kinds(checked: Manifest, folder: Path, tmp_path: Path) -> None:
    plan = odd_plan(checked)
    assert next((one.part, one.on) for one in plan) == ("test", None)
    assert [one.on for one in plan[1:]] == [block["on"] for one in ("MG", "MR", "XC") for block in OTHERS[one]]
    assert odd_plan(checked.model_copy(update={"oddness": None})) == ()
    masks = write_masks(tmp_path / "masks", ["P_1", "P_2"])
    bench = Bench.open(folder, threads=1)
    _, cases = subjects_of(checked, plan[-2].model_copy(update={"dataset": plan[-2].dataset}), masks)
    rows = odd_rows(bench, cases, plan[-2])
    assert [row["flagged"] for row in rows] == [True, True]
    (figure,) = odd_figures(rows, "squares")
    assert (figure.name, figure.value) == ("share flagged as unlike the training pictures", 1)


def test_a_pipeline_without_the_check_has_no_alarms(folder: Path, small_busi: Path) -> None:
    (wanted, _) = plan_of(read_manifest(folder))
    with pytest.raises(ValueError, match="Found no oddness in the manifest of tiny; wanted the check's figures"):
        odd_rows(Bench.open(folder, threads=1), busi.cases(small_busi), wanted)
    with pytest.raises(ValueError, match="Found 0 training pictures; wanted two at least"):
        fitted(read_manifest(folder), {})


# ---- commands -------------------------------------------------------------------------------------------------------


def invoke(*arguments: object) -> str:
    result = RUNNER.invoke(cli.app, [str(one) for one in arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_evidence_and_card_by_command(tmp_path: Path) -> None:
    masks = write_masks(tmp_path / "data" / "masks", ["P_1", "P_2"])
    block = {"kind": "masks", "folder": "masks", "dataset": MASKS, "part": "all", "on": "squares"}
    folder = write(tmp_path / "pipelines", measure=[block])
    pipelines, kept = ("--pipelines", tmp_path / "pipelines"), tmp_path / "evidence"
    assert invoke("evidence", "--data", masks.parent, *pipelines, "-o", kept).splitlines()[-1] == str(kept)
    rows = json.loads((kept / "tiny" / "1.0.0.json").read_text())["scores"]["squares"]
    assert [row["dice"] for row in rows] == [1, 1]
    limits = tmp_path / "limits.md"
    limits.write_text("## Limits\n\nSquares.\n")
    shown = invoke("card", "--evidence", kept, *pipelines, "--limits", limits, "--pipeline", "tiny")
    assert "lesion Dice" in shown
    assert "1.000 to 1.000" in shown
    assert (folder / "card.md").read_text().endswith("## Limits\n\nSquares.\n")
    (loaded,) = Engine.open([tmp_path / "pipelines"], "cpu", 1).pipelines()
    assert {one.on for one in loaded.manifest.evidence.metrics} == {"squares"}


def test_the_check_is_fitted_by_command(folder: Path, small_busi: Path) -> None:
    data = ("--data", small_busi.parent, "--folder", f"ultrasound_busi={small_busi}")
    limit = float(invoke("oddness", folder, *data, "--quantile", "0.9"))
    check = read_manifest(folder).oddness
    assert check is not None
    assert (check.threshold, check.quantile) == (limit, 0.9)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--pipeline", "nobody"), "found 'nobody', wanted one of tiny"),
        (("--folder", "busi"), "found 'busi', wanted NAME=DIR of a folder that is there"),
    ],
)
def test_a_wrong_name_is_told(folder: Path, tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    command = ("evidence", "--data", str(tmp_path), "--pipelines", str(folder.parents[1]), *arguments)
    result = RUNNER.invoke(cli.app, command)
    assert result.exit_code == 2
    assert words in " ".join(result.output.replace("│", "").split())


def test_pictures_keep_their_colours(tmp_path: Path) -> None:
    """The check knows photographs by them."""
    (image,) = [image_of(case) for case in photographs(tmp_path)]
    assert image.channels == 3
    assert np.ptp(np.asarray(image.slab(0, 1)), axis=-1).any()


def photographs(root: Path) -> list[Any]:
    from training.phantoms.photo import photo_phantom, save_photo
    from training.recipe import Part, resolve

    save_photo(photo_phantom(seed=1, size=(96, 96)), root, "photo_phantom_000001")
    dataset = Part.model_validate(OTHERS["XC"][0]["dataset"])
    found: list[Any] = resolve(dataset)(root, **dataset.arguments)
    return found
