"""NIfTI out, read back with nibabel: every voxel of the mask lies where the source has it, in voxels and mm."""

import gzip
import itertools
import math
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from service.formats.nifti_out import NOTICE, encode_nifti
from service.image import Image
from service.source import LPS_TO_RAS, Source, Stored

SHAPES = st.tuples(st.integers(1, 5), st.integers(1, 7), st.integers(1, 9))
SPACINGS = st.tuples(*[st.floats(0.2, 4)] * 3)
ANGLES = st.tuples(*[st.floats(-math.pi, math.pi)] * 3)
TURNS = st.sampled_from(
    [(*axes, flips) for axes in itertools.permutations(range(3)) for flips in itertools.product((0, 1), repeat=3)]
)


def read(content: bytes) -> nib.Nifti1Image:
    """The file as nibabel reads it."""
    return nib.Nifti1Image.from_bytes(gzip.decompress(content))


def rotation(angles: tuple[float, float, float]) -> NDArray[np.float64]:
    """A rotation by these angles about x, y and z."""
    a, b, c = angles
    x = np.array([[1, 0, 0], [0, math.cos(a), -math.sin(a)], [0, math.sin(a), math.cos(a)]])
    y = np.array([[math.cos(b), 0, math.sin(b)], [0, 1, 0], [-math.sin(b), 0, math.cos(b)]])
    z = np.array([[math.cos(c), -math.sin(c), 0], [math.sin(c), math.cos(c), 0], [0, 0, 1]])
    return np.asarray(z @ y @ x)


def affine_of(
    spacing: tuple[float, float, float], angles: tuple[float, float, float], mirrored: bool
) -> NDArray[np.float64]:
    """Voxel (first, second, third) to mm; mirrored ones are left-handed."""
    affine = np.eye(4)
    affine[:3, :3] = rotation(angles) @ np.diag(spacing)
    affine[:3, 0] *= -1 if mirrored else 1
    affine[:3, 3] = (11.5, -60.25, 33.0)
    return affine


def marked(shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Labels (depth, height, width) without any symmetry; no two voxels of a small volume that differ look alike."""
    return np.random.default_rng(3).integers(0, 5, shape).astype(np.uint8)


def check_lands(out: nib.Nifti1Image, labels: NDArray[np.uint8], affine: NDArray[np.float64], tolerance: float) -> None:
    """Each voxel of the image, sent through the patient into the file, meets its own label there."""
    written = np.asanyarray(out.dataobj)
    depth, height, width = labels.shape
    for z, y, x in ((0, 0, 0), (depth - 1, 0, width - 1), (0, height - 1, width // 2), (depth // 2, height // 2, 0)):
        place = LPS_TO_RAS @ affine @ (x, y, z, 1)
        i, j, k = (float(v) for v in (np.linalg.inv(out.affine) @ place)[:3])
        assert (i, j, k) == pytest.approx((round(i), round(j), round(k)), abs=tolerance)
        assert written[round(i), round(j), round(k)] == labels[z, y, x]


@settings(max_examples=30)
@given(SHAPES, SPACINGS, ANGLES, st.booleans())
def test_a_dicom_volume_keeps_its_place(shape: Any, spacing: Any, angles: Any, mirrored: bool) -> None:
    labels, affine = marked(shape), affine_of(spacing, angles, mirrored)
    image = Image(np.zeros((*shape, 1)), spacing[::-1], "pixel_spacing", "space", source=Source("dicom", affine))
    out = read(encode_nifti(labels, image))
    assert out.shape == shape[::-1]
    np.testing.assert_array_equal(np.asanyarray(out.dataobj), labels.transpose(2, 1, 0))
    np.testing.assert_allclose(out.affine, LPS_TO_RAS @ affine, atol=1e-4)
    np.testing.assert_allclose(out.get_qform(coded=True)[0], LPS_TO_RAS @ affine, atol=1e-2)
    assert (int(out.header["qform_code"]), int(out.header["sform_code"])) == (1, 1)
    np.testing.assert_allclose(out.header.get_zooms(), spacing, rtol=1e-5)
    check_lands(out, labels, affine, 1e-3)


def stored_as(turn: Any, shape: tuple[int, int, int], header: nib.Nifti1Header) -> Stored:
    """A file of ``shape`` whose axes the image shows in another order and direction."""
    *axes, flips = turn
    return Stored(shape, tuple(axes), tuple(map(bool, flips)), header.get_best_affine(), header)


def seen_affine(stored: Stored) -> NDArray[np.float64]:
    """Image index (x, y, z) to mm LPS, worked out from the file's side."""
    to_file = np.zeros((4, 4))
    to_file[3, 3] = 1
    for column, (axis, flip) in enumerate(zip(stored.axes[::-1], stored.flips[::-1], strict=True)):
        to_file[axis, column] = -1 if flip else 1
        to_file[axis, 3] = stored.shape[axis] - 1 if flip else 0
    return np.asarray(LPS_TO_RAS @ stored.affine @ to_file)


@given(
    SHAPES,
    st.builds(affine_of, SPACINGS, ANGLES, st.booleans()),
    TURNS,
    st.sampled_from([(1, 1), (0, 1), (1, 0), (0, 2), (0, 0), (4, 1)]),
)
def test_a_nifti_volume_goes_back_to_its_file(shape: Any, affine: Any, turn: Any, codes: tuple[int, int]) -> None:
    header = nib.Nifti1Header()
    header.set_data_shape(shape)
    header.set_qform(affine, codes[0])
    header.set_sform(affine, codes[1])
    header["descrip"] = header["db_name"] = "ZZPHI^CANARY"
    stored = stored_as(turn, shape, header)
    in_file = marked(shape)
    labels = stored.turned(in_file).astype(np.uint8)
    image = Image(np.zeros((*labels.shape, 1)), source=Source("nifti", seen_affine(stored), stored=stored))
    content = encode_nifti(labels, image)
    out = read(content)
    np.testing.assert_array_equal(np.asanyarray(out.dataobj), in_file)
    # A form that is added is stored in single precision, those of the source stay as they are.
    np.testing.assert_allclose(out.affine, header.get_best_affine(), atol=1e-5 if codes[1] == 0 else 0)
    if any(codes):
        assert int(out.header["qform_code"]) > 0
        assert int(out.header["sform_code"]) > 0
        np.testing.assert_allclose(out.get_qform(), out.get_sform(), atol=1e-2)
    check_lands(out, labels, image.source.affine, 1e-3)  # type: ignore[union-attr,arg-type]
    assert b"ZZPHI" not in gzip.decompress(content)


def test_forms_that_differ_are_both_kept() -> None:
    header = nib.Nifti1Header()
    header.set_data_shape((4, 5, 6))
    header.set_qform(affine_of((1, 1, 2), (0, 0, 0), False), 1)
    header.set_sform(affine_of((1, 1, 2), (0.3, 0.1, 0), False), 3)
    stored = stored_as((2, 1, 0, (0, 0, 0)), (4, 5, 6), header)
    out = read(
        encode_nifti(
            marked((6, 5, 4)), Image(np.zeros((6, 5, 4, 1)), source=Source("nifti", seen_affine(stored), stored=stored))
        )
    )
    for field in ("qform_code", "sform_code", "quatern_b", "srow_x", "pixdim"):
        np.testing.assert_array_equal(out.header[field].ravel()[:4], header[field].ravel()[:4])


def test_a_sheared_form_has_no_qform_that_would_lie() -> None:
    sheared = np.array([[1, 0.4, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    header = nib.Nifti1Header()
    header.set_data_shape((9, 9, 9))
    header.set_sform(sheared, 2)
    stored = stored_as((2, 1, 0, (0, 0, 0)), (9, 9, 9), header)
    out = read(
        encode_nifti(
            marked((9, 9, 9)), Image(np.zeros((9, 9, 9, 1)), source=Source("nifti", seen_affine(stored), stored=stored))
        )
    )
    assert int(out.header["qform_code"]) == 0
    np.testing.assert_allclose(out.affine, sheared, atol=1e-6)


def test_nifti_2_stays_nifti_2() -> None:
    header = nib.Nifti2Header()
    header.set_data_shape((4, 5, 6))
    header.set_sform(affine_of((1 / 3, 1, 2), (0.1, 0.2, 0.3), False), 1)
    stored = stored_as((2, 1, 0, (0, 0, 0)), (4, 5, 6), header)
    content = encode_nifti(marked((6, 5, 4)), Image(np.zeros((6, 5, 4, 1)), source=Source("nifti", stored=stored)))
    out = nib.Nifti2Image.from_bytes(gzip.decompress(content))
    np.testing.assert_array_equal(np.asanyarray(out.dataobj), marked((6, 5, 4)).transpose(2, 1, 0))
    np.testing.assert_array_equal(out.affine, header.get_sform())


@given(SHAPES, SPACINGS, ANGLES, st.booleans(), TURNS)
def test_a_volume_of_nrrd_is_placed_in_the_patient(
    shape: Any, spacing: Any, angles: Any, mirrored: bool, turn: Any
) -> None:
    *axes, flips = turn
    affine = affine_of(spacing, angles, mirrored)
    stored = Stored(shape, tuple(axes), tuple(map(bool, flips)), affine, {"space": "left-posterior-superior"})
    labels = stored.turned(marked(shape)).astype(np.uint8)
    image = Image(np.zeros((*labels.shape, 1)), source=Source("nrrd", seen_affine(stored), stored=stored))
    out = read(encode_nifti(labels, image))
    np.testing.assert_array_equal(np.asanyarray(out.dataobj), marked(shape))
    np.testing.assert_allclose(out.affine, affine, atol=1e-4)
    assert (int(out.header["qform_code"]), int(out.header["sform_code"])) == (1, 1)
    check_lands(out, labels, image.source.affine, 1e-3)  # type: ignore[union-attr,arg-type]


def test_a_volume_of_nrrd_without_a_space_has_its_grid() -> None:
    stored = Stored((4, 5, 6), (2, 1, 0), (False, False, False), np.eye(4), {})
    out = read(
        encode_nifti(
            marked((6, 5, 4)), Image(np.zeros((6, 5, 4, 1)), (3, 2, 0.5), source=Source("nrrd", stored=stored))
        )
    )
    np.testing.assert_allclose(np.diag(out.affine), (-0.5, -2, 3, 1))
    assert int(out.header["sform_code"]) == 2


def test_a_form_that_cannot_be_is_replaced_by_the_other() -> None:
    header = nib.Nifti1Header()
    header.set_data_shape((4, 5, 6))
    affine = affine_of((1, 1, 2), (0.3, 0.1, 0), False)
    header.set_sform(affine, 2)
    header["qform_code"], header["quatern_b"] = 1, 7.0
    stored = Stored((4, 5, 6), (2, 1, 0), (False, False, False), affine, header)
    source = Source("nifti", LPS_TO_RAS @ affine, stored=stored)
    out = read(encode_nifti(marked((6, 5, 4)), Image(np.zeros((6, 5, 4, 1)), source=source)))
    assert (int(out.header["qform_code"]), int(out.header["sform_code"])) == (2, 2)
    np.testing.assert_allclose(out.get_qform(), affine, atol=1e-5)


def test_a_series_of_uneven_slices_says_that_its_step_is_unknown() -> None:
    image = Image(np.zeros((6, 5, 4, 1)), (None, 0.7, 0.5), "pixel_spacing", "space", source=Source("dicom"))
    out = read(encode_nifti(marked((6, 5, 4)), image))
    assert b"slice distance unknown" in bytes(out.header["descrip"])


@pytest.mark.parametrize(("spacing", "zooms"), [((None, None, None), (1, 1, 1)), ((None, 0.2, 0.1), (0.1, 0.2, 1))])
def test_a_picture_has_its_pixel_grid_as_space(spacing: Any, zooms: Any) -> None:
    labels = marked((1, 7, 5))
    out = read(encode_nifti(labels, Image(np.zeros((1, 7, 5, 1)), spacing)))
    np.testing.assert_array_equal(np.asanyarray(out.dataobj)[..., 0], labels[0].T)
    np.testing.assert_allclose(np.diag(out.affine), (-zooms[0], -zooms[1], 1, 1), rtol=1e-6)
    np.testing.assert_allclose(out.get_qform(), out.get_sform(), atol=1e-6)
    assert int(out.header["sform_code"]) == 2
    said = bytes(out.header["descrip"]).decode()
    assert said.startswith(NOTICE)
    assert ("unit spacing" in said) == (spacing[1] is None)
    assert out.header.get_xyzt_units()[0] == ("unknown" if spacing[1] is None else "mm")


def test_frames_over_time_lie_along_the_fourth_axis() -> None:
    labels = marked((4, 7, 5))
    out = read(encode_nifti(labels, Image(np.zeros((4, 7, 5, 1)), (None, 0.2, 0.1), depth_axis="time")))
    assert out.shape == (5, 7, 1, 4)
    np.testing.assert_array_equal(np.asanyarray(out.dataobj)[:, :, 0], labels.transpose(2, 1, 0))


def test_stored_values_are_scaled() -> None:
    levels = np.array([[[0, 13107, 65535]]], np.uint16)
    out = read(encode_nifti(levels, Image(np.zeros((1, 1, 3, 1))), scale=1 / 65535))
    assert out.get_data_dtype() == np.uint16
    np.testing.assert_allclose(np.asanyarray(out.dataobj).ravel(), (0, 0.2, 1), atol=1e-6)


def test_equal_masks_are_equal_bytes() -> None:
    image = Image(np.zeros((6, 5, 4, 1)))
    assert encode_nifti(marked((6, 5, 4)), image) == encode_nifti(marked((6, 5, 4)), image)


def test_a_side_too_long_for_nifti_1_makes_nifti_2() -> None:
    content = encode_nifti(np.ones((1, 1, 40000), np.uint8), Image(np.zeros((1, 1, 40000, 1))))
    assert nib.Nifti2Image.from_bytes(gzip.decompress(content)).shape == (40000, 1, 1)
