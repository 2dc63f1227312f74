"""NIfTI: any orientation turned and turned back, phases, slopes, kinds of numbers; and nothing believed unchecked."""

from __future__ import annotations

import gzip
import struct
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

from service.errors import BadParameter, InputError, TooLarge, UnusableImage
from service.formats.limits import Limits
from service.formats.nifti import is_nifti, read_nifti
from service.formats.options import Options
from service.formats.read import read_image
from service.image import Image
from training.volume import Volume, finest_plane, oriented

NONE = Options(Limits(min_side=2))
FIRST = Options(Limits(min_side=2), phase=0)
SHAPE = (10, 12, 9)


def numbers(shape: tuple[int, ...] = SHAPE, kind: str = "int16") -> NDArray[Any]:
    return np.arange(np.prod(shape)).reshape(shape).astype(kind)


def saved(
    volume: NDArray[Any], affine: NDArray[Any] | None = None, kind: Any = nibabel.Nifti1Image, **header: Any
) -> bytes:
    image = kind(volume, np.diag([1.0, 2.0, 3.0, 1.0]) if affine is None else affine, dtype=volume.dtype)
    image.header.set_xyzt_units("mm", "sec")
    for name, value in header.items():
        image.header[name] = value
    return bytes(image.to_bytes())


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


@pytest.mark.parametrize(
    "kind", ["uint8", "int8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64"]
)
@pytest.mark.parametrize("order", ["<", ">"])
def test_kinds_of_numbers(kind: str, order: str) -> None:
    volume = numbers((4, 5, 3), kind)
    image = nibabel.Nifti1Image(volume, np.eye(4), header=nibabel.Nifti1Header(endianness=order), dtype=volume.dtype)
    seen = read_nifti(image.to_bytes(), NONE)
    voxels = seen.slab(0, seen.depth)
    np.testing.assert_array_equal(seen.source.stored.turned_back(voxels[..., 0]), volume)
    assert voxels.dtype == (np.float32 if kind.startswith("float") else kind)


@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize("packed", [False, True])
def test_both_versions_plain_and_gzipped(kind: Any, packed: bool) -> None:
    content = saved(numbers(), kind=kind)
    content = gzip.compress(content) if packed else content
    assert is_nifti(content[:1024])
    image = read_image(content, NONE)
    np.testing.assert_array_equal(image.source.stored.turned_back(image.slab(0, image.depth)[..., 0]), numbers())


def test_a_gzip_of_several_members() -> None:
    content = saved(numbers())
    split = gzip.compress(content[:400]) + gzip.compress(content[400:])
    np.testing.assert_array_equal(read_nifti(split, NONE).slab(0, 9), read_nifti(content, NONE).slab(0, 9))


def test_slope_and_intercept() -> None:
    content = saved(numbers(), scl_slope=0.5, scl_inter=-3)
    image = read_nifti(content, NONE)
    back = image.source.stored.turned_back(image.slab(0, image.depth)[..., 0])
    np.testing.assert_allclose(back, numbers() * 0.5 - 3)
    assert image.slab(0, 1).dtype == np.float32
    assert "scaled 0.5 x + -3" in image.notes


@pytest.mark.parametrize("slope", [0, float("nan")])
def test_no_slope_means_none(slope: float) -> None:
    assert read_nifti(saved(numbers(), scl_slope=slope, scl_inter=5), NONE).slab(0, 1).dtype == np.int16


def test_one_phase_of_several() -> None:
    volume = numbers((6, 5, 4, 3))
    content = saved(volume)
    for phase, one in product(range(3), (content, gzip.compress(content))):
        image = read_nifti(one, Options(Limits(min_side=2), phase=phase))
        np.testing.assert_array_equal(
            image.source.stored.turned_back(image.slab(0, image.depth)[..., 0]), volume[..., phase]
        )
        assert image.source.stored.phase == phase
    with pytest.raises(BadParameter, match=r"3 volumes .* 0 to 2") as caught:
        read_nifti(content, NONE)
    assert caught.value.code == "needs_phase"
    with pytest.raises(BadParameter, match="phase=3; wanted 0 to 2"):
        read_nifti(content, Options(phase=3))


def test_a_fourth_axis_of_one() -> None:
    image = read_nifti(saved(numbers((6, 5, 4, 1))), NONE)
    assert (image.voxels.shape, image.source.stored.phase) == ((4, 5, 6, 1), None)


def test_a_single_slice_is_a_picture() -> None:
    image = read_nifti(saved(numbers((6, 5))), NONE)
    assert (image.voxels.shape, image.depth_axis) == ((1, 5, 6, 1), "none")


def test_rgb() -> None:
    kind = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
    volume = np.zeros((6, 5, 4), kind)
    for number, name in enumerate("RGB"):
        volume[name] = numbers((6, 5, 4)) + number
    image = read_nifti(saved(volume), NONE)
    back = image.source.stored.turned_back(image.slab(0, 4))
    np.testing.assert_array_equal(back[..., 2], volume["B"])


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


def edited(content: bytes, at: int, fmt: str, *values: Any) -> bytes:
    changed = bytearray(content)
    struct.pack_into(fmt, changed, at, *values)
    return bytes(changed)


DIM, DATATYPE, VOX_OFFSET, SLOPE, FORMS = 40, 70, 108, 112, 252
WHOLE = saved(numbers())
NOISE = saved(np.random.default_rng(5).integers(-9000, 9000, SHAPE).astype(np.int16))


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (edited(WHOLE, DIM, "<8h", 3, -5, 12, 9, 1, 1, 1, 1), "malformed"),
        (edited(WHOLE, DIM, "<8h", 3, 0, 12, 9, 1, 1, 1, 1), "malformed"),
        (edited(WHOLE, DIM, "<8h", 9, 10, 12, 9, 1, 1, 1, 1), "malformed"),
        (edited(WHOLE, DIM, "<8h", 0, 10, 12, 9, 1, 1, 1, 1), "malformed"),
        (edited(WHOLE, DIM, "<8h", 5, 10, 12, 9, 1, 3, 1, 1), "dimensions"),
        (edited(WHOLE, DIM, "<8h", 3, 10, 12, 10, 1, 1, 1, 1), "truncated"),
        (edited(WHOLE, DIM, "<8h", 3, 32000, 32000, 4, 1, 1, 1, 1), "too_large"),
        (edited(WHOLE, DIM, "<8h", 3, 5000, 5000, 100, 1, 1, 1, 1), "too_large"),
        (edited(WHOLE, DIM, "<8h", 4, 500, 500, 100, 30000, 1, 1, 1), "too_large"),
        (edited(WHOLE, VOX_OFFSET, "<f", float("nan")), "malformed"),
        (edited(WHOLE, VOX_OFFSET, "<f", float("inf")), "malformed"),
        (edited(WHOLE, VOX_OFFSET, "<f", -400.0), "malformed"),
        (edited(WHOLE, VOX_OFFSET, "<f", 100.0), "malformed"),
        (edited(WHOLE, VOX_OFFSET, "<f", 1e30), "malformed"),
        (edited(WHOLE, VOX_OFFSET, "<f", 4000.0), "truncated"),
        (edited(WHOLE, SLOPE, "<ff", float("inf"), 0), "malformed"),
        (edited(WHOLE, SLOPE, "<ff", 1, float("nan")), "malformed"),
        (edited(WHOLE, SLOPE, "<ff", 3e38, 0), "not_finite"),
        *((edited(WHOLE, DATATYPE, "<h", kind), "data_type") for kind in (0, 1, 32, 1536, 1792, 2048, 2304, 999)),
        (saved(np.full(SHAPE, np.nan, np.float32)), "not_finite"),
        (saved(np.full(SHAPE, np.inf, np.float32)), "not_finite"),
        (saved(np.full(SHAPE, 1e300)), "not_finite"),
        (WHOLE[:340], "unknown_format"),
        (WHOLE[:400], "truncated"),
        (gzip.compress(WHOLE)[:-200], "truncated"),
        (gzip.compress(WHOLE[:900]), "truncated"),
        (gzip.compress(NOISE)[:700] + bytes(9000), "truncated"),
        (gzip.compress(NOISE)[:-8] + b"\1" * 8, "malformed"),
    ],
)
def test_what_cannot_be_is_refused(content: bytes, code: str) -> None:
    with pytest.raises(InputError) as caught:
        read_image(content, FIRST)
    assert caught.value.code == code


def test_a_gzip_bomb_is_refused_by_its_header_and_behind_its_voxels() -> None:
    zeros = np.zeros((200, 200, 100), np.int16)
    bomb = edited(saved(zeros[:2, :2, :2]), DIM, "<8h", 3, 20000, 20000, 300, 1, 1, 1, 1)
    with pytest.raises(TooLarge):
        read_nifti(gzip.compress(bomb + bytes(1 << 22)), NONE)
    with pytest.raises(TooLarge, match="goes on beyond its 2512 bytes"):
        read_nifti(gzip.compress(WHOLE + bytes(1 << 26)), NONE)
    assert read_nifti(gzip.compress(WHOLE + bytes(1000)) + bytes(1000), NONE).depth == 9


@given(st.integers(0, 347), st.binary(min_size=1, max_size=8))
def test_any_header_gives_an_image_or_an_error(at: int, noise: bytes) -> None:
    content = WHOLE[:at] + noise + WHOLE[at + len(noise) :]
    try:
        image = read_image(content, Options(Limits(min_side=2, max_volume_bytes=1 << 20), phase=0))
    except InputError:
        return
    assert image.channels in (1, 3)


def test_too_small() -> None:
    with pytest.raises(UnusableImage, match="4 x 6 pixels|6 x 4 pixels"):
        read_nifti(saved(numbers((4, 6, 9))), Options())
