"""Tissue masks in both layouts: the four greys, the published test part, the labels that others shifted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.training.datasets.tiny_files import REAL, texture, write
from training.datasets import tissue

FILMS = ("A_0002_1", "A_0003_1", "B_3606_1", "D_4505_1")
FOLDER = REAL / "mammography_tissue_ddsm"
needs_real = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"NOT TESTED on real films: none in {FOLDER}")
GREYS = np.repeat(np.array([64, 128, 192, 255], np.uint8), 480).reshape(48, 40)


def write_public(root: Path) -> Path:
    for number, film in enumerate(FILMS):
        part = root / ("test" if film.startswith("D") else "train_valid")
        write(part / "fgt_seg" / f"{film}.RIGHT_MLO.png", texture(number))
        write(part / "fgt_seg_labels" / f"{film}.RIGHT_MLO_LI.png", GREYS)
    return root


def test_the_public_layout_gives_labels_in_the_order_of_their_names(tmp_path: Path) -> None:
    found = tissue.cases(write_public(tmp_path))
    assert [case.name for case in found] == [f"{film}.RIGHT_MLO" for film in FILMS]
    assert [case.group for case in found] == list(FILMS)
    assert tissue.LABELS == ("background", "adipose", "fibroglandular", "pectoral muscle")
    labels = found[0].read_mask()
    assert [np.unique(labels[grey == GREYS]).tolist() for grey in (64, 128, 192, 255)] == [[0], [1], [2], [3]]


def test_legacy_labels_are_one_class_off(tmp_path: Path) -> None:
    mask = tissue.cases(write_public(tmp_path), legacy_labels=True)[0].read_mask()
    assert [int(mask[grey == GREYS][0]) for grey in (64, 128, 192, 255)] == [1, 2, 2, 3]


def test_the_published_test_part_is_fold_0_where_asked(tmp_path: Path) -> None:
    write_public(tmp_path)
    found = tissue.cases(tmp_path, official=True)
    assert [case.name for case in found if case.fold == 0] == ["D_4505_1.RIGHT_MLO"]
    assert [case.name for case in tissue.cases(tmp_path / "train_valid")] == [f"{film}.RIGHT_MLO" for film in FILMS[:3]]


def test_a_film_of_both_parts_is_refused(tmp_path: Path) -> None:
    write_public(tmp_path)
    write(tmp_path / "test" / "fgt_seg" / "A_0002_1.RIGHT_MLO.png", texture(0))
    write(tmp_path / "test" / "fgt_seg_labels" / "A_0002_1.RIGHT_MLO_LI.png", GREYS)
    with pytest.raises(ValueError, match=r"Found .*train_valid.*A_0002_1.* and .*test.*A_0002_1.*; wanted one picture"):
        tissue.cases(tmp_path)


def test_an_index_brings_its_own_cases_and_folds(tmp_path: Path) -> None:
    write(tmp_path / "images" / "A_1.RIGHT_MLO.png", texture(1))
    write(tmp_path / "masks" / "A_1.RIGHT_MLO_LI.png", GREYS)
    (tmp_path / "index.csv").write_text(
        "image,mask,case,fold\nimages/A_1.RIGHT_MLO.png,masks/A_1.RIGHT_MLO_LI.png,A,3\n"
    )
    (case,) = tissue.cases(tmp_path)
    assert (case.name, case.group, case.fold) == ("A_1.RIGHT_MLO", "A", 3)
    assert case.read_mask().max() == 3
    with pytest.raises(ValueError, match=r"Found .*index.csv with folds of its own; wanted the layout as published"):
        tissue.cases(tmp_path, official=True)


def test_another_grey_a_missing_mask_and_another_size_are_told_when_read(tmp_path: Path) -> None:
    folder = write_public(tmp_path) / "train_valid" / "fgt_seg_labels"
    write(folder / f"{FILMS[0]}.RIGHT_MLO_LI.png", np.where(GREYS == 64, 0, GREYS).astype(np.uint8))
    (folder / f"{FILMS[1]}.RIGHT_MLO_LI.png").unlink()
    write(folder / f"{FILMS[2]}.RIGHT_MLO_LI.png", GREYS[:20])
    other_grey, missing, other_size, _ = tissue.cases(tmp_path)
    with pytest.raises(ValueError, match=r"Found grey 0 in .*A_0002_1.RIGHT_MLO_LI.png; wanted only 64, 128, 192, 255"):
        other_grey.read_mask()
    with pytest.raises(FileNotFoundError, match="Found no file .*A_0003_1.RIGHT_MLO_LI.png"):
        missing.read_mask()
    with pytest.raises(ValueError, match=r"Found 20 x 40 .*B_3606_1.RIGHT_MLO_LI.png; wanted 48 x 40"):
        other_size.read_mask()


def test_an_orphaned_mask_and_a_folder_of_neither_layout_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="Found neither index.csv nor fgt_seg or train_valid/fgt_seg in"):
        tissue.cases(tmp_path)
    write(write_public(tmp_path) / "test" / "fgt_seg_labels" / "Z.png", GREYS)
    with pytest.raises(ValueError, match=r"Found mask .*Z.png without a picture; wanted fgt_seg/NAME.png beside"):
        tissue.cases(tmp_path)


@needs_real
def test_the_real_films_have_all_four_tissues_in_every_mask() -> None:
    found = tissue.cases(FOLDER)
    assert len(found) == 60
    assert len({case.group for case in found}) == 60
    assert sorted({case.fold for case in found}) == [0, 1, 2, 3, 4]
    for case in found[::7]:
        assert case.read_image().shape == (960, 480)
        assert np.unique(case.read_mask()).tolist() == [0, 1, 2, 3]
        means = [case.read_image()[case.read_mask() == label].mean() for label in (0, 1, 2)]
        assert means == sorted(means), "air is darker than fat, fat darker than gland"
