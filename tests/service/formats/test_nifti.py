"""NIfTI: phases, slopes, kinds of numbers; and nothing believed unchecked."""

from __future__ import annotations

import gzip
from itertools import product
from typing import Any

import nibabel
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import BadParameter, InputError, TooLarge, UnusableImage
from service.formats.limits import Limits
from service.formats.nifti import is_nifti, read_nifti
from service.formats.options import Options
from service.formats.read import read_image
from tests.service.formats.niftis import DATATYPE, DIM, NONE, SHAPE, SLOPE, VOX_OFFSET, edited, numbers, saved

FIRST = Options(Limits(min_side=2), phase=0)


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
