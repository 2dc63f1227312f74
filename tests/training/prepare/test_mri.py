"""The MRI chain: exams in, slices, masks, boxes, labels, folds out."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.training import tiny_mri
from tests.training.prepare.mri_exams import NAMES, SMALL, rows_of
from training.datasets import mama_mia, mri_slices
from training.datasets.exam import Exam
from training.prepare.mri import component_boxes, prepare_mri, yolo_label


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven exams as MAMA-MIA has them; nobody writes here."""
    return tiny_mri.write_mama_mia(tmp_path_factory.mktemp("mama_mia"), NAMES)


@pytest.fixture(scope="module")
def prepared(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The seven exams with all slices and subtraction, 48 pixels; nobody writes here."""
    out = tmp_path_factory.mktemp("prepared")
    assert prepare_mri(mama_mia.exams(source), out, replace(SMALL, subtraction=True)) == out / "manifest.csv"
    return out


def picture(path: Path) -> np.ndarray:
    return np.asarray(cv2.imread(str(path), cv2.IMREAD_UNCHANGED))


def test_every_slice_is_there_with_its_facts(prepared: Path) -> None:
    rows = rows_of(prepared)
    assert len(rows) == 7 * 6
    one = rows[2]
    assert (one["exam"], one["patient"], one["z"], one["depth"], one["plane"]) == ("DUKE_001",) * 2 + (
        "2",
        "6",
        "axial",
    )
    # 24 x 20 pixels of 1 mm become 48 x 40 of 0.5 mm between black bars.
    assert (one["spacing_z"], one["spacing_y"], one["spacing_x"]) == ("2.5", "0.5", "0.5")
    assert (one["source_height"], one["source_width"], one["truth"]) == ("24", "20", "mask")
    assert picture(prepared / one["image"]).shape == (48, 48)
    assert not picture(prepared / one["image"])[:, [0, 3, 44, 47]].any()


def test_masks_boxes_and_labels_agree(prepared: Path) -> None:
    for row in rows_of(prepared):
        mask = picture(prepared / row["mask"])
        assert set(np.unique(mask)) <= {0, 255}
        assert int((mask > 0).sum()) == int(row["tumour_px"]) == (100 if row["z"] in "23" else 0)
        boxes = json.loads(row["boxes"])
        lines = (prepared / row["label"]).read_text().splitlines()
        assert len(lines) == len(boxes) == (row["z"] in "23")
        for line, (left, top, right, bottom) in zip(lines, boxes, strict=True):
            assert mask[top:bottom, left:right].all()
            x, y, w, h = (float(value) * 48 for value in line.split()[1:])
            np.testing.assert_allclose((x - w / 2, y - h / 2, w, h), (left, top, right - left, bottom - top), atol=1e-4)


def test_the_tumour_is_bright_where_its_mask_is(prepared: Path) -> None:
    for row in rows_of(prepared)[2:4]:
        inside = picture(prepared / row["mask"]) > 0
        # At twice the size the edge itself is interpolated.
        assert picture(prepared / row["subtraction"])[inside].min() > 130
        assert picture(prepared / row["subtraction"])[~inside].max() < 130
        image = picture(prepared / row["image"])
        assert image[inside].mean() > image[~inside].mean()


def test_the_window_is_that_of_the_whole_volume(prepared: Path) -> None:
    lows, highs = [], []
    for row in rows_of(prepared)[:6]:
        content = picture(prepared / row["image"])[:, 4:44]
        lows.append(content.min())
        highs.append(content.max())
    # Slices without tumour are dark: each its own window would have made all alike.
    assert min(lows) == 0
    assert max(highs) == 255
    assert highs[0] < 200


def test_patients_stay_whole_in_folds_and_lists(prepared: Path) -> None:
    rows = rows_of(prepared)
    for column in ("fold", "split"):
        assert all(len({row[column] for row in rows if row["patient"] == name}) == 1 for name in NAMES)
    assert {row["fold"] for row in rows} == set("01234")
    listed = {part: (prepared / f"{part}.txt").read_text().split() for part in ("train", "validation", "test")}
    for part, lines in listed.items():
        assert lines == [f"./{row['image']}" for row in rows if row["split"] == part]
    assert sum(map(len, listed.values())) == len(rows)
    assert {row["split"] for row in rows if row["fold"] == "0"} == {"test"}


def test_the_folder_is_a_data_set(prepared: Path) -> None:
    cases = mri_slices.cases(prepared)
    assert len(cases) == 42
    one = cases[2]
    assert (one.name, one.group, one.category, one.spacing) == ("DUKE_001_z002", "DUKE_001", "tumour", (0.5, 0.5))
    assert one.read_image().shape == (48, 48)
    assert one.read_mask().sum() == 100
    assert set(one.inputs) == {"subtraction"}
    assert [case.category for case in cases[:6]] == ["normal", "normal", "tumour", "tumour", "normal", "normal"]
    assert len(mri_slices.cases(prepared, "tumour_only")) == 14
    assert len(mri_slices.cases(prepared, "ratio:1")) == 28


def test_dicom_and_nifti_give_the_same_slices(tmp_path: Path) -> None:
    from training.datasets.exam import Scan
    from training.dicom_series import read_series
    from training.volume import read_nifti

    image, mask = tiny_mri.exam()
    tiny_mri.write_series(tmp_path / "series", image)
    tiny_mri.write_nifti(tmp_path / "v.nii.gz", image, axes="PIR")
    tiny_mri.write_nifti(tmp_path / "m.nii.gz", mask, axes="SLA")
    truth = read_nifti(tmp_path / "m.nii.gz")
    for name, volume in (("a", read_nifti(tmp_path / "v.nii.gz")), ("b", read_series(tmp_path / "series").volume)):
        prepare_mri([Exam("E", "E", lambda _, volume=volume: Scan(volume, truth))], tmp_path / name, SMALL)
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file())
    assert len(files) == 6 * 3 + 7
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_stretching_fills_the_square(source: Path, tmp_path: Path) -> None:
    prepare_mri(mama_mia.exams(source)[:1], tmp_path, replace(SMALL, letterbox=False, policy="tumour_only"))
    rows = rows_of(tmp_path)
    assert [row["z"] for row in rows] == ["2", "3"]
    assert (rows[0]["spacing_y"], rows[0]["spacing_x"]) == ("0.5", "0.416667")
    # The first and last column are the picture's own, bright towards the patient's right.
    assert picture(tmp_path / rows[0]["image"])[:, 0].mean() > 100
    assert int(rows[0]["tumour_px"]) == 10 * 12
    assert not (tmp_path / "subtraction").exists()


def test_blank_slices_are_left_out_and_counted_in_z(tmp_path: Path) -> None:
    image, mask = tiny_mri.exam()
    image[:, :, [0, 5]] = 0
    tiny_mri.write_nifti(tmp_path / "in" / "c" / "image.nii.gz", image)
    tiny_mri.write_nifti(tmp_path / "in" / "c" / "mask.nii.gz", mask)
    prepare_mri(mama_mia.exams(tmp_path / "in"), tmp_path / "out", SMALL)
    assert [row["z"] for row in rows_of(tmp_path / "out")] == ["1", "2", "3", "4"]


def test_the_makers_test_part_is_fold_0(source: Path, tmp_path: Path) -> None:
    exams = [replace(exam, official="test" if exam.name in NAMES[2:4] else "train") for exam in mama_mia.exams(source)]
    prepare_mri(exams, tmp_path, replace(SMALL, policy="tumour_only"))
    rows = rows_of(tmp_path)
    assert {row["patient"] for row in rows if row["fold"] == "0"} == set(NAMES[2:4])
    assert {row["patient"] for row in rows if row["split"] == "test"} == set(NAMES[2:4])


def test_small_components_get_no_box() -> None:
    mask = np.zeros((20, 20), np.uint8)
    mask[1:4, 1:4] = 1
    mask[10:14, 12:15] = 1
    mask[17, 2:10] = 1
    assert component_boxes(mask) == [(12, 10, 15, 14), (1, 1, 4, 4)]
    assert component_boxes(mask, 1) == [(12, 10, 15, 14), (1, 1, 4, 4), (2, 17, 10, 18)]
    assert component_boxes(mask * 0) == []


def test_yolo_lines_are_shares_of_the_side() -> None:
    assert yolo_label([(0, 0, 10, 5), (5, 5, 10, 10)], 10) == (
        "0 0.500000 0.250000 1.000000 0.500000\n0 0.750000 0.750000 0.500000 0.500000\n"
    )
    assert yolo_label([], 10) == ""


def test_slices_of_boxes_can_be_left_out(source: Path, tmp_path: Path) -> None:
    first, second, *_ = mama_mia.exams(source)
    prepare_mri([first, replace(second, truth="boxes")], tmp_path, SMALL)
    assert {case.group for case in mri_slices.cases(tmp_path, truth="mask")} == {NAMES[0]}
    assert {case.group for case in mri_slices.cases(tmp_path, truth="boxes")} == {NAMES[1]}
