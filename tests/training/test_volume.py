"""Volumes: read from NIfTI, turned to how radiologists look at them, compared, windowed."""

from __future__ import annotations

import gzip
from itertools import permutations, product
from pathlib import Path

import nibabel
import numpy as np
import pytest

from tests.training import tiny_mri
from training.volume import (
    Volume,
    binary,
    check_same_grid,
    finest_plane,
    oriented,
    read_nifti,
    robust_unit,
)

AXES = ["".join(one) for order in permutations(("RL", "AP", "SI")) for one in product(*order)]


@pytest.mark.parametrize("axes", AXES)
def test_every_way_of_storing_gives_the_same_slices(axes: str, tmp_path: Path) -> None:
    image, _ = tiny_mri.exam()
    volume = read_nifti(tiny_mri.write_nifti(tmp_path / "v.nii", image, axes=axes))
    turned = oriented(volume, finest_plane(volume))
    assert finest_plane(volume) == "axial"
    # Slices from the feet, rows from the front, columns from the patient's right.
    np.testing.assert_array_equal(turned.voxels, image[::-1, ::-1].transpose(2, 1, 0))
    np.testing.assert_allclose(turned.spacing, (2.5, 1.0, 1.0), rtol=1e-6)
    first = turned.affine @ [0, 0, 0, 1]
    np.testing.assert_allclose(first[:3], (-10 + 19, 20 + 23, -30), atol=1e-5)


def test_an_oblique_volume_is_turned_to_the_nearest_axes_and_never_resampled(tmp_path: Path) -> None:
    image, _ = tiny_mri.exam()
    affine = tiny_mri.oblique(20)
    volume = read_nifti(tiny_mri.write_nifti(tmp_path / "v.nii.gz", image, affine, "PIR"))
    turned = oriented(volume, finest_plane(volume))
    np.testing.assert_array_equal(turned.voxels, image[::-1, ::-1].transpose(2, 1, 0))
    # Voxel (z, y, x) is where the original voxel was in the patient.
    place = turned.affine @ [3, 5, 7, 1]
    np.testing.assert_allclose(place, affine @ [19 - 7, 23 - 5, 3, 1], atol=1e-4)


@pytest.mark.parametrize(
    ("spacing", "plane", "axes"),
    [
        ((1, 1, 3), "axial", ("S", "P", "L")),
        ((3, 1, 1), "sagittal", ("L", "I", "P")),
        ((1, 3, 1), "coronal", ("P", "I", "L")),
        ((1, 1, 1), "axial", ("S", "P", "L")),
        ((3, 3, 1), "sagittal", ("L", "I", "P")),
    ],
)
def test_slices_lie_across_the_widest_side(spacing: tuple[float, ...], plane: str, axes: tuple[str, ...]) -> None:
    volume = Volume(np.zeros((4, 5, 6)), tiny_mri.affine_of(spacing), Path("v"))
    assert finest_plane(volume) == plane
    assert nibabel.aff2axcodes(oriented(volume, finest_plane(volume)).affine) == axes


def test_a_trailing_axis_of_one_is_dropped(tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(np.zeros((3, 4, 5, 1), np.int16), np.eye(4)), tmp_path / "v.nii")
    assert read_nifti(tmp_path / "v.nii").voxels.shape == (3, 4, 5)


def test_several_phases_in_one_file_are_refused(tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(np.zeros((3, 4, 5, 2), np.int16), np.eye(4)), tmp_path / "v.nii")
    with pytest.raises(ValueError, match=r"Found shape \(3, 4, 5, 2\) in .*v.nii; wanted three axes"):
        read_nifti(tmp_path / "v.nii")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"Found no file .*v.nii; wanted a NIfTI volume"):
        read_nifti(tmp_path / "v.nii")


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    whole = tiny_mri.write_nifti(tmp_path / "v.nii", tiny_mri.exam()[0]).read_bytes()
    (tmp_path / "half.nii.gz").write_bytes(gzip.compress(whole)[:-400])
    (tmp_path / "text.nii").write_text("no volume")
    for name in ("half.nii.gz", "text.nii"):
        with pytest.raises(ValueError, match=rf"Found no readable volume in .*{name} .*; wanted NIfTI"):
            read_nifti(tmp_path / name)


def test_an_affine_without_a_volume_is_refused(tmp_path: Path) -> None:
    flat = np.diag([1.0, 1.0, 0.0, 1.0])
    image = nibabel.Nifti1Image(np.zeros((3, 4, 5), np.int16), np.eye(4))
    image.header["sform_code"], image.header["qform_code"] = 1, 0
    image.header["srow_x"], image.header["srow_y"], image.header["srow_z"] = flat[0], flat[1], flat[2]
    (tmp_path / "v.nii").write_bytes(nibabel.Nifti1Image(image.dataobj, None, image.header).to_bytes())
    with pytest.raises(ValueError, match=r"Found an affine without a volume in .*v.nii; wanted three axes in space"):
        read_nifti(tmp_path / "v.nii")


def test_other_shapes_and_places_are_no_one_grid() -> None:
    image = Volume(np.zeros((2, 3, 4)), np.eye(4), Path("image"))
    check_same_grid(Volume(np.zeros((2, 3, 4)), np.eye(4) + 1e-3, Path("mask")), image)
    with pytest.raises(ValueError, match=r"Found shape \(2, 3, 5\) in mask; wanted \(2, 3, 4\), as in image"):
        check_same_grid(Volume(np.zeros((2, 3, 5)), np.eye(4), Path("mask")), image)
    moved = tiny_mri.affine_of((1, 1, 1), (0, 0, 0.5))
    with pytest.raises(ValueError, match=r"Found mask up to 0.50 mm away from image; wanted the same affine"):
        check_same_grid(Volume(np.zeros((2, 3, 4)), moved, Path("mask")), image)


def test_the_window_is_that_of_the_whole_volume_and_robust() -> None:
    voxels = np.arange(2000, dtype=np.float32).reshape(2, 10, 100)
    voxels[0, 0, 0], voxels[1, 9, 99] = -1e6, 1e6
    out = robust_unit(Volume(voxels, np.eye(4), Path("v")))
    assert (out.min(), out.max()) == (0, 1)
    np.testing.assert_allclose(np.percentile(out, 50), 0.5, atol=0.01)
    assert out[0].max() < 0.51


def test_a_value_that_is_not_finite_is_placed() -> None:
    voxels = np.ones((2, 3, 4), np.float32)
    voxels[1, 2, 3], voxels[1, 0, 1] = np.nan, np.inf
    with pytest.raises(ValueError, match=r"Found 2 voxels that are not finite in v, the first at \(1, 0, 1\)"):
        robust_unit(Volume(voxels, np.eye(4), Path("v")))


def test_a_volume_of_one_value_is_refused() -> None:
    with pytest.raises(ValueError, match="Found one value in all of v; wanted a picture"):
        robust_unit(Volume(np.ones((2, 3, 4), np.float32), np.eye(4), Path("v")))


@pytest.mark.parametrize("values", [[0, 1], [0, 255], [0], [1]])
def test_masks_become_0_and_1(values: list[int]) -> None:
    out = binary(Volume(np.array([[values]], np.float32), np.eye(4), Path("m")))
    np.testing.assert_array_equal(out, [[[value > 0 for value in values]]])


@pytest.mark.parametrize("values", [[0, 1, 2], [0, 0.5], [0, -1], [0, np.nan]])
def test_other_values_in_a_mask_are_told(values: list[float]) -> None:
    with pytest.raises(ValueError, match="Found the values 0, .* in m; wanted 0 with 1 or 255"):
        binary(Volume(np.array([[values]], np.float32), np.eye(4), Path("m")))
