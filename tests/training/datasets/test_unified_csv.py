"""The unified table: what is written is read back, splits become folds, others' headers and paths are understood."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.training.datasets.tiny_files import blob, texture, write
from training.datasets import unified_csv
from training.datasets.unified_csv import Entry


def entry(number: int, patient: str, split: str = "", **changes: str) -> Entry:
    name = f"{number:03d}"
    fields = {
        "image": f"images/set/{name}.png",
        "mask": f"masks/set/{name}.png",
        "patient": patient,
        "laterality": "LEFT",
        "view": "CC",
        "label": "benign",
        "split": split,
        "source": "set",
        "group": "",
    }
    return Entry(**(fields | changes))


def write_table(root: Path, *entries: Entry) -> Path:
    for number, one in enumerate(entries):
        write(root / one.image, texture(number))
        for mask in one.mask.split(";"):
            if mask:
                write(root / mask, blob() * np.uint8(255))
    unified_csv.write(entries, root / unified_csv.TABLE)
    return root


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    entries = entry(1, "a"), entry(2, "a", mask=""), entry(3, "b", label="Malignant", group="shared")
    found = unified_csv.cases(write_table(tmp_path, *entries))
    assert [case.name for case in found] == ["set 001", "set 002", "set 003"]
    assert [case.group for case in found] == ["set a", "set a", "shared"]
    assert [case.category for case in found] == ["benign", "benign", "malignant"]
    assert [bool(case.read_mask().any()) for case in found] == [True, False, True]
    assert np.array_equal(found[2].read_image(), texture(2))
    assert not list(tmp_path.glob("*.part"))


def test_a_split_becomes_folds(tmp_path: Path) -> None:
    parts = ["test", "train", "train", "val", "train", "train", "test"]
    found = unified_csv.cases(write_table(tmp_path, *(entry(n, f"p{n}", part) for n, part in enumerate(parts))))
    assert [case.fold for case, part in zip(found, parts, strict=True) if part == "test"] == [0, 0]
    assert [case.fold for case, part in zip(found, parts, strict=True) if part == "val"] == [1]
    assert sorted(case.fold for case, part in zip(found, parts, strict=True) if part == "train") == [2, 2, 3, 4]


def test_without_a_split_all_folds_are_shared(tmp_path: Path) -> None:
    found = unified_csv.cases(write_table(tmp_path, *(entry(n, f"p{n}") for n in range(10))))
    assert sorted(case.fold for case in found) == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]


def test_a_patient_in_two_parts_is_refused(tmp_path: Path) -> None:
    write_table(tmp_path, entry(1, "a", "train"), entry(2, "a", "test"))
    with pytest.raises(ValueError, match=r"Found set a in two parts of the split of .*unified.csv \(1 in all\)"):
        unified_csv.cases(tmp_path)


def test_rows_of_one_picture_are_one_case(tmp_path: Path) -> None:
    write(tmp_path / "masks" / "second.png", blob((30, 30, 39, 47)) * np.uint8(255))
    write_table(tmp_path, entry(1, "a"), entry(1, "a", mask="masks/second.png"))
    (case,) = unified_csv.cases(tmp_path)
    write(case.masks[0], blob() * np.uint8(255))
    write(case.masks[1], blob((30, 30, 39, 47)) * np.uint8(255))
    assert np.array_equal(case.read_mask(), blob() | blob((30, 30, 39, 47)))


def test_the_cascade_projects_own_table_is_understood(tmp_path: Path) -> None:
    header = "file_path,patient_id,left_or_right_breast,image_view,pathology,image_file_path,roi_mask_file_path,dataset"
    folder = "D:/Hackathon/data_files"
    rows = [
        rf"x,P_00001,LEFT,CC,MALIGNANT,{folder}\CBIS_IMAGES\a.png,{folder}\CBIS_MASKS\a_mask.png,CBIS",
        rf"x,C_0029_1.LEFT_CC,LEFT,CC,Benign,{folder}\MINI\b.png,,MINI",
        rf"x,C_0029_1.RIGHT_CC,RIGHT,CC,Benign,{folder}\MINI\c.png,,MINI",
    ]
    (tmp_path / "theirs.csv").write_text("\n".join([header, *rows]))
    write(tmp_path / "CBIS_IMAGES" / "a.png", texture(1))
    write(tmp_path / "CBIS_MASKS" / "a_mask.png", blob() * np.uint8(255))
    one, two, three = unified_csv.cases(tmp_path, table="theirs.csv")
    assert (one.name, one.group, one.category) == ("CBIS a", "CBIS P_00001", "malignant")
    assert np.array_equal(one.read_mask(), blob())
    assert two.group == three.group == "MINI C_0029_1"
    with pytest.raises(FileNotFoundError, match=r"Found no file .*data_files/MINI/b.png"):
        two.read_image()


def test_absolute_paths_are_taken_as_they_are(tmp_path: Path) -> None:
    image = write(tmp_path / "elsewhere" / "a.png", texture(1))
    (tmp_path / "root").mkdir()
    unified_csv.write([entry(1, "a", image=str(image), mask="")], tmp_path / "root" / "unified.csv")
    assert unified_csv.cases(tmp_path / "root")[0].image == image


def test_tables_that_cannot_be_meant_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="Found no unified.csv in .*; wanted one. Run data prepare mammography"):
        unified_csv.cases(tmp_path)
    write_table(tmp_path, entry(1, "a", "holdout"))
    with pytest.raises(ValueError, match="Found split 'holdout' of images/set/001.png in .*; wanted train, validation"):
        unified_csv.cases(tmp_path)
    write_table(tmp_path, entry(1, "a"), entry(1, "a", image="more/001.png"))
    with pytest.raises(ValueError, match=r"Found .*001.png and .*001.png in .*; wanted one set 001. Rename one"):
        unified_csv.cases(tmp_path)
    (tmp_path / "unified.csv").write_text("image,mask\n")
    with pytest.raises(ValueError, match="Found no column patient, .* in .*unified.csv"):
        unified_csv.cases(tmp_path)


def test_a_mask_of_another_size_or_value_is_told_when_read(tmp_path: Path) -> None:
    write_table(tmp_path, entry(1, "a"), entry(2, "b"))
    write(tmp_path / "masks" / "set" / "001.png", blob(size=(20, 20)))
    write(tmp_path / "masks" / "set" / "002.png", texture(3))
    one, two = unified_csv.cases(tmp_path)
    with pytest.raises(ValueError, match=r"Found 20 x 20 .*masks/set/001.png; wanted 48 x 40"):
        one.read_mask()
    with pytest.raises(ValueError, match=r"Found grey .* in .*masks/set/002.png; wanted only 0, 255"):
        two.read_mask()
