"""Measuring: bright squares whose scores are known beforehand, and rows whose figures are worked out by hand."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

from service.engine import Engine
from service.image import Region
from service.manifest import Manifest, Metric, read_manifest
from tests import tiny_graphs, tiny_pipeline
from training import evaluate
from training.datasets import busi
from training.datasets.busi import SPECK
from training.datasets.case import Case
from training.evaluate import Bench, Row, metrics, parts_of, scores, true_boxes

KEYS = {
    "image",
    "category",
    "ambiguous",
    "group",
    "status",
    "dice",
    "iou",
    "single_stage_dice",
    "single_stage_found",
    "classification",
    "lesions",
    "lesions_localised",
    "coverage",
    "true_box_dice",
}


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """The pipeline that takes for the lesion whatever is brighter than half."""
    root = tiny_pipeline.write(tmp_path_factory.mktemp("pipelines"))
    return Bench.open(root / tiny_pipeline.NAME / tiny_pipeline.VERSION, threads=1)


def case(folder: Path, image: np.ndarray, mask: np.ndarray, category: str = "benign", **changes: Any) -> Case:
    """A case whose picture has one grey pixel, lest nothing in it be worth looking at."""
    name = f"{category}_{len(list(folder.iterdir()))}"
    image = image.copy()
    image[0, 0] = 40
    paths = folder / f"{name}.png", folder / f"{name}_mask.png"
    cv2.imwrite(str(paths[0]), image)
    cv2.imwrite(str(paths[1]), (mask > 0).astype(np.uint8) * 255)
    content = {"name": name, "image": paths[0], "masks": (paths[1],), "category": category, "group": name}
    return Case(**{**content, "fold": 0, "ambiguous": False, **changes})


SQUARE = tiny_pipeline.square(16, 24, 16)
DARK = np.zeros_like(SQUARE)


# ---- rows -----------------------------------------------------------------------------------------------------------


def test_a_mask_that_is_met_exactly_scores_1_throughout(bench: Bench, tmp_path: Path) -> None:
    (row,) = scores(bench, [case(tmp_path, SQUARE, SQUARE, ambiguous=True, group="pair")])
    assert row.keys() == KEYS
    assert (row["image"], row["category"], row["group"], row["ambiguous"]) == ("benign_0", "benign", "pair", True)
    assert row["status"] == "found"
    assert row["dice"] == row["iou"] == row["single_stage_dice"] == row["coverage"] == row["true_box_dice"] == 1
    assert (row["lesions"], row["lesions_localised"], row["single_stage_found"]) == (1, 1, True)
    assert sum(row["classification"].values()) == pytest.approx(1, abs=1e-5)


def test_a_missed_lesion_scores_0(bench: Bench, tmp_path: Path) -> None:
    (row,) = scores(bench, [case(tmp_path, DARK, SQUARE)])
    assert row.keys() == KEYS
    assert row["status"] == "none_found"
    assert row["dice"] == row["iou"] == row["single_stage_dice"] == row["coverage"] == row["true_box_dice"] == 0
    assert (row["lesions"], row["lesions_localised"], row["single_stage_found"]) == (1, 0, False)
    assert row["classification"] is None


def test_a_lesion_half_met_scores_what_its_overlap_says(bench: Bench, tmp_path: Path) -> None:
    taller = tiny_pipeline.square(16, 24, 16)
    taller[24:56, 16:32] = 255
    (row,) = scores(bench, [case(tmp_path, SQUARE, taller)])
    assert row["dice"] == pytest.approx(2 / 3)
    assert row["iou"] == 0.5
    assert row["lesions_localised"] == 1, "an IoU of exactly 0.5 counts"
    assert row["coverage"] == pytest.approx(0.75), "the crop reaches half a side beyond the square"
    (row,) = scores(bench, [case(tmp_path, SQUARE, np.maximum(taller, tiny_pipeline.square(32, 24, 2)))])
    assert row["lesions_localised"] == 0


def test_a_normal_picture_has_no_lesion_figures(bench: Bench, tmp_path: Path) -> None:
    quiet, alarm = scores(bench, [case(tmp_path, picture, DARK, "normal") for picture in (DARK, SQUARE)])
    for row in (quiet, alarm):
        assert row.keys() == KEYS
        assert (row["lesions"], row["lesions_localised"], row["coverage"], row["true_box_dice"]) == (0, 0, None, None)
    assert (quiet["status"], quiet["dice"], quiet["single_stage_found"]) == ("none_found", 1, False)
    assert (alarm["status"], alarm["dice"], alarm["single_stage_found"]) == ("found", 0, True)


def test_a_picture_that_nothing_can_be_seen_in_is_a_miss(bench: Bench, tmp_path: Path) -> None:
    flat = case(tmp_path, DARK, SQUARE)
    cv2.imwrite(str(flat.image), DARK)
    (row,) = scores(bench, [flat])
    assert row["status"] == "not_evaluated"
    assert (row["dice"], row["coverage"], row["lesions_localised"]) == (0, 0, 0)


def test_specks_of_the_truth_are_no_lesions() -> None:
    mask = (SQUARE > 0).astype(np.uint8)
    mask[2, 2] = mask[58:62, 50] = 1
    assert true_boxes(mask, SPECK) == (Region(16, 24, 32, 40), Region(50, 58, 51, 62))
    assert true_boxes(mask) == (Region(16, 24, 32, 40), Region(50, 58, 51, 62), Region(2, 2, 3, 3)), "no slips of BUSI"
    alone = np.zeros((64, 64), np.uint8)
    alone[5, 5] = 1
    assert true_boxes(alone, SPECK) == (Region(5, 5, 6, 6),)


def test_simulated_screenshots_are_the_same_every_time_and_each_its_own(bench: Bench, tmp_path: Path) -> None:
    cases = [case(tmp_path, SQUARE, SQUARE) for _ in range(3)]
    shown = [evaluate._shifted(one) for one in cases]
    again = [evaluate._shifted(one) for one in reversed(cases)][::-1]
    for (image, mask), (other, same) in zip(shown, again, strict=True):
        assert np.array_equal(image.voxels, other.voxels)
        assert np.array_equal(mask, same)
    assert len({image.voxels.tobytes() for image, _ in shown}) == 3
    rows = scores(bench, cases, shifted=True)
    assert rows == scores(bench, cases, shifted=True)
    assert [row["image"] for row in rows] == [one.name for one in cases]
    assert any(row["dice"] < 1 for row in rows)


# ---- the bench ------------------------------------------------------------------------------------------------------


def _mended(root: Path, stages: dict[int, dict[str, Any]]) -> Path:
    folder = tiny_pipeline.write(root) / tiny_pipeline.NAME / tiny_pipeline.VERSION
    manifest = yaml.safe_load((folder / "manifest.yaml").read_text())
    for index, changes in stages.items():
        manifest["stages"][index] |= changes
    (folder / "manifest.yaml").write_text(yaml.safe_dump(manifest))
    return folder


def test_a_localiser_of_boxes_has_no_single_stage_answer(tmp_path: Path) -> None:
    (tmp_path / "box.onnx").write_bytes(tiny_graphs.one_box(32, 24, 16, 16))
    digest = hashlib.sha256((tmp_path / "box.onnx").read_bytes()).hexdigest()
    weights = {"network": {"file": "box.onnx", "sha256": digest, "licence": "none"}}
    folder = _mended(tmp_path / "root", {0: {"decode": {"kind": "yolo"}, "weights": weights}})
    (tmp_path / "box.onnx").rename(folder / "box.onnx")
    bench = Bench.open(folder, threads=1)
    assert bench.single is None
    (tmp_path / "cases").mkdir()
    rows = scores(bench, [case(tmp_path / "cases", picture, picture) for picture in (SQUARE, DARK)])
    assert all(row.keys() == KEYS for row in rows)
    assert {(row["single_stage_dice"], row["single_stage_found"]) for row in rows} == {(None, None)}
    names = set(by_name(rows))
    assert {"lesion Dice, cascade", "lesion Dice, segmenter on true boxes"} <= names
    assert not [name for name in names if "single stage" in name]


def test_a_localiser_of_anatomy_has_no_single_stage_answer(tmp_path: Path) -> None:
    folder = _mended(tmp_path, {0: {"labels": ["breast"]}, 1: {"label": "breast"}, 2: {"label": "breast"}})
    assert Bench.open(folder, threads=1).single is None


def test_a_folder_may_be_named_from_inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(_mended(tmp_path, {}))
    assert isinstance(Bench.open(Path(), threads=1).engine, Engine)


# ---- the split ------------------------------------------------------------------------------------------------------


def _trained(root: Path, *training: dict[str, Any]) -> Manifest:
    return read_manifest(_mended(root, {index: {"training": one} for index, one in enumerate(training)}))


def test_the_test_part_is_the_fold_that_the_manifest_names(small_busi: Path, tmp_path: Path) -> None:
    content = {"test_fold": 2, "validation": 0.4}
    manifest = _trained(tmp_path, content, content | {"dataset": {"path": "training.datasets.busi.cases"}}, content)
    name, parts = parts_of(manifest, small_busi)
    assert name == "BUSI fold 2"
    assert parts.test == tuple(one for one in busi.cases(small_busi) if one.fold == 2)
    assert parts.validation


def test_of_several_data_sets_the_one_counts_that_the_last_mask_comes_from(small_busi: Path, tmp_path: Path) -> None:
    tissue = {"test_fold": 1, "validation": 0.1, "dataset": {"path": "training.datasets.tissue.cases"}}
    lesion = {"test_fold": 2, "validation": 0.4, "dataset": {"path": "training.datasets.busi.cases"}}
    assert parts_of(_trained(tmp_path, tissue, lesion, lesion), small_busi)[0] == "BUSI fold 2"


@pytest.mark.parametrize(
    "changes", [{"test_fold": 1}, {"validation": 0.2}, {"test_fold": None}, {"validation": None}], ids=str
)
def test_a_manifest_whose_stages_saw_different_parts_is_not_measured(
    changes: dict[str, Any], small_busi: Path, tmp_path: Path
) -> None:
    content = {"test_fold": 0, "validation": 0.4}
    manifest = _trained(tmp_path, content, {**content, **changes}, content)
    with pytest.raises(ValueError, match=r"Found test folds and validation parts .*0\.4.*; wanted one of each"):
        parts_of(manifest, small_busi)


def test_a_manifest_that_names_no_split_is_not_measured(bench: Bench, small_busi: Path) -> None:
    with pytest.raises(ValueError, match=r"Found test folds and validation parts \[\(None, None\)\] in the manifest"):
        parts_of(bench.pipeline.manifest, small_busi)


# ---- figures --------------------------------------------------------------------------------------------------------


def row(category: str = "benign", **changes: Any) -> Row:
    content = dict.fromkeys(KEYS) | {"category": category, "ambiguous": False, "status": "found"}
    lesion = {"lesions": 1, "lesions_localised": 1, "dice": 0.5, "iou": 1 / 3, "coverage": 1.0, "true_box_dice": 0.75}
    single = {"single_stage_dice": 0.25, "single_stage_found": True}
    nothing = {"lesions": 0, "lesions_localised": 0, "dice": 0.0, "iou": 0.0}
    return content | single | (nothing if category == "normal" else lesion) | changes


def by_name(rows: list[Row]) -> dict[str, Metric]:
    found = metrics(rows, "squares")
    assert {metric.on for metric in found} <= {"squares"}
    return {metric.name: metric for metric in found}


LESIONS = [
    row(dice=1.0, iou=1.0, lesions=2, lesions_localised=2),
    row("malignant", dice=0.5, coverage=0.5),
    row("malignant", dice=0.0, iou=0.0, lesions_localised=0, coverage=0.0, true_box_dice=0.0, single_stage_dice=1.0),
]
NORMALS = [row("normal", status=status, single_stage_found=found) for status, found in
           [("found", True), ("none_found", True), ("none_found", True), ("none_found", False)]]  # fmt: skip
WANTED = {
    "lesion Dice, cascade": (0.5, 3),
    "lesion Dice, single stage": (0.5, 3),
    "lesion IoU, cascade": (0.4444, 3),
    "share of lesion images with no overlap at all": (0.3333, 3),
    "share of normal images with a false lesion, cascade": (0.25, 4),
    "share of normal images with a false lesion, single stage": (0.75, 4),
    "localiser recall at IoU 0.5": (0.75, 3),
    "share of the lesion inside the crops": (0.5, 3),
    "lesion Dice, segmenter on true boxes": (0.5, 3),
}


def test_the_figures_are_those_worked_out_by_hand() -> None:
    found = by_name(LESIONS + NORMALS)
    assert {name: (metric.value, metric.n) for name, metric in found.items()} == WANTED
    for metric in found.values():
        low, high = metric.interval or (2, 2)
        assert 0 <= low <= metric.value <= high <= 1


def test_what_no_picture_shows_is_left_out() -> None:
    assert list(by_name(NORMALS)) == [name for name in WANTED if "normal images" in name]
    assert list(by_name(LESIONS)) == [name for name in WANTED if "normal images" not in name]
    assert metrics([], "nothing") == ()


def test_a_lesion_that_a_screenshot_cut_off_counts_nowhere() -> None:
    lost = row(**evaluate.NO_LESION, dice=0.0, classification=SCORES)
    assert by_name([*LESIONS, *NORMALS, lost]) == by_name(LESIONS + NORMALS)


SCORES = {"benign": 0.2, "malignant": 0.7, "normal": 0.1}


def test_classes_are_counted_where_something_was_classified_and_the_truth_is_one() -> None:
    rows = [
        row(classification={"benign": 0.6, "malignant": 0.3, "normal": 0.1}),
        row(classification={"benign": 0.3, "malignant": 0.5, "normal": 0.2}),
        row("malignant", classification={"benign": 0.2, "malignant": 0.4, "normal": 0.4}),
        row("malignant", classification=SCORES),
        row("malignant", classification={"benign": 0.1, "malignant": 0.2, "normal": 0.7}),
        row(classification=SCORES, ambiguous=True),
        row("normal", classification=SCORES),
        row("malignant", classification=None),
    ]
    found = by_name(rows)
    accuracy, auroc = (found[name] for name in list(found)[-2:])
    assert (accuracy.name, accuracy.value, accuracy.n) == ("accuracy of the class of found lesions", 0.6, 5)
    # Pairs malignant above benign: 0.4 and 0.7 beat 0.3, 0.7 beats 0.5; 0.2 beats none: 3 of 6.
    assert (auroc.name, auroc.value, auroc.n) == ("AUROC malignant against benign", 0.5, 5)
    low, high = auroc.interval or (2, 2)
    assert 0 <= low <= 0.5 <= high <= 1


@pytest.mark.parametrize("category", ["benign", "malignant"])
def test_one_class_alone_gives_no_class_figures(category: str) -> None:
    assert not [name for name in by_name([row(category, classification=SCORES)]) if "AUROC" in name or "class" in name]
