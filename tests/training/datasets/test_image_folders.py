"""Folders of pictures and masks with equal names, in every arrangement that is read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.training.datasets.tiny_files import blob, texture, write
from training.datasets import image_folders

NAMES = ("benign (1)", "benign (2)", "malignant (1)")
SIZE = (96, 80)


def write_folders(root: Path, masks: str = "labels", top: int = 1) -> Path:
    for number, name in enumerate(NAMES):
        write(root / "images" / f"{name}.jpg", texture(number, SIZE))
        write(root / masks / f"{name}.png", blob((8, 8 + number, 40, 60), SIZE) * np.uint8(top))
    return root


@pytest.mark.parametrize(("masks", "top"), [("labels", 1), ("labels", 255), ("masks", 255), ("masks/0", 255)])
def test_pictures_find_the_masks_of_their_names(tmp_path: Path, masks: str, top: int) -> None:
    found = image_folders.cases(write_folders(tmp_path, masks, top))
    assert [case.name for case in found] == sorted(NAMES)
    for number, case in enumerate(found):
        assert np.array_equal(case.read_mask(), blob((8, 8 + number, 40, 60), SIZE))
        assert case.read_image().shape == SIZE
    assert len({case.group for case in found}) == 3


def test_names_give_patients_and_categories(tmp_path: Path) -> None:
    found = image_folders.cases(write_folders(tmp_path), patient=r"\((\d+)\)", category="benign|malignant")
    assert [case.group for case in found] == ["1", "2", "1"]
    assert [case.category for case in found] == ["benign", "benign", "malignant"]
    assert found[0].fold == found[2].fold != found[1].fold


def test_near_duplicates_share_a_group_and_a_fold(tmp_path: Path) -> None:
    write_folders(tmp_path)
    write(tmp_path / "images" / "twin.png", (texture(0, SIZE) * 0.9).astype(np.uint8))
    write(tmp_path / "labels" / "twin.png", blob(size=SIZE))
    by_name = {case.name: case for case in image_folders.cases(tmp_path)}
    assert by_name["twin"].group == by_name["benign (1)"].group
    assert by_name["twin"].fold == by_name["benign (1)"].fold


def test_lists_choose_the_pictures_and_the_test_part(tmp_path: Path) -> None:
    write_folders(tmp_path, "masks/0")
    (tmp_path / "train.txt").write_text("benign (1)\n\n")
    (tmp_path / "val.txt").write_text("malignant (1).png\n")
    found = image_folders.cases(tmp_path, lists={"train": "train.txt", "test": "val.txt"})
    assert [(case.name, case.fold == 0) for case in found] == [("benign (1)", False), ("malignant (1)", True)]
    (tmp_path / "val.txt").write_text("benign (9)\n")
    with pytest.raises(ValueError, match=r"Found benign \(9\) in the lists of .*; wanted names of pictures in images/"):
        image_folders.cases(tmp_path, lists={"train": "train.txt", "test": "val.txt"})


def test_declared_greys_are_classes_and_others_are_refused(tmp_path: Path) -> None:
    write_folders(tmp_path, top=128)
    (case, *_) = image_folders.cases(tmp_path, classes={"0": 0, "128": 2})
    assert np.array_equal(case.read_mask(), 2 * blob((8, 8, 40, 60), SIZE))
    with pytest.raises(ValueError, match=r"Found grey 128 in .*benign \(1\).png; wanted only 0, 255"):
        image_folders.cases(tmp_path)[0].read_mask()


def test_a_mask_of_another_size_and_a_missing_one_are_told_when_read(tmp_path: Path) -> None:
    write_folders(tmp_path)
    write(tmp_path / "labels" / "benign (1).png", blob(size=(50, 50)))
    (tmp_path / "labels" / "benign (2).png").unlink()
    one, two, _ = image_folders.cases(tmp_path)
    with pytest.raises(ValueError, match=r"Found 50 x 50 .*labels/benign \(1\).png; wanted 96 x 80"):
        one.read_mask()
    with pytest.raises(FileNotFoundError, match=r"Found no file .*labels/benign \(2\).png"):
        two.read_mask()


def test_an_orphaned_mask_is_told_when_the_folders_are_listed(tmp_path: Path) -> None:
    write_folders(tmp_path)
    write(tmp_path / "labels" / "zebra.png", blob(size=SIZE))
    with pytest.raises(ValueError, match=r"Found mask .*zebra.png without a picture; wanted images/zebra"):
        image_folders.cases(tmp_path)


def test_two_pictures_of_one_stem_are_refused(tmp_path: Path) -> None:
    write_folders(tmp_path)
    write(tmp_path / "images" / "benign (1).png", texture(7, SIZE))
    with pytest.raises(ValueError, match=r"Found benign \(1\).jpg and benign \(1\).png in .*images; wanted one file"):
        image_folders.cases(tmp_path)


def test_folders_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="Found no picture in .*images"):
        image_folders.cases(tmp_path)
    write(tmp_path / "images" / "a.png", texture(0))
    with pytest.raises(FileNotFoundError, match="Found no labels, masks/0, masks in .*; wanted masks in one of them"):
        image_folders.cases(tmp_path)


def test_masks_of_several_classes_are_not_guessed(tmp_path: Path) -> None:
    write_folders(tmp_path, "masks/0")
    write(tmp_path / "masks" / "1" / "benign (1).png", blob(size=SIZE))
    with pytest.raises(ValueError, match=r"Found .*masks/1; wanted masks/0 alone"):
        image_folders.cases(tmp_path)
