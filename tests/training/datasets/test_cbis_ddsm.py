"""CBIS-DDSM in three layouts, with what its lists get wrong."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from tests.training.datasets.tiny_files import REAL, blob, texture, write, write_dicom
from training.datasets import cbis_ddsm
from training.datasets.case import Case

HEADER = [
    "patient_id",
    "breast density",
    "left or right breast",
    "image view",
    "abnormality id",
    "abnormality type",
    "assessment",
    "pathology",
    "subtlety",
    "image file path",
    "cropped image file path",
    "ROI mask file path",
]
UID = "1.3.6.1.4.1.9590.100.1.2."
SIZE = (120, 96)
LEFT, RIGHT = (10, 20, 40, 60), (50, 61, 80, 101)
BOXED = REAL / "mammography_masses_cbis"
needs_real = pytest.mark.skipif(not BOXED.is_dir(), reason=f"NOT TESTED on real films: none in {BOXED}")
Row = list[str]


def uid(series: int) -> str:
    return f"{UID}{series:05d}"


def listed(case: str, series: int, end: str = "") -> str:
    return f"{case}/{uid(90000 + series)}/{uid(series)}/000000.dcm{end}"


def row(film: str, region: int, pathology: str, series: tuple[int, int, int], kind: str = "Mass-Training") -> Row:
    """A list's row: ``film`` is P_00001_LEFT_CC, ``series`` those of picture, crop and mask; paths end in a break."""
    patient, side, view = film[:7], *film[8:].split("_")
    case = f"{kind}_{film}"
    paths = [
        listed(case, series[0]),
        listed(f"{case}_{region}", series[1], "\n"),
        listed(f"{case}_{region}", series[2], "\n"),
    ]
    return [patient, "3", side, view, str(region), kind[:4].lower(), "4", pathology, "4", *paths]


def write_list(root: Path, name: str, rows: list[Row], header: list[str] = HEADER) -> None:
    root.mkdir(parents=True, exist_ok=True)
    with (root / f"{name}_set.csv").open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def mask(box: tuple[int, int, int, int], size: tuple[int, int] = SIZE) -> np.ndarray:
    return blob(box, size) * np.uint8(255)


def crop(seed: int) -> np.ndarray:
    return texture(seed, (40, 30))


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    """The JPEG mirror: one film with two regions, mask and crop of the second swapped and in series of their own."""
    jpeg = tmp_path / "jpeg"
    write(jpeg / uid(1) / "1-249.jpg", texture(1, SIZE))
    write(jpeg / uid(2) / "1-250.jpg", crop(5))
    write(jpeg / uid(2) / "2-251.jpg", mask(LEFT))
    write(jpeg / uid(3) / "1-100.jpg", mask(RIGHT))
    write(jpeg / uid(4) / "1-101.jpg", crop(6))
    rows = [
        row("P_00001_LEFT_CC", 1, "BENIGN", (1, 2, 2)),
        row("P_00001_LEFT_CC", 2, "MALIGNANT", (1, 3, 4)),
    ]
    write_list(tmp_path / "csv", "mass_case_description_train", rows)
    return tmp_path


def test_several_regions_are_one_mask_wherever_mask_and_crop_lie(mirror: Path) -> None:
    (case,) = cbis_ddsm.cases(mirror)
    assert (case.name, case.group, case.category) == ("P_00001_LEFT_CC", "P_00001", "malignant")
    assert case.read_image().shape == SIZE
    assert np.array_equal(case.read_mask(), blob(LEFT, SIZE) | blob(RIGHT, SIZE))
    assert case.spacing is None


def _folder_of(root: Path, layout: str, case: str, series: int) -> Path:
    if layout == "described":
        return root / "CBIS-DDSM" / case / f"07-20-2016-DDSM-{90000 + series}" / f"1.000000-some images-{series:05d}"
    return root / case / uid(90000 + series) / uid(series)


@pytest.mark.parametrize("layout", ["named by uid", "described"])
def test_tcia_dicom_is_found_by_uid_or_by_description(tmp_path: Path, layout: str) -> None:
    film = "Mass-Training_P_00004_RIGHT_MLO"
    deep = texture(3, SIZE).astype(np.uint16) * 257
    write_dicom(_folder_of(tmp_path, layout, film, 11) / "1-1.dcm", deep)
    write_dicom(_folder_of(tmp_path, layout, f"{film}_1", 12) / "1-1.dcm", mask(LEFT))
    write_dicom(_folder_of(tmp_path, layout, f"{film}_1", 12) / "1-2.dcm", crop(1))
    write_list(
        tmp_path, "mass_case_description_train", [row("P_00004_RIGHT_MLO", 1, "BENIGN_WITHOUT_CALLBACK", (11, 12, 12))]
    )
    (case,) = cbis_ddsm.cases(tmp_path)
    assert case.category == "benign"
    assert np.array_equal(case.read_image(), deep)
    assert np.array_equal(case.read_mask(), blob(LEFT, SIZE))


def test_where_sizes_do_not_tell_two_values_do(mirror: Path) -> None:
    """The crop is as large as the film and the mask is larger still."""
    write(mirror / "jpeg" / uid(2) / "1-250.jpg", texture(9, SIZE))
    write(mirror / "jpeg" / uid(2) / "2-251.jpg", mask((20, 40, 80, 120), (240, 192)))
    write_list(mirror / "csv", "mass_case_description_train", [row("P_00001_LEFT_CC", 1, "BENIGN", (1, 2, 2))])
    write(mirror / "jpeg" / uid(1) / "1-249.jpg", texture(1, (60, 48)))
    (case,) = cbis_ddsm.cases(mirror, rescale=True)
    assert [path.name for path in case.masks] == ["2-251.jpg"]
    assert np.array_equal(case.read_mask(), blob((5, 10, 20, 30), (60, 48)))


def test_a_mask_of_another_size_is_refused_unless_its_aspect_allows_rescaling(mirror: Path) -> None:
    """As Mass-Test P_00145 LEFT CC: 4386 x 1789 for a film of 5041 x 2056."""
    write(mirror / "jpeg" / uid(1) / "1-249.jpg", texture(1, (504, 206)))
    write(mirror / "jpeg" / uid(2) / "2-251.jpg", mask((40, 60, 90, 120), (439, 179)))
    write_list(mirror / "csv", "mass_case_description_train", [row("P_00001_LEFT_CC", 1, "BENIGN", (1, 2, 2))])
    (refused,) = cbis_ddsm.cases(mirror)
    with pytest.raises(ValueError, match=r"Found 439 x 179 .*2-251.jpg; wanted 504 x 206 .* as .*1-249.jpg"):
        refused.read_mask()
    (rescaled,) = cbis_ddsm.cases(mirror, rescale=True)
    assert rescaled.read_mask().shape == (504, 206)
    write(mirror / "jpeg" / uid(2) / "2-251.jpg", mask(LEFT, (400, 400)))
    with pytest.raises(ValueError, match=r"Found 400 x 400 .*; wanted the aspect of 504 x 206"):
        cbis_ddsm.cases(mirror, rescale=True)[0].read_mask()


def test_missing_files_are_told_when_read(mirror: Path) -> None:
    (mirror / "jpeg" / uid(1) / "1-249.jpg").unlink()
    (case,) = cbis_ddsm.cases(mirror)
    with pytest.raises(FileNotFoundError, match=rf"Found no file .*P_00001_LEFT_CC/.*{uid(1)}/000000.dcm"):
        case.read_image()
    for path in (mirror / "jpeg" / uid(2)).iterdir():
        path.unlink()
    assert cbis_ddsm.cases(mirror)[0].masks[0].parts[-2] == uid(2)


def _films(root: Path) -> list[Case]:
    """Three patients: one in the mass list's training and the calcification list's test part."""
    train = [row(f"P_0000{n}_LEFT_CC", 1, "BENIGN", (n, n, n)) for n in (1, 2, 3)]
    test = [row("P_00003_RIGHT_MLO", 1, "MALIGNANT", (4, 4, 4), "Calc-Test")]
    write_list(root, "mass_case_description_train", train)
    write_list(root, "calc_case_description_test", test)
    return cbis_ddsm.cases(root, official=True)


def test_a_patient_of_both_parts_is_tested(tmp_path: Path) -> None:
    folds = {case.name: case.fold for case in _films(tmp_path)}
    assert folds["P_00003_RIGHT_MLO"] == folds["P_00003_LEFT_CC"] == 0
    assert 0 not in (folds["P_00001_LEFT_CC"], folds["P_00002_LEFT_CC"])
    groups = {case.name: (case.group, case.fold) for case in cbis_ddsm.cases(tmp_path)}
    assert groups["P_00003_RIGHT_MLO"] == groups["P_00003_LEFT_CC"]
    assert len(cbis_ddsm.cases(tmp_path, lists=["calc"])) == 1


def test_a_film_of_both_lists_is_one_case_with_both_masks(mirror: Path) -> None:
    write(mirror / "jpeg" / uid(7) / "1-1.jpg", mask((60, 5, 90, 30)))
    calc = row("P_00001_LEFT_CC", 1, "BENIGN", (1, 8, 7), "Calc-Training")
    write_list(mirror / "csv", "calc_case_description_train", [calc])
    (case,) = cbis_ddsm.cases(mirror)
    wanted = blob(LEFT, SIZE) | blob(RIGHT, SIZE) | blob((60, 5, 90, 30), SIZE)
    assert np.array_equal(case.read_mask(), wanted)


def test_merged_lists_with_other_headers_are_read(mirror: Path) -> None:
    rows = [row("P_00001_LEFT_CC", 1, "BENIGN", (1, 2, 2))]
    write_list(mirror / "csv", "mass_case_description_train", rows, [name.replace(" ", "_") for name in HEADER])
    assert np.array_equal(cbis_ddsm.cases(mirror)[0].read_mask(), blob(LEFT, SIZE))


def test_lists_that_cannot_be_meant_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="Found neither index.csv nor mass_case_description_train_set.csv in"):
        cbis_ddsm.cases(tmp_path)
    write_list(tmp_path, "mass_case_description_test", [], HEADER[:3])
    with pytest.raises(ValueError, match="Found no column image view, pathology, .* in .*mass_case_description_test"):
        cbis_ddsm.cases(tmp_path)
    write_list(tmp_path, "mass_case_description_test", [row("P_00001_LEFT_CC", 1, "UNPROVEN", (1, 1, 1))])
    with pytest.raises(ValueError, match="Found pathology 'UNPROVEN' in .*; wanted MALIGNANT, BENIGN, BENIGN_WITHOUT"):
        cbis_ddsm.cases(tmp_path)


BOX_HEADER = "image,patient,side,view,pathology,boxes_ltrb_800,fold\n"


def test_boxes_alone_are_weak_masks(tmp_path: Path) -> None:
    boxes = "[[69.8, 402.0, 175.4, 483.0], [10.0, 20.0, 30.0, 40.0]]"
    write(tmp_path / "images" / "00001_LEFT_CC.jpg", texture(1, (800, 800)))
    (tmp_path / "index.csv").write_text(
        f'{BOX_HEADER}images/00001_LEFT_CC.jpg,00001,LEFT,CC,BENIGN|MALIGNANT,"{boxes}",2\n'
    )
    (case,) = cbis_ddsm.cases(tmp_path)
    assert (case.name, case.group, case.fold, case.category) == ("P_00001_LEFT_CC", "P_00001", 2, "malignant")
    wanted = blob((70, 402, 175, 483), (800, 800)) | blob((10, 20, 30, 40), (800, 800))
    assert np.array_equal(case.read_mask(), wanted)
    with pytest.raises(ValueError, match=r"Found .*index.csv with folds of its own; wanted the layout as published"):
        cbis_ddsm.cases(tmp_path, official=True)
    (tmp_path / "index.csv").write_text(f'{BOX_HEADER}a.jpg,00001,LEFT,CC,BENIGN,"[[1, 2, 3]]",2\n')
    with pytest.raises(ValueError, match=r"Found boxes \[\[1, 2, 3\]\] of P_00001_LEFT_CC; wanted left, top, right"):
        cbis_ddsm.cases(tmp_path)


@needs_real
def test_the_real_boxes_are_read_whole_and_no_patient_lies_in_two_folds() -> None:
    found = cbis_ddsm.cases(BOXED)
    assert len(found) == 1231
    assert len({case.group for case in found}) == len({(case.group, case.fold) for case in found}) == 691
    assert {case.category for case in found} == {"benign", "malignant"}
    for case in found[::300]:
        assert case.read_image().shape == case.read_mask().shape == (800, 800)
        assert case.read_mask().any()
