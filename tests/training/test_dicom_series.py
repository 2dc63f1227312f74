"""DICOM series: found, sorted by place, checked, read; the same volume as NIfTI gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from tests.training import tiny_mri
from training.dicom_series import find_series, read_series
from training.volume import check_same_grid, finest_plane, oriented, read_nifti

REAL = Path(__file__).parents[2].parent / "shared/data/mri_exam_duke153"


@pytest.mark.parametrize("degrees", [0, 15])
def test_dicom_and_nifti_give_the_same_volume(degrees: float, tmp_path: Path) -> None:
    image, _ = tiny_mri.exam()
    affine = tiny_mri.oblique(degrees)
    tiny_mri.write_series(tmp_path / "series", image, affine)
    series = read_series(tmp_path / "series").volume
    other = read_nifti(tiny_mri.write_nifti(tmp_path / "v.nii", image, affine, "LPS"))
    turned = oriented(series, finest_plane(series))
    np.testing.assert_array_equal(turned.voxels, oriented(other, "axial").voxels)
    check_same_grid(oriented(other, "axial"), turned)


def test_slices_are_sorted_by_place_not_by_name_or_number(tmp_path: Path) -> None:
    image, _ = tiny_mri.exam()
    paths = tiny_mri.write_series(tmp_path, image)
    assert [path.name for path in paths] != sorted(path.name for path in paths)
    series = read_series(tmp_path)
    assert series.numbers == (6, 5, 4, 3, 2, 1)
    assert series.instances == tuple(str(pydicom.dcmread(path).SOPInstanceUID) for path in paths)
    np.testing.assert_array_equal(series.volume.voxels[0], image[::-1, ::-1, 0].T)


def test_slope_and_intercept_are_applied(tmp_path: Path) -> None:
    tiny_mri.write_series(tmp_path, np.full((4, 5, 2), 10, np.int16), RescaleSlope=2, RescaleIntercept=-3)
    np.testing.assert_array_equal(read_series(tmp_path).volume.voxels, 17)


def test_a_single_slice_has_the_thickness_as_its_step(tmp_path: Path) -> None:
    tiny_mri.write_series(tmp_path, np.ones((4, 5, 1), np.int16))
    np.testing.assert_allclose(read_series(tmp_path).volume.spacing, (2.5, 1, 1))


def test_series_are_found_one_a_folder(tmp_path: Path) -> None:
    for name in ("b", "a"):
        tiny_mri.write_series(
            tmp_path / "p" / name, np.ones((4, 5, 2), np.int16), PatientID=name, SeriesDescription=f"s {name}"
        )
    (tmp_path / "p" / "a" / "._shadow.dcm").write_bytes(b"of a Mac")
    found = find_series(tmp_path)
    assert [(one.patient, one.description, one.modality, one.folder.name) for one in found] == [
        ("a", "s a", "MR", "a"),
        ("b", "s b", "MR", "b"),
    ]


def test_a_tree_without_dicom_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"Found no .dcm file below .*; wanted one folder for each series"):
        find_series(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"Found no .dcm file in .*; wanted the slices of a series"):
        read_series(tmp_path)


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "1.dcm").write_bytes(b"nothing of that kind" * 20)
    for read in (find_series, read_series):
        with pytest.raises(ValueError, match=r"Found no readable DICOM in .*1.dcm .*; wanted a slice"):
            read(tmp_path)


def test_two_series_in_a_folder_are_refused(tmp_path: Path) -> None:
    tiny_mri.write_series(tmp_path / "a", np.ones((4, 5, 2), np.int16))
    second = tiny_mri.write_series(tmp_path / "b", np.ones((4, 5, 2), np.int16))
    second[0].rename(tmp_path / "a" / "stray.dcm")
    with pytest.raises(ValueError, match="Found 2 series in .*; wanted one"):
        read_series(tmp_path / "a")


def edit(path: Path, **changes: Any) -> None:
    one = pydicom.dcmread(path)
    for name, value in changes.items():
        setattr(one, name, value)
    one.save_as(path)


@pytest.mark.parametrize(
    "changes", [{"PixelSpacing": [1, 2]}, {"ImageOrientationPatient": [0, 1, 0, 1, 0, 0]}, {"Columns": 2, "Rows": 10}]
)
def test_slices_of_another_grid_are_named(changes: dict[str, Any], tmp_path: Path) -> None:
    paths = tiny_mri.write_series(tmp_path, np.ones((4, 5, 3), np.int16))
    edit(paths[1], **changes)
    with pytest.raises(ValueError, match="Found .*dcm on another grid than .*dcm; wanted equal rows"):
        read_series(tmp_path)


def test_two_slices_at_one_place_are_two_time_points(tmp_path: Path) -> None:
    paths = tiny_mri.write_series(tmp_path, np.ones((4, 5, 3), np.int16))
    place = pydicom.dcmread(paths[0]).ImagePositionPatient
    edit(paths[1], ImagePositionPatient=place)
    with pytest.raises(ValueError, match="Found .*dcm and .*dcm at one place; wanted one time point"):
        read_series(tmp_path)


def test_missing_slices_are_noticed(tmp_path: Path) -> None:
    paths = tiny_mri.write_series(tmp_path, np.ones((4, 5, 6), np.int16))
    paths[2].unlink()
    with pytest.raises(ValueError, match="Found slices 2.5 to 5 mm apart in .*; wanted even distances"):
        read_series(tmp_path)


def test_slices_need_their_geometry(tmp_path: Path) -> None:
    paths = tiny_mri.write_series(tmp_path, np.ones((4, 5, 2), np.int16))
    one = pydicom.dcmread(paths[0])
    del one.PixelSpacing
    one.save_as(paths[0])
    with pytest.raises(ValueError, match="Found no PixelSpacing in .*dcm; wanted a single slice with its geometry"):
        read_series(tmp_path)


def test_many_frames_in_a_file_are_refused(tmp_path: Path) -> None:
    edit(tiny_mri.write_series(tmp_path, np.ones((4, 5, 2), np.int16))[0], NumberOfFrames=7)
    with pytest.raises(ValueError, match="Found 7 frames in .*dcm; wanted a single slice"):
        read_series(tmp_path)


def test_pixels_that_are_cut_off_are_told(tmp_path: Path) -> None:
    edit(tiny_mri.write_series(tmp_path, np.ones((4, 5, 2), np.int16))[0], PixelData=b"\0\0")
    with pytest.raises(ValueError, match="Found no readable pixels in .*dcm .*; wanted one"):
        read_series(tmp_path)


@pytest.mark.skipif(not REAL.is_dir(), reason="needs ../shared/data/mri_exam_duke153")
def test_a_real_series_is_an_even_axial_volume() -> None:
    series = read_series(REAL / "post1")
    assert series.volume.voxels.shape == (41, 448, 448)
    assert series.numbers[0] > series.numbers[-1]
    np.testing.assert_allclose(series.volume.spacing, (1.1, 0.7589, 0.7589), atol=1e-4)
    turned = oriented(series.volume, finest_plane(series.volume))
    np.testing.assert_array_equal(turned.voxels, series.volume.voxels)
    # The breasts hang to the front: air above, chest below.
    assert turned.voxels[:, :40].mean() < turned.voxels[:, 250:290].mean()
