"""Photographs: an explicit map of greys, sides merged or kept, depth beside them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.training.datasets.tiny_files import texture, write
from training.datasets import photographs

SIZE = (96, 80)
GREYS = {0: "background", 50: "body", 100: "left breast", 150: "right breast", 200: "left nipple", 250: "right nipple"}
MASK = np.repeat(np.array(list(GREYS), np.uint8), 96 * 80 // 6).reshape(SIZE)


def photograph(seed: int) -> np.ndarray:
    return cv2.merge([texture(seed, SIZE), texture(seed + 50, SIZE), texture(seed + 100, SIZE)])


def write_collection(folder: Path, *names: str, start: int = 0) -> Path:
    for number, name in enumerate(names, start=start):
        write(folder / "images" / name, photograph(number))
        write(folder / "masks" / f"{Path(name).stem}.bmp", MASK)
    return folder


def test_left_and_right_are_merged_or_kept(tmp_path: Path) -> None:
    write_collection(tmp_path, "a.png", "b.JPG")
    (merged, _), (kept, _) = (photographs.cases(tmp_path, greys=GREYS, sides=sides) for sides in (False, True))
    assert [int(merged.read_mask()[grey == MASK][0]) for grey in GREYS] == [0, 1, 2, 2, 3, 3]
    assert [int(kept.read_mask()[grey == MASK][0]) for grey in GREYS] == [0, 1, 2, 3, 4, 5]
    assert np.array_equal(merged.read_image(), photograph(0)[..., ::-1])


def test_a_map_of_merged_classes_needs_no_sides(tmp_path: Path) -> None:
    write_collection(tmp_path, "a.png")
    merged = {"0": "background", "50": "body", "100": "breast", "150": "breast", "200": "nipple", "250": "nipple"}
    (case,) = photographs.cases(tmp_path, greys=merged)
    assert np.unique(case.read_mask()).tolist() == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="Found class 'breast' in the map of greys; wanted background, body, left"):
        photographs.cases(tmp_path, greys=merged, sides=True)


def test_collections_are_told_apart_and_patients_can_be_named(tmp_path: Path) -> None:
    write_collection(tmp_path / "aesthetics", "p1_a.png", "p1_b.png")
    write_collection(tmp_path / "cinderella", "p1_a.png", start=5)
    found = photographs.cases(tmp_path, greys=GREYS, patient=r"^p\d+")
    assert [case.name for case in found] == ["aesthetics p1_a", "aesthetics p1_b", "cinderella p1_a"]
    assert {case.group for case in found} == {"p1"}


def test_near_duplicates_share_a_group(tmp_path: Path) -> None:
    write_collection(tmp_path, "a.png", "b.png")
    write(tmp_path / "images" / "c.png", (photograph(0) * 0.9).astype(np.uint8))
    write(tmp_path / "masks" / "c.bmp", MASK)
    a, b, c = photographs.cases(tmp_path, greys=GREYS)
    assert (a.group, a.fold) == (c.group, c.fold)
    assert a.group != b.group


def test_cached_depth_becomes_an_input(tmp_path: Path) -> None:
    write_collection(tmp_path, "a.png", "b.png")
    assert not photographs.cases(tmp_path, greys=GREYS)[0].inputs
    depth = write(tmp_path / "depth" / "a.png", texture(1, SIZE))
    with pytest.raises(FileNotFoundError, match=r"Found .*depth without b.png; wanted the depth of every photograph"):
        photographs.cases(tmp_path, greys=GREYS)
    write(tmp_path / "depth" / "b.png", texture(2, SIZE))
    found = photographs.cases(tmp_path, greys=GREYS)
    assert found[0].inputs == {"depth": depth}
    assert depth == photographs.depth_path(found[0].image)


def test_a_stray_grey_shifts_no_class_but_is_told(tmp_path: Path) -> None:
    write_collection(tmp_path, "a.png")
    stray = MASK.copy()
    stray[0, 0] = 3
    write(tmp_path / "masks" / "a.bmp", stray)
    with pytest.raises(ValueError, match=r"Found grey 3 in .*a.bmp; wanted only 0, 50, 100, 150, 200, 250"):
        photographs.cases(tmp_path, greys=GREYS)[0].read_mask()


def test_masks_missing_or_of_another_size_are_told_when_read(tmp_path: Path) -> None:
    write_collection(tmp_path, "a.png", "b.png")
    (tmp_path / "masks" / "a.bmp").unlink()
    write(tmp_path / "masks" / "b.bmp", MASK[:50])
    a, b = photographs.cases(tmp_path, greys=GREYS)
    with pytest.raises(FileNotFoundError, match="Found no file .*masks/a.bmp"):
        a.read_mask()
    with pytest.raises(ValueError, match=r"Found 50 x 80 .*b.bmp; wanted 96 x 80"):
        b.read_mask()


def test_folders_and_names_that_disagree_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="Found no images/ in .* or below; wanted images/ and masks/"):
        photographs.cases(tmp_path, greys=GREYS)
    write_collection(tmp_path, "a.png")
    write(tmp_path / "masks" / "z.bmp", MASK)
    with pytest.raises(ValueError, match=r"Found mask .*z.bmp without a photograph; wanted images/z"):
        photographs.cases(tmp_path, greys=GREYS)
    (tmp_path / "masks" / "z.bmp").unlink()
    write(tmp_path / "images" / "a.jpg", photograph(1))
    with pytest.raises(ValueError, match=r"Found a.jpg and a.png in .*images; wanted one file named a"):
        photographs.cases(tmp_path, greys=GREYS)
