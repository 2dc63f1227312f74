"""Masks beside DICOM series: segmentations matched by instance, MATLAB arrays by place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.training import tiny_mri
from training.dicom_series import Series, read_series
from training.mri_masks import read_mat, read_seg, referenced_series

IMAGE, MASK = tiny_mri.exam()
TRUTH = MASK[::-1, ::-1].transpose(2, 1, 0)


@pytest.fixture(scope="module")
def exam(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Series, list[Path]]:
    """(folder with seg.dcm, series, its files by place)."""
    root = tmp_path_factory.mktemp("exam")
    paths = tiny_mri.write_series(root / "series", IMAGE)
    tiny_mri.write_seg(root / "seg.dcm", paths, MASK)
    return root, read_series(root / "series"), paths


def test_a_segmentation_lies_on_its_series(exam: tuple[Path, Series, list[Path]]) -> None:
    root, series, _ = exam
    found = read_seg(root / "seg.dcm", series)
    np.testing.assert_array_equal(found.voxels, TRUTH)
    np.testing.assert_array_equal(found.affine, series.volume.affine)
    assert referenced_series(root / "seg.dcm") == {series.header.SeriesInstanceUID}


def test_frames_find_their_slices_by_instance_not_by_index(
    exam: tuple[Path, Series, list[Path]], tmp_path: Path
) -> None:
    _, series, paths = exam
    # Frames in the opposite order, and only those with tumour are stored.
    tiny_mri.write_seg(tmp_path / "seg.dcm", paths[::-1], MASK[:, :, ::-1])
    np.testing.assert_array_equal(read_seg(tmp_path / "seg.dcm", series).voxels, TRUTH)


def test_the_segment_is_chosen_by_its_label(exam: tuple[Path, Series, list[Path]], tmp_path: Path) -> None:
    _, series, paths = exam
    both = np.where(IMAGE > 500, 2, 0).astype(np.uint8)
    both[MASK > 0] = 1
    path = tiny_mri.write_seg(tmp_path / "seg.dcm", paths, both, ("Tumour", "Heart"))
    np.testing.assert_array_equal(read_seg(path, series, "Tumour").voxels, TRUTH)
    for wanted in (None, "Liver"):
        with pytest.raises(
            ValueError, match=f"Found the segments Tumour, Heart in .*; wanted one, here {wanted or ''}"
        ):
            read_seg(path, series, wanted)


def test_a_segmentation_of_another_series_is_refused(exam: tuple[Path, Series, list[Path]], tmp_path: Path) -> None:
    root, _, _ = exam
    tiny_mri.write_series(tmp_path, IMAGE)
    with pytest.raises(ValueError, match=r"Found no slice of .* among the 6 that .*seg.dcm refers to"):
        read_seg(root / "seg.dcm", read_series(tmp_path))


def test_a_slice_lost_from_the_series_is_noticed(exam: tuple[Path, Series, list[Path]], tmp_path: Path) -> None:
    root, _, paths = exam
    for path in paths[:-1]:
        (tmp_path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(ValueError, match=r"Found 1 slices missing in .* to which .*seg.dcm refers"):
        read_seg(root / "seg.dcm", read_series(tmp_path))


def test_a_file_that_is_no_segmentation_is_named(exam: tuple[Path, Series, list[Path]]) -> None:
    _, series, paths = exam
    with pytest.raises(ValueError, match="Found no DICOM segmentation in .*dcm"):
        read_seg(paths[0], series)


def test_a_segmentation_of_another_size_is_refused(exam: tuple[Path, Series, list[Path]], tmp_path: Path) -> None:
    root, series, _ = exam
    other = tiny_mri.write_series(tmp_path, IMAGE[:-1], SeriesInstanceUID=series.header.SeriesInstanceUID)
    assert other
    with pytest.raises(ValueError, match=r"Found 24 x 20 pixels in .*seg.dcm; wanted \(24, 19\), as in"):
        read_seg(root / "seg.dcm", read_series(tmp_path))


def test_a_matlab_mask_lies_on_its_series(exam: tuple[Path, Series, list[Path]], tmp_path: Path) -> None:
    _, series, _ = exam
    rows = tiny_mri.as_rows(MASK)
    path = tiny_mri.write_mat(tmp_path / "m.mat", {"da/mask": rows, "da/data": tiny_mri.as_rows(IMAGE)})
    np.testing.assert_array_equal(read_mat(path, series).voxels, TRUTH)
    np.testing.assert_array_equal(read_mat(path, series, from_last=True).voxels, TRUTH[::-1])


def test_the_array_of_a_matlab_file_can_be_named(exam: tuple[Path, Series, list[Path]], tmp_path: Path) -> None:
    _, series, _ = exam
    rows = tiny_mri.as_rows(MASK)
    path = tiny_mri.write_mat(tmp_path / "m.mat", {"breast": np.ones_like(rows), "lesion": rows})
    np.testing.assert_array_equal(read_mat(path, series, "lesion").voxels, TRUTH)
    with pytest.raises(ValueError, match=r"Found 2 arrays that could be a mask in .*m.mat \(breast, lesion\)"):
        read_mat(path, series)
    with pytest.raises(ValueError, match=r"Found 0 arrays that could be a mask in .*m.mat \(none\)"):
        read_mat(path, series, "tumour")


def test_a_matlab_mask_of_another_shape_is_refused(exam: tuple[Path, Series, list[Path]], tmp_path: Path) -> None:
    _, series, _ = exam
    path = tiny_mri.write_mat(tmp_path / "m.mat", {"mask": tiny_mri.as_rows(MASK)[:, :, :-1]})
    with pytest.raises(ValueError, match=r"Found shape \(5, 24, 20\) in .*m.mat; wanted \(6, 24, 20\), as in"):
        read_mat(path, series)


def test_an_older_matlab_file_is_named(exam: tuple[Path, Series, list[Path]], tmp_path: Path) -> None:
    (tmp_path / "old.mat").write_bytes(b"MATLAB 5.0 MAT-file" + bytes(200))
    with pytest.raises(ValueError, match=r"Found no HDF5 in .*old.mat .*; wanted MATLAB 7.3"):
        read_mat(tmp_path / "old.mat", exam[1])
