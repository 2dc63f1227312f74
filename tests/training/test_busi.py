"""BUSI in both layouts: every quirk of the public folders, built here on the fly from phantoms."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.training.phantom_busi import SIZE, phantom, write_busi, write_case
from training.datasets import busi
from training.datasets.grouping import near_duplicate_groups

REAL = Path(__file__).parents[3] / "shared" / "data" / "ultrasound_busi"
needs_real = pytest.mark.skipif(
    not (REAL / "index.csv").is_file(), reason=f"NOT TESTED on real pictures: no index.csv in {REAL}"
)


def _blob(box: tuple[int, int, int, int]) -> np.ndarray:
    """0/1 mask of the phantoms' size, 1 in (left, top, right, bottom)."""
    mask = np.zeros(SIZE, np.uint8)
    left, top, right, bottom = box
    mask[top:bottom, left:right] = 1
    return mask


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The three folders of the public layout, empty."""
    return write_busi(tmp_path, 0)


def test_the_public_layout_gives_one_case_per_picture(tmp_path: Path) -> None:
    found = busi.cases(write_busi(tmp_path, 10))
    assert [case.name for case in found] == sorted(case.name for case in found)
    assert {case.name for case in found} >= {"benign (1)", "malignant (2)", "normal (5)"}
    assert [case.category for case in found] == ["benign"] * 4 + ["malignant"] * 4 + ["normal"] * 2
    assert {case.fold for case in found} <= set(range(busi.FOLDS))
    assert len({case.group for case in found}) == 10
    assert not any(case.ambiguous for case in found)
    for case in found:
        assert case.read_image().shape == case.read_mask().shape == SIZE
        assert case.read_mask().any() == (case.category != "normal")


def test_several_masks_of_a_picture_are_merged(root: Path) -> None:
    path = write_case(root, "benign", 4, phantom(1, "benign").image, _blob((10, 10, 20, 20)))
    # (4) must not take the masks of (40).
    write_case(root, "benign", 40, phantom(2, "benign").image, _blob((90, 90, 99, 99)))
    cv2.imwrite(str(path.with_name("benign (4)_mask_1.png")), _blob((50, 50, 60, 70)) * 255)
    cv2.imwrite(str(path.with_name("benign (4)_mask_2.png")), _blob((15, 15, 30, 30)) * 255)
    four, forty = busi.cases(root)
    assert [mask.name for mask in four.masks] == [
        "benign (4)_mask.png",
        "benign (4)_mask_1.png",
        "benign (4)_mask_2.png",
    ]
    wanted = _blob((10, 10, 20, 20)) | _blob((50, 50, 60, 70)) | _blob((15, 15, 30, 30))
    assert np.array_equal(four.read_mask(), wanted)
    assert np.array_equal(forty.read_mask(), _blob((90, 90, 99, 99)))


def test_masks_may_be_one_bit_or_rgb_and_pictures_rgb(root: Path) -> None:
    drawn = phantom(1, "malignant")
    one, two = (write_case(root, "malignant", n, drawn.image, drawn.mask) for n in (1, 2))
    cv2.imwrite(str(one.with_name("malignant (1)_mask.png")), drawn.mask * 255, [cv2.IMWRITE_PNG_BILEVEL, 1])
    cv2.imwrite(str(two.with_name("malignant (2)_mask.png")), cv2.merge([drawn.mask * 255] * 3))
    cv2.imwrite(str(two), cv2.merge([drawn.image] * 3))
    for case in busi.cases(root):
        assert np.array_equal(case.read_mask(), drawn.mask)
        assert np.array_equal(case.read_image(), drawn.image)


@pytest.mark.parametrize("second", ["benign (7).jpg", "benign (7)_mask.bmp"])
def test_two_files_of_one_stem_are_refused(root: Path, second: str) -> None:
    path = write_case(root, "benign", 7, phantom(1, "benign").image, _blob((10, 10, 20, 20)))
    cv2.imwrite(str(path.with_name(second)), phantom(2, "benign").image)
    stem = Path(second).stem
    with pytest.raises(ValueError, match=rf"Found {re.escape(stem)}.* and {re.escape(stem)}.* wanted one file named"):
        busi.cases(root)


def test_two_classes_do_not_share_a_name(root: Path) -> None:
    for category in ("benign", "malignant"):
        path = root / category / "one.png"
        cv2.imwrite(str(path), phantom(len(category), category).image)
        cv2.imwrite(str(path.with_name("one_mask.png")), _blob((10, 10, 20, 20)) * 255)
    with pytest.raises(
        ValueError, match=r"Found .*benign/one\.png and .*malignant/one\.png; wanted one picture named one"
    ):
        busi.cases(root)


def test_pictures_of_other_formats_are_read_and_hidden_files_are_not(root: Path) -> None:
    drawn = phantom(1, "benign")
    path = write_case(root, "benign", 7, drawn.image, drawn.mask)
    cv2.imwrite(str(path.with_suffix(".bmp")), drawn.image)
    path.rename(path.with_name("._benign (7).png"))
    (case,) = busi.cases(root)
    assert (case.name, case.image.suffix) == ("benign (7)", ".bmp")
    assert np.array_equal(case.read_mask(), drawn.mask)


def test_a_missing_mask_names_the_file_that_is_wanted(root: Path) -> None:
    path = write_case(root, "benign", 7, phantom(1, "benign").image, _blob((10, 10, 20, 20)))
    path.with_name("benign (7)_mask.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"no mask beside benign \(7\)\.png; wanted benign \(7\)_mask\.png"):
        busi.cases(root)


@pytest.mark.parametrize(
    ("mask", "text"),
    [
        (np.full((20, 30), 255, np.uint8), r"Found 20 x 30 .*benign \(7\)_mask.png; wanted .* as .*benign \(7\).png"),
        (None, r"Found grey 77 in .*benign \(7\)_mask.png; wanted only 0, 255. Declare these values or mend the mask"),
    ],
)
def test_a_mask_that_does_not_fit_is_told_when_it_is_read(root: Path, mask: np.ndarray | None, text: str) -> None:
    drawn = phantom(1, "benign")
    path = write_case(root, "benign", 7, drawn.image, drawn.mask)
    odd = np.where(drawn.mask > 0, np.uint8(77), np.uint8(255)) if mask is None else mask
    cv2.imwrite(str(path.with_name("benign (7)_mask.png")), odd)
    (case,) = busi.cases(root)
    with pytest.raises(ValueError, match=text):
        case.read_mask()


def test_a_file_that_is_no_picture_is_named(root: Path) -> None:
    path = write_case(root, "benign", 7, phantom(1, "benign").image, _blob((10, 10, 20, 20)))
    path.write_text("no picture")
    with pytest.raises(FileNotFoundError, match=r"no readable picture at .*benign \(7\)\.png; wanted PNG"):
        busi.cases(root)


def test_a_folder_of_neither_layout_is_refused(tmp_path: Path) -> None:
    (tmp_path / "benign").mkdir()
    with pytest.raises(FileNotFoundError, match=r"neither index.csv nor the folders benign, malignant, normal"):
        busi.cases(tmp_path)


def test_one_picture_under_two_classes_is_ambiguous(tmp_path: Path) -> None:
    root = write_busi(tmp_path, 5)
    drawn = phantom(0, "benign")  # benign (1) is this one
    write_case(root, "malignant", 99, drawn.image, drawn.mask)
    by_name = {case.name: case for case in busi.cases(root)}
    pair = by_name["benign (1)"], by_name["malignant (99)"]
    assert pair[0].group == pair[1].group
    assert pair[0].fold == pair[1].fold
    assert [name for name, case in by_name.items() if case.ambiguous] == ["benign (1)", "malignant (99)"]


def test_an_index_brings_its_own_groups_and_folds(tmp_path: Path) -> None:
    drawn = phantom(3, "benign")
    (tmp_path / "a b").mkdir()
    cv2.imwrite(str(tmp_path / "a b" / "one (1).png"), drawn.image)
    cv2.imwrite(str(tmp_path / "one.png"), drawn.mask * 255)
    (tmp_path / "index.csv").write_text(
        "image,mask,class,group,fold,class_ambiguous\na b/one (1).png,one.png,benign,pair7,3,1\n"
    )
    (case,) = busi.cases(tmp_path)
    assert (case.name, case.category, case.group, case.fold, case.ambiguous) == ("one (1)", "benign", "pair7", 3, True)
    assert np.array_equal(case.read_mask(), drawn.mask)


def test_an_index_of_another_data_set_is_refused(tmp_path: Path) -> None:
    (tmp_path / "index.csv").write_text("image,mask,group,fold\n")
    with pytest.raises(ValueError, match="Found no column class, class_ambiguous in .*index.csv; wanted image, mask"):
        busi.cases(tmp_path)


@needs_real
def test_the_real_index_is_read_whole_and_no_group_lies_in_two_folds() -> None:
    found = busi.cases(REAL)
    assert len(found) == 622
    counts = {category: sum(case.category == category for case in found) for category in busi.CLASSES}
    assert counts == {"benign": 349, "malignant": 168, "normal": 105}
    folds_of: dict[str, set[int]] = {}
    for case in found:
        folds_of.setdefault(case.group, set()).add(case.fold)
    assert {len(folds) for folds in folds_of.values()} == {1}
    assert {case.fold for case in found} == set(range(busi.FOLDS))


@needs_real
def test_our_grouping_of_the_real_pictures_agrees_with_the_index() -> None:
    """Of all pairs that one of the two groupings joins, nearly all are joined by both."""
    found = busi.cases(REAL)
    ours = near_duplicate_groups([case.read_image() for case in found])
    joined, indexed = (_pairs(groups) for groups in (ours, [case.group for case in found]))
    assert len(joined & indexed) >= 0.9 * len(joined | indexed)


def _pairs(groups: list[int] | list[str]) -> set[tuple[int, int]]:
    """Index pairs of members of one group."""
    count = range(len(groups))
    return {(i, j) for i in count for j in count if i < j and groups[i] == groups[j]}
