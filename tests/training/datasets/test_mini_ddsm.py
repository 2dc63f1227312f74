"""Mini-DDSM: sheets with Windows paths, several masks, JPEG ringing, the status of patients."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from openpyxl import Workbook

from tests.training.datasets.tiny_files import blob, texture, write
from training.datasets import mini_ddsm

SIZE = (96, 80)
HEADER = ["fullPath", "fileName", "View", "Side", "Status", "Tumour_Contour", "Tumour_Contour2", "Age", "Density"]
BUNDLE, MORE = "MINI-DDSM-Complete-JPEG-8", "Data-MoreThanTwoMasks"
BOXES = ((11, 13, 43, 50), (40, 45, 71, 86), (5, 60, 30, 90))


def row(status: str, name: str, *contours: str, full: str = "") -> list[object]:
    side, view = name.split(".")[1].split("_")
    folder = f"{status}\\{name.split('_')[1]}\\"
    masks = [*(f"{folder}{mask}" if "_" in mask else mask for mask in contours), "-", "-"][:2]
    return [full or f"{folder}{name}.jpg", f"{name}.jpg", view, side, status, *masks, 61, 3]


def write_sheet(path: Path, rows: list[list[object]], header: list[str] = HEADER) -> None:
    book = Workbook()
    book.worksheets[0].title = "Data"
    for line in (header, *rows):
        book.worksheets[0].append(line)
    path.parent.mkdir(parents=True, exist_ok=True)
    book.save(path)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two patients: a benign lesion with two masks and a side without; a cancer whose mask's case differs."""
    folder = tmp_path / BUNDLE
    for number, name in enumerate(("Benign/0029/C_0029_1.RIGHT_CC", "Benign/0029/C_0029_1.LEFT_CC")):
        write(folder / f"{name}.jpg", texture(number, SIZE))
    write(folder / "Cancer/0340/A_0340_1.LEFT_MLO.jpg", texture(2, SIZE))
    write(folder / "Benign/0029/C_0029_1.RIGHT_CC_Mask.jpg", blob(BOXES[0], SIZE) * np.uint8(255))
    write(folder / "Benign/0029/C_0029_1.RIGHT_CC_Mask2.jpg", blob(BOXES[1], SIZE) * np.uint8(255))
    write(folder / "Cancer/0340/A_0340_1.LEFT_MLO_MASK.jpg", blob(BOXES[0], SIZE) * np.uint8(255))
    write_sheet(
        folder / "DataWMask.xlsx",
        [
            row("Benign", "C_0029_1.RIGHT_CC", "C_0029_1.RIGHT_CC_Mask.jpg", "C_0029_1.RIGHT_CC_Mask2.jpg"),
            row("Benign", "C_0029_1.LEFT_CC"),
            row("Cancer", "A_0340_1.LEFT_MLO", "A_0340_1.LEFT_MLO_Mask.jpg"),
        ],
    )
    return tmp_path


def test_pictures_find_their_masks_and_patients(root: Path) -> None:
    cancer, healthy_side, benign = mini_ddsm.cases(root)
    assert (cancer.name, cancer.category, cancer.group) == ("A_0340_1.LEFT_MLO", "malignant", "A_0340_1")
    assert np.array_equal(cancer.read_mask(), blob(BOXES[0], SIZE))
    assert np.array_equal(benign.read_mask(), blob(BOXES[0], SIZE) | blob(BOXES[1], SIZE))
    assert benign.read_image().shape == SIZE
    assert (healthy_side.group, healthy_side.fold) == (benign.group, benign.fold)


def test_the_status_is_the_patients_not_the_pictures(root: Path) -> None:
    told = {case.name: (case.category, case.ambiguous) for case in mini_ddsm.cases(root)}
    assert told["C_0029_1.RIGHT_CC"] == ("benign", False)
    assert told["C_0029_1.LEFT_CC"] == ("normal", True)


def test_a_picture_listed_again_gets_all_its_masks_once(root: Path) -> None:
    folder = root / MORE
    write(folder / "Benign/0029/C_0029_1.RIGHT_CC.jpg", texture(0, SIZE))
    for mask, box in (("Mask", BOXES[0]), ("Mask3", BOXES[2])):
        write(folder / f"Benign/0029/C_0029_1.RIGHT_CC_{mask}.jpg", blob(box, SIZE) * np.uint8(255))
    again = row("Benign", "C_0029_1.RIGHT_CC", "C_0029_1.RIGHT_CC_Mask.jpg", "C_0029_1.RIGHT_CC_Mask3.jpg")
    write_sheet(folder / "Data-MoreThanTwoMasks.xlsx", [again])
    benign = mini_ddsm.cases(root)[2]
    assert [path.name[-9:] for path in benign.masks] == ["_Mask.jpg", "Mask2.jpg", "Mask3.jpg"]
    assert np.array_equal(benign.read_mask(), np.bitwise_or.reduce([blob(box, SIZE) for box in BOXES]))
    assert benign.image.parents[2].name == BUNDLE


def test_a_bare_mask_name_lies_beside_its_picture(root: Path) -> None:
    line = row("Cancer", "A_0340_1.LEFT_MLO")
    line[5] = "A_0340_1.LEFT_MLO_MASK.jpg"
    write_sheet(root / BUNDLE / "DataWMask.xlsx", [line])
    assert np.array_equal(mini_ddsm.cases(root)[0].read_mask(), blob(BOXES[0], SIZE))


def test_a_mask_of_another_size_is_refused_or_rescaled(root: Path) -> None:
    path = root / BUNDLE / "Cancer/0340/A_0340_1.LEFT_MLO_MASK.jpg"
    write(path, blob((20, 30, 60, 90), (192, 160)) * np.uint8(255))
    with pytest.raises(ValueError, match=r"Found 192 x 160 .*A_0340_1.LEFT_MLO_MASK.jpg; wanted 96 x 80"):
        mini_ddsm.cases(root)[0].read_mask()
    assert np.array_equal(mini_ddsm.cases(root, rescale=True)[0].read_mask(), blob((10, 15, 30, 45), SIZE))


def test_missing_files_are_told_when_read(root: Path) -> None:
    (root / BUNDLE / "Cancer/0340/A_0340_1.LEFT_MLO_MASK.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"Found no file .*A_0340_1.LEFT_MLO_Mask.jpg"):
        mini_ddsm.cases(root)[0].read_mask()


def test_of_two_bundles_one_is_to_be_chosen(root: Path) -> None:
    write_sheet(root / "MINI-DDSM-Complete-PNG-16" / "DataWMask.xlsx", [row("Normal", "N_0001_1.LEFT_CC")])
    with pytest.raises(ValueError, match=r"JPEG-8/DataWMask.xlsx, .*; wanted one DataWMask.xlsx. Say bits=8"):
        mini_ddsm.cases(root)
    assert [case.name for case in mini_ddsm.cases(root, bits=16)] == ["N_0001_1.LEFT_CC"]
    assert len(mini_ddsm.cases(root, bits=8)) == 3


def test_sheets_that_cannot_be_meant_are_refused(root: Path, tmp_path: Path) -> None:
    sheet = root / BUNDLE / "DataWMask.xlsx"
    write_sheet(sheet, [row("Normal", "N_1_1.LEFT_CC")] * 2)
    with pytest.raises(ValueError, match=r"Found N_1_1.LEFT_CC twice in .*DataWMask.xlsx; wanted each picture once"):
        mini_ddsm.cases(root)
    write_sheet(sheet, [row("Unsure", "N_1_1.LEFT_CC")])
    with pytest.raises(ValueError, match="Found status 'Unsure' of N_1_1.LEFT_CC; wanted benign, cancer, normal"):
        mini_ddsm.cases(root)
    write_sheet(sheet, [], ["fullPath"])
    with pytest.raises(ValueError, match="Found fullPath in .*; wanted columns fullPath, fileName"):
        mini_ddsm.cases(root)
    sheet.unlink()
    with pytest.raises(FileNotFoundError, match="Found neither DataWMask.xlsx nor Data-MoreThanTwoMasks.xlsx in"):
        mini_ddsm.cases(root)
