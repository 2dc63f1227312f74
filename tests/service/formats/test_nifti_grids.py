"""Where the voxels of a NIfTI file lie: orientations, forms, units, oblique and sheared grids."""

from __future__ import annotations

from itertools import permutations, product
from typing import Any

import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nibabel import orientations
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from service.formats.nifti import read_nifti
from service.image import Image
from tests.service.formats.niftis import FORMS, NONE, SHAPE, edited, numbers, saved
from training.volume import Volume, finest_plane, oriented


def codes(image: Image) -> set[str]:
    return {flag.code for flag in image.flags}


def check_places(image: Image, volume: NDArray[Any], affine: NDArray[Any]) -> None:
    """Every corner voxel lies where the file says, in LPS."""
    seen = image.slab(0, image.depth)[..., 0]
    for z, y, x in product(*((0, side - 1) for side in seen.shape)):
        (index,) = np.argwhere(volume == seen[z, y, x])
        right, anterior, superior = (affine @ [*index, 1])[:3]
        np.testing.assert_allclose(image.source.at(x, y, z), (-right, -anterior, superior), atol=1e-3)


@pytest.mark.parametrize(("axes", "signs"), [*product(permutations(range(3)), product((1, -1), repeat=3))])
def test_all_48_orientations_are_turned_and_turned_back(axes: tuple[int, ...], signs: tuple[int, ...]) -> None:
    affine = np.eye(4)
    affine[:3, :3] = np.diag((1.0, 1.5, 4.0))[list(axes)] * signs
    affine[:3, 3] = (5, -7, 11)
    volume = numbers()
    image = read_nifti(saved(volume, affine), NONE)
    check_places(image, volume, affine)
    stored = image.source.stored
    np.testing.assert_array_equal(stored.turned_back(image.slab(0, image.depth)[..., 0]), volume)
    np.testing.assert_allclose(stored.affine, affine)
    assert (stored.shape, image.spacing[0]) == (SHAPE, 4.0)


@pytest.mark.parametrize(("axes", "signs"), [*product(permutations(range(3)), product((1, -1), repeat=3))])
def test_slices_are_turned_as_for_training(axes: tuple[int, ...], signs: tuple[int, ...]) -> None:
    affine = np.eye(4)
    affine[:3, :3] = np.diag((1.0, 1.5, 4.0))[list(axes)] * signs
    volume = Volume(numbers(), affine, None)  # type: ignore[arg-type]
    image = read_nifti(saved(volume.voxels, affine), NONE)
    np.testing.assert_array_equal(image.slab(0, image.depth)[..., 0], oriented(volume, finest_plane(volume)).voxels)


@settings(max_examples=40)
@given(
    st.lists(st.floats(-180, 180), min_size=3, max_size=3),
    st.lists(st.floats(0.3, 5), min_size=3, max_size=3),
    st.lists(st.integers(2, 9), min_size=3, max_size=3),
    st.booleans(),
)
def test_oblique_grids_keep_every_voxel_and_its_place(
    angles: list[float], sides: list[float], shape: list[int], mirrored: bool
) -> None:
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", angles, degrees=True).as_matrix() @ np.diag(sides)
    affine[:3, 0] *= -1 if mirrored else 1
    volume = numbers((shape[0], shape[1], shape[2]))
    image = read_nifti(saved(volume, affine), NONE)
    stored = image.source.stored
    np.testing.assert_array_equal(stored.turned_back(image.slab(0, image.depth)[..., 0]), volume)
    check_places(image, volume, affine)
    assert sorted(image.spacing) == pytest.approx(sorted(sides), rel=1e-4)
    turned = orientations.aff2axcodes(image.source.affine @ np.diag([-1, -1, 1, 1]))
    assert len({*turned}) == 3


@given(
    st.permutations(range(3)),
    st.lists(st.booleans(), min_size=3, max_size=3),
    st.lists(st.integers(1, 5), min_size=4, max_size=4),
)
def test_turning_back_undoes_turning(axes: list[int], flips: list[bool], shape: list[int]) -> None:
    from service.source import Stored

    stored = Stored(
        (shape[0], shape[1], shape[2]), (axes[0], axes[1], axes[2]), (flips[0], flips[1], flips[2]), np.eye(4), None
    )
    volume = np.arange(np.prod(shape)).reshape(shape)
    np.testing.assert_array_equal(stored.turned_back(stored.turned(volume)), volume)


def test_the_sform_goes_before_the_qform() -> None:
    image = nibabel.Nifti1Image(numbers(), None)
    image.set_qform(np.diag([2.0, 2.0, 2.0, 1.0]), 1)
    image.set_sform(np.diag([1.0, 1.0, 5.0, 1.0]), 0)
    assert read_nifti(image.to_bytes(), NONE).spacing == (2.0, 2.0, 2.0)
    image.set_sform(np.diag([1.0, 1.0, 5.0, 1.0]), 4)
    seen = read_nifti(image.to_bytes(), NONE)
    assert (seen.spacing, "spacing_disagrees" in codes(seen)) == ((5.0, 1.0, 1.0), True)


def test_an_unusable_sform_gives_way() -> None:
    image = nibabel.Nifti1Image(numbers(), None)
    image.set_qform(np.diag([2.0, 2.0, 2.0, 1.0]), 1)
    image.header["sform_code"] = 1
    assert read_nifti(image.to_bytes(), NONE).spacing == (2.0, 2.0, 2.0)


def test_without_a_form_slices_stay_as_stored() -> None:
    content = edited(saved(numbers(), pixdim=[1, 0.7, 0.8, 2, 1, 1, 1, 1]), FORMS, "<hh", 0, 0)
    image = read_nifti(content, NONE)
    np.testing.assert_array_equal(image.slab(0, 9)[..., 0], numbers().transpose(2, 1, 0))
    assert image.source.affine is None
    assert (image.spacing, image.spacing_source) == (pytest.approx((2, 0.8, 0.7)), "nifti")
    assert "orientation_unknown" in codes(image)


def test_a_picture_without_a_step_keeps_its_millimetres() -> None:
    content = edited(saved(numbers((10, 12, 1))), FORMS, "<hh", 0, 0)
    image = read_nifti(edited(content, 76 + 4, "<3f", 0.7, 0.8, 0.0), NONE)
    assert (image.spacing, image.spacing_source) == ((None, pytest.approx(0.8), pytest.approx(0.7)), "nifti")
    volume = edited(edited(saved(numbers()), FORMS, "<hh", 0, 0), 76 + 4, "<3f", 0.7, 0.8, 0.0)
    assert read_nifti(volume, NONE).spacing == (None, None, None)


@pytest.mark.parametrize(("cosine", "flagged"), [(0.0, False), (0.001, False), (0.009, True)])
def test_a_grid_that_is_nearly_at_right_angles(cosine: float, flagged: bool) -> None:
    affine = np.eye(4)
    affine[0, 1] = cosine
    image = read_nifti(saved(numbers((120, 120, 3)), affine), NONE)
    assert (image.spacing_source, "oblique_grid" in codes(image)) == ("nifti", flagged)


@pytest.mark.parametrize(("unit", "factor"), [(1, 1000.0), (2, 1.0), (3, 0.001), (0, 1.0)])
def test_units(unit: int, factor: float) -> None:
    image = read_nifti(saved(numbers(), xyzt_units=unit), NONE)
    assert image.spacing == pytest.approx((3 * factor, 2 * factor, 1 * factor))
    assert ("units_assumed" in codes(image)) == (unit == 0)
    np.testing.assert_allclose(image.source.stored.affine, np.diag([1.0, 2.0, 3.0, 1.0]))


def test_a_sheared_grid_has_no_millimetres() -> None:
    affine = np.eye(4)
    affine[0, 1] = 0.3
    image = read_nifti(saved(numbers(), affine), NONE)
    assert (image.spacing_source, "sheared_grid" in codes(image)) == ("none", True)
    assert image.source.affine is not None
