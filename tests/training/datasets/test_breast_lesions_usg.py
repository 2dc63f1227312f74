"""BrEaST as TCIA gives it: a clinical sheet, pictures with alpha, tumour masks in alpha or luminance."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from openpyxl import Workbook

from tests.training.datasets.tiny_files import blob, texture, write
from training.datasets import breast_lesions_usg

HEADER = [
    "CaseID",
    "Image_filename",
    "Mask_tumor_filename",
    "Mask_other_filename",
    "Pixel_size",
    "Age",
    "BIRADS",
    "Classification",
]
FOLDER = "BrEaST-Lesions_USG-images_and_masks"
Row = list[object]
ROWS: list[Row] = [
    [1, "case001.png", "case001_tumor.png", "case001_other1.png&case001_other2.png", 0.0084, 57, "2", "benign"],
    [2, "case002.png", "case002_tumor.png", None, 0.0071, "not available", "4a", "malignant"],
    [3, "case003.png", None, None, "not available", 43, "1", "normal"],
    [12, "case012.png", "case012_tumor.png", None, None, 43, "5", "Malignant"],
]


def write_sheet(root: Path, rows: list[Row], header: list[str] = HEADER) -> Path:
    book = Workbook()
    book.worksheets[0].title = "BrEaST-Lesions-USG clinical dat"
    for row in (header, *rows):
        book.worksheets[0].append(row)
    root.mkdir(parents=True, exist_ok=True)
    book.save(root / "BrEaST-Lesions-USG-clinical-data-Dec-15-2023.xlsx")
    return root


def with_alpha(grey: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    return cv2.merge([grey, grey, grey, alpha])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Four cases: mask in alpha, mask in luminance, no mask, mask in luminance under an opaque alpha."""
    write_sheet(tmp_path, ROWS)
    folder = tmp_path / FOLDER
    opaque = np.full_like(blob(), 255)
    for number in (1, 2, 3, 12):
        write(folder / f"case{number:03d}.png", with_alpha(texture(number), opaque))
    write(folder / "case001_tumor.png", with_alpha(opaque, blob() * np.uint8(255)))
    write(folder / "case001_other1.png", blob((0, 0, 40, 48)))
    write(folder / "case002_tumor.png", blob() * np.uint8(255))
    write(folder / "case012_tumor.png", with_alpha(blob() * np.uint8(255), opaque))
    return tmp_path


def test_one_case_a_woman_with_spacing_in_mm(root: Path) -> None:
    found = breast_lesions_usg.cases(root)
    assert [case.name for case in found] == ["case001", "case002", "case003", "case012"]
    assert [case.category for case in found] == ["benign", "malignant", "normal", "malignant"]
    assert [case.group for case in found] == [case.name for case in found]
    assert found[0].spacing == pytest.approx((0.084, 0.084))
    assert [case.spacing for case in found[2:]] == [None, None]


def test_pictures_are_read_without_their_alpha_and_tumours_alone_are_masks(root: Path) -> None:
    for case, number in zip(breast_lesions_usg.cases(root), (1, 2, 3, 12), strict=True):
        assert np.array_equal(case.read_image(), texture(number))
        assert np.array_equal(case.read_mask(), blob() * (case.category != "normal"))


def test_folds_are_the_same_each_time_and_balanced(root: Path) -> None:
    rows: list[Row] = [
        [n, f"case{n:03d}.png", f"case{n:03d}_tumor.png", None, 0.01, 1, "2", kind]
        for n, kind in enumerate(["benign", "malignant"] * 10, start=1)
    ]
    write_sheet(root, rows)
    folds = [case.fold for case in breast_lesions_usg.cases(root)]
    assert sorted(folds) == [0] * 4 + [1] * 4 + [2] * 4 + [3] * 4 + [4] * 4
    assert folds == [case.fold for case in breast_lesions_usg.cases(root)]


def test_a_missing_picture_or_mask_is_told_when_it_is_read(root: Path) -> None:
    (root / FOLDER / "case001_tumor.png").unlink()
    (root / FOLDER / "case002.png").unlink()
    write_sheet(root, [*ROWS[:2], [4, "case003.png", None, None, 0.01, 1, "2", "benign"]])
    one, two, four = breast_lesions_usg.cases(root)
    with pytest.raises(FileNotFoundError, match=r"Found no file .*case001_tumor.png"):
        one.read_mask()
    with pytest.raises(FileNotFoundError, match=r"Found no file .*case002.png"):
        two.read_image()
    with pytest.raises(FileNotFoundError, match=r"Found no file .*case004_tumor.png"):
        four.read_mask()


def test_a_folder_without_the_sheet_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"Found no .xlsx in .*; wanted one clinical sheet"):
        breast_lesions_usg.cases(tmp_path)


def test_a_sheet_without_the_columns_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"Found CaseID in .*xlsx; wanted columns CaseID, Image_filename"):
        breast_lesions_usg.cases(write_sheet(tmp_path, [], ["CaseID"]))


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        (7, "unsure", "Found class 'unsure' of case001; wanted benign, malignant, normal"),
        (0, "one", "Found CaseID 'one' of case001.png; wanted a number"),
        (4, 84.0, "Found pixel size 84 of case001; wanted cm, 0 to 1"),
    ],
)
def test_values_that_cannot_be_meant_are_refused(root: Path, column: int, value: object, words: str) -> None:
    row = [*ROWS[0][:column], value, *ROWS[0][column + 1 :]]
    with pytest.raises(ValueError, match=words):
        breast_lesions_usg.cases(write_sheet(root, [row]))


def test_a_woman_of_two_rows_is_refused(root: Path) -> None:
    with pytest.raises(ValueError, match=r"Found .*case001.png and .*case001.png; wanted one picture named case001"):
        breast_lesions_usg.cases(write_sheet(root, [ROWS[0], ROWS[0]]))


def test_a_mask_of_another_size_is_told_when_it_is_read(root: Path) -> None:
    write(root / FOLDER / "case002_tumor.png", blob(size=(24, 20)) * np.uint8(255))
    with pytest.raises(ValueError, match=r"Found 24 x 20 .*case002_tumor.png; wanted 48 x 40 .* as .*case002.png"):
        breast_lesions_usg.cases(root)[1].read_mask()


def test_one_name_in_two_folders_is_refused(root: Path) -> None:
    write(root / "copy" / "case001.png", texture(1))
    with pytest.raises(ValueError, match=r"case001.png; wanted each name once. Remove one of the copies"):
        breast_lesions_usg.cases(root)
