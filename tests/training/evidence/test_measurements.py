"""Each kind of measurement on pictures whose answer is known beforehand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from service.image import Region
from tests import tiny_mammography, tiny_pipeline
from tests.tiny_mammography import ADIPOSE, BACKGROUND, DENSE, PECTORAL
from tests.training import tiny_mri
from training.datasets import mama_mia
from training.datasets.case import Case
from training.datasets.masks import Boxes, Lesion, levels
from training.datasets.outlines import Outlined, Reshaped
from training.evaluate import Bench
from training.evidence.boxes import box_figures, box_rows, candidates, finding_figures, finding_rows, true_boxes
from training.evidence.label_maps import label_figures, label_rows, shown
from training.evidence.masks import mask_figures, mask_rows
from training.evidence.plan import Measured
from training.evidence.stress import CLEAN, DISTURBANCES, disturbed_figures, disturbed_rows
from training.evidence.volumes import volume_figures, volume_rows


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """Tissue by grey value; what is brighter than 237 is a lesion."""
    root = tiny_mammography.write(tmp_path_factory.mktemp("films"), canonical_side=None)
    return Bench.open(root / tiny_mammography.NAME / tiny_mammography.VERSION, threads=1)


@pytest.fixture(scope="module")
def squares(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """Whatever is brighter than half is the lesion."""
    root = tiny_pipeline.write(tmp_path_factory.mktemp("squares"))
    return Bench.open(root / tiny_pipeline.NAME / tiny_pipeline.VERSION, threads=1)


def asked(kind: str, stage: str | None = None) -> Measured:
    return Measured.model_validate({"kind": kind, "dataset": {"path": "tests.none"}, "stage": stage})


def case(folder: Path, name: str, picture: np.ndarray, mask: np.ndarray | None = None, **changes: Any) -> Case:
    paths = folder / f"{name}.png", folder / f"{name}_mask.png"
    cv2.imwrite(str(paths[0]), picture)
    if mask is not None:
        cv2.imwrite(str(paths[1]), mask)
    content = {"name": name, "image": paths[0], "masks": (paths[1],), "category": "", "group": name, "fold": 0}
    return Case(**{**content, "mask_reader": Lesion(), **changes})


def values(metrics: Any) -> dict[str, float]:
    return {one.name: one.value for one in metrics}


# ---- label maps -----------------------------------------------------------------------------------------------------

TISSUE = levels({BACKGROUND: 0, ADIPOSE: 1, DENSE: 2, PECTORAL: 3})


def tissue(lesions: bool = False) -> np.ndarray:
    picture = tiny_mammography.breast()
    if not lesions:
        picture[28:34, 12:16], picture[46:50, 20:24], picture[2:6, 56:60] = DENSE, ADIPOSE, BACKGROUND
    return picture


def test_tissue_that_is_met_exactly_scores_1_and_has_the_right_density(films: Bench, tmp_path: Path) -> None:
    one = case(tmp_path, "film", tissue(), tissue(), mask_reader=TISSUE)
    (row,) = label_rows(films, [one], asked("labels", "tissue"))
    assert row["dice"] == dict.fromkeys(("background", "adipose", "fibroglandular", "pectoral"), 1.0)
    assert row["percent_density"]["truth"] == row["percent_density"]["answer"]
    found = values(label_figures([row], "films"))
    assert found["Dice, mean of the labels"] == found["Dice, pectoral"] == 1
    assert found["percent density, mean absolute error in points"] == 0


def test_the_error_of_density_is_in_points(films: Bench, tmp_path: Path) -> None:
    truth = tissue()
    truth[24:40, 8:28] = ADIPOSE
    one = case(tmp_path, "film", tissue(), truth, mask_reader=TISSUE)
    (row,) = label_rows(films, [one], asked("labels", "tissue"))
    assert row["dice"]["fibroglandular"] == 0
    assert row["percent_density"]["truth"] == 0
    found = values(label_figures([row], "films"))
    share = 100 * 16 * 20 / (48 * 40)
    assert found["percent density, mean error in points"] == pytest.approx(share, abs=2)


def test_a_label_that_nobody_sees_counts_nowhere() -> None:
    rows = [
        {"group": name, "dice": {"background": 1.0, "adipose": fat, "pectoral": muscle}}
        for name, fat, muscle in (("a", 0.8, None), ("b", 0.6, 0.4))
    ]
    found = values(label_figures(rows, "films"))
    assert found["Dice, adipose"] == 0.7
    assert found["Dice, pectoral"] == 0.4
    assert found["Dice, mean of the labels"] == pytest.approx((0.8 + 0.5) / 2)
    assert label_figures([], "films") == ()


# ---- boxes ----------------------------------------------------------------------------------------------------------


def test_findings_are_told_with_the_true_boxes_of_the_picture(films: Bench, tmp_path: Path) -> None:
    """Of three bright spots one lies in the air, where nobody looks."""
    boxes = ((11.0, 27.0, 17.0, 35.0), (40.0, 40.0, 50.0, 50.0))
    one = case(tmp_path, "film", tissue(lesions=True), mask_reader=Boxes(boxes, (64, 64)))
    (row,) = box_rows(films, [one], asked("boxes"))
    assert row["boxes"] == [[11, 27, 17, 35], [40, 40, 50, 50]]
    assert row["size"] == [64, 64]
    found = candidates(row)
    assert (found.lesions, found.found(0), found.made_up(0)) == (2, 1, 1)
    figures = values(box_figures([row], "films"))
    assert figures["sensitivity as answered"] == figures["sensitivity at 1 false positive per picture"] == 0.5
    assert figures["false positives per picture as answered"] == 1


def test_boxes_of_a_squashed_picture_are_undone_with_it(tmp_path: Path) -> None:
    reader = Outlined(((10.0, 20.0, 30.0, 40.0),), (64, 64), 32, "box")
    one = case(tmp_path, "film", tissue(), mask_reader=reader, image_reader=Reshaped(32))
    assert shown(one).width == 32
    assert true_boxes(one, shown(one)) == [Region(5, 20, 15, 40)]


def test_a_hit_needs_the_centre_in_the_box_or_an_overlap() -> None:
    """Centre inside; centre outside with IoU 1/3; centre outside with IoU 1/7; two findings on one box."""
    box, scores = [10, 10, 20, 20], (0.9, 0.8, 0.7, 0.6)
    found = [
        {"box": [14, 14, 17, 17], "centre": [15, 15]},
        {"box": [15, 10, 25, 20], "centre": [20, 15]},
        {"box": [10, 17, 20, 31], "centre": [15, 24]},
        {"box": [12, 12, 18, 18], "centre": [15, 15]},
    ]
    row = {"boxes": [box], "findings": [{**one, "score": score} for one, score in zip(found, scores, strict=True)]}
    assert candidates(row).hits == (0, 0, None, 0)
    assert candidates(row).made_up(0) == 1
    assert candidates({**row, "boxes": [[40, 40, 50, 50], box]}).hits == (1, 1, None, 1)


def test_sensitivity_is_the_best_that_a_threshold_gives() -> None:
    """A lesion at 0.9, one at 0.5 behind two alarms at 0.7: at one alarm a picture the second is out of reach."""
    hit = {"box": [0, 0, 9, 9], "centre": [4, 4]}
    alarm = {"box": [50, 50, 59, 59], "centre": [54, 54], "score": 0.7}
    base = {"boxes": [[0, 0, 10, 10]], "group": "a"}
    rows = [
        {**base, "findings": [{**hit, "score": 0.9}, alarm, alarm, alarm]},
        {**base, "group": "b", "findings": [{**hit, "score": 0.5}]},
    ]
    figures = values(box_figures(rows, "films"))
    assert figures["sensitivity at 1 false positive per picture"] == 0.5
    assert figures["sensitivity at 2 false positives per picture"] == figures["sensitivity as answered"] == 1
    assert figures["false positives per picture as answered"] == 1.5
    assert box_figures([{**base, "boxes": [], "findings": []}], "films") == ()


def test_a_set_without_boxes_is_told(films: Bench, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Found no boxes with film; wanted a data set that is known by boxes"):
        box_rows(films, [case(tmp_path, "film", tissue(), tissue())], asked("boxes"))


def test_findings_are_counted_where_no_truth_tells_of_lesions(films: Bench, tmp_path: Path) -> None:
    cases = [case(tmp_path, name, tissue(lesions=name == "spots")) for name in ("none", "spots")]
    figures = values(finding_figures(finding_rows(films, cases, asked("findings")), "films"))
    assert figures == {"findings per picture": 1.0, "share of pictures with a finding": 0.5}


# ---- masks ----------------------------------------------------------------------------------------------------------


def test_masks_are_compared_where_there_is_one(squares: Bench, tmp_path: Path) -> None:
    square, dark = tiny_pipeline.square(16, 24, 16), np.zeros((64, 64), np.uint8)
    dark[0, 0] = 40
    cases = [
        case(tmp_path, "met", square, square),
        case(tmp_path, "missed", dark, square),
        case(tmp_path, "made_up", square, np.zeros_like(square)),
        case(tmp_path, "untold", square),
    ]
    rows = mask_rows(squares, cases, asked("masks"))
    assert [row["image"] for row in rows] == ["met", "missed", "made_up"]
    figures = values(mask_figures(rows, "squares"))
    assert figures["lesion Dice"] == figures["share of lesion images with no overlap at all"] == 0.5
    assert figures["share of normal images with a false lesion"] == 1


# ---- volumes --------------------------------------------------------------------------------------------------------


def test_a_tumour_of_a_volume_is_hit_or_missed(squares: Bench, tmp_path: Path) -> None:
    """The tiny pipeline windows 0 to 255: the tumour is bright, all else is dark, one component is made up."""
    image, mask = np.zeros(tiny_mri.SHAPE, np.int16), np.zeros(tiny_mri.SHAPE, np.uint8)
    mask[tiny_mri.TUMOUR] = 1
    image[tiny_mri.TUMOUR], image[1:5, 14:20, 4:6] = 250, 250
    for name, told in (("ONE", mask), ("TWO", np.roll(mask, -8, axis=0))):
        tiny_mri.write_nifti(tmp_path / "images" / name / f"{name}_0001.nii.gz", image)
        tiny_mri.write_nifti(tmp_path / "segmentations" / "expert" / f"{name}.nii.gz", told)
    hit, missed = volume_rows(squares, mama_mia.exams(tmp_path), asked("volumes"))
    assert (hit["image"], hit["hit"], hit["components"], hit["false_components"]) == ("ONE", True, 2, 1)
    assert 0.5 < hit["dice"] < 1
    assert (missed["hit"], missed["false_components"], missed["dice"]) == (False, 2, 0)
    figures = values(volume_figures([hit, missed], "exams"))
    assert figures["share of tumours hit"] == 0.5
    assert figures["false components per volume"] == 1.5
    assert figures["volume Dice"] == pytest.approx(hit["dice"] / 2, abs=1e-4)


def test_a_volume_known_by_a_box_has_no_dice() -> None:
    row = {"group": "a", "hit": True, "false_components": 0, "dice": None}
    assert set(values(volume_figures([row], "exam"))) == {"share of tumours hit", "false components per volume"}


# ---- stress ---------------------------------------------------------------------------------------------------------


def test_each_disturbance_has_a_figure_and_its_share_of_the_clean_one(squares: Bench, tmp_path: Path) -> None:
    mask = tiny_pipeline.square(60, 80, 60, 200)
    square = mask // 255 * 200
    square[0, 0] = 40
    cases = [case(tmp_path, "one", square, mask), case(tmp_path, "normal", square, np.zeros_like(mask))]
    rows = disturbed_rows(squares, cases, asked("disturbed"))
    assert [row["disturbance"] for row in rows] == list(DISTURBANCES)
    assert rows == disturbed_rows(squares, cases, asked("disturbed"))
    figures = values(disturbed_figures(rows, "squares"))
    clean = figures["lesion Dice, clean"]
    assert clean > 0.95
    for name in set(DISTURBANCES) - {CLEAN}:
        share = figures[f"lesion Dice, {name}"] / clean
        assert figures[f"share of the clean Dice, {name}"] == pytest.approx(share, abs=1e-3)
    assert figures["share of the clean Dice, gain x 0.5"] < 0.1
    assert min(figures[f"share of the clean Dice, {name}"] for name in ("gain x 1.5", "blur", "128 pixels")) > 0.8


@pytest.mark.parametrize("name", sorted(set(DISTURBANCES) - {CLEAN}))
def test_a_disturbance_changes_the_picture_and_keeps_the_lesion(name: str) -> None:
    rng = np.random.default_rng(0)
    picture = rng.integers(20, 200, (150, 200), np.uint8)
    mask = np.zeros_like(picture)
    mask[40:90, 60:120] = 1
    for shown_picture in (picture, np.repeat(picture[..., None], 3, axis=2)):
        changed, moved = DISTURBANCES[name](shown_picture, mask, np.random.default_rng(1))
        assert changed.shape[:2] == moved.shape
        assert changed.ndim == shown_picture.ndim
        assert changed.shape != shown_picture.shape or (changed != shown_picture).any()
        assert moved.any()
    if name == "128 pixels":
        assert max(moved.shape) == 128
