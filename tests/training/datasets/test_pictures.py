"""Pictures come as their file has them, sizes from the header, and what cannot be read is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.training.datasets.tiny_files import texture, write, write_dicom
from training.datasets.case import Case
from training.datasets.pictures import (
    colour_picture,
    eight_bits,
    grey_picture,
    picture_size,
    pictures_in,
    read_plane,
    readable,
    unique_stems,
)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif"])
def test_a_lossless_picture_comes_as_it_was_written(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"a{suffix}", texture(1))
    assert np.array_equal(read_plane(path), texture(1))
    assert picture_size(path) == texture(1).shape


def test_sixteen_bits_stay_sixteen_bits(tmp_path: Path) -> None:
    deep = texture(2).astype(np.uint16) * 257
    assert np.array_equal(read_plane(write(tmp_path / "a.png", deep)), deep)
    assert np.array_equal(read_plane(write_dicom(tmp_path / "a.dcm", deep)), deep)
    assert picture_size(tmp_path / "a.dcm") == deep.shape


def test_dark_is_low_in_either_kind_of_dicom(tmp_path: Path) -> None:
    inverted = write_dicom(tmp_path / "a.dcm", 255 - texture(3), "MONOCHROME1")
    assert np.array_equal(read_plane(inverted), texture(3))


def test_colour_has_red_first(tmp_path: Path) -> None:
    red = np.zeros((6, 5, 3), np.uint8)
    red[..., 2] = 200
    case = Case("a", write(tmp_path / "a.png", red), (), "", "a", 0)
    assert colour_picture(case)[0, 0].tolist() == [200, 0, 0]
    assert grey_picture(case).shape == (6, 5)


def test_eight_bits_stay_and_deeper_pictures_are_stretched() -> None:
    assert np.array_equal(eight_bits(texture(1)), texture(1))
    deep = np.array([[100, 2100], [1100, 100]], np.uint16)
    assert eight_bits(deep).tolist() == [[0, 255], [128, 0]]
    assert not eight_bits(np.full((3, 3), 900, np.uint16)).any()
    assert eight_bits(np.full((3, 3, 3), 90, np.uint8)).tolist() == [[90] * 3] * 3


@pytest.mark.parametrize("name", ["a.png", "a.dcm"])
def test_what_is_no_picture_is_named(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    for read in (read_plane, picture_size):
        with pytest.raises(FileNotFoundError, match=f"Found no file .*{name}; wanted a picture or mask"):
            read(path)
    for content in (b"", b"no picture"):
        path.write_bytes(content)
        for read in (read_plane, picture_size):
            with pytest.raises(ValueError, match=f"Found no readable picture in .*{name}; wanted PNG"):
                read(path)


def test_dicom_of_several_frames_is_refused(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a.dcm", np.zeros((2, 4, 3), np.uint8))
    with pytest.raises(ValueError, match=r"Found an array of shape \(2, 4, 3\) in .*a.dcm; wanted one grey frame"):
        read_plane(path)


def test_two_files_of_one_stem_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"Found a.jpg and a.png in .*; wanted one file named a. Remove or rename"):
        unique_stems([tmp_path / "b.png", tmp_path / "a.png", tmp_path / "a.jpg"])


def test_a_folder_without_pictures_is_refused_and_hidden_files_do_not_count(tmp_path: Path) -> None:
    write(tmp_path / "._a.png", texture(0))
    (tmp_path / "notes.txt").write_text("a")
    with pytest.raises(FileNotFoundError, match=r"Found no picture in .*; wanted .png"):
        pictures_in(tmp_path)
    write(tmp_path / "A.PNG", texture(0))
    assert list(pictures_in(tmp_path)) == ["A"]


def test_what_can_be_read_keeps_its_place(tmp_path: Path) -> None:
    paths = [tmp_path / "none.png", write(tmp_path / "a.png", texture(0)), tmp_path / "bad.png"]
    paths[2].write_text("bad")
    assert [index for index, _ in readable(paths)] == [1]
