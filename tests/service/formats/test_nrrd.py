"""NRRD: the fields that place a volume, raw and gzipped; everything unusual by name."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from service.errors import BadParameter, InputError, TooLarge, UnusableImage
from service.formats.limits import Limits
from service.formats.nrrd import is_nrrd
from service.formats.options import Options
from service.formats.read import read_image
from service.image import Image

NONE = Options(Limits(min_side=2))
REAL = Path(__file__).parents[3].parent / "shared" / "data" / "mri_subvolume_nrrd"
DIRECTIONS = "(0.7,0,0) (0,0.7,0) (0,0,2.5)"
TYPES = {"i1": "signed char", "u1": "uchar", "i2": "short", "u2": "ushort", "i4": "int", "u4": "uint", "i8": "int64",
         "u8": "uint64", "f4": "float", "f8": "double"}  # fmt: skip


def numbers(shape: tuple[int, ...] = (10, 12, 9), kind: str = "i2") -> NDArray[Any]:
    return np.arange(np.prod(shape)).reshape(shape).astype(kind)


def saved(volume: NDArray[Any], end: str = "\n", **fields: str | None) -> bytes:
    """NRRD of an array indexed as its axes are listed; a field that is None is left out."""
    known: dict[str, str | None] = {
        "type": TYPES[volume.dtype.str[1:]],
        "dimension": str(volume.ndim),
        "sizes": " ".join(map(str, volume.shape)),
        "space": "left-posterior-superior",
        "space directions": DIRECTIONS,
        "space origin": "(1,2,3)",
        "endian": "little",
        "encoding": "raw",
    }
    known |= {name.replace("_", " "): value for name, value in fields.items()}
    lines = ["NRRD0005", "# of nobody", "who:=ZZPHI^CANARY", *(f"{n}: {v}" for n, v in known.items() if v is not None)]
    data = volume.astype(volume.dtype.newbyteorder(">" if known["endian"] == "big" else "<")).tobytes(order="F")
    return (end.join(lines) + end + end).encode() + (
        gzip.compress(data) if known["encoding"] in ("gzip", "gz") else data
    )


def back(image: Image) -> NDArray[Any]:
    voxels = image.slab(0, image.depth)
    return image.source.stored.turned_back(voxels if image.channels == 3 else voxels[..., 0])


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("endian", ["little", "big"])
def test_kinds_of_numbers(kind: str, endian: str) -> None:
    image = read_image(saved(numbers(kind=kind), endian=endian), NONE)
    np.testing.assert_array_equal(back(image), numbers(kind=kind))


@pytest.mark.parametrize("encoding", ["raw", "gzip", "gz"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_encodings(encoding: str, end: str) -> None:
    content = saved(numbers(), end, encoding=encoding)
    assert is_nrrd(content[:10])
    image = read_image(content, NONE)
    np.testing.assert_array_equal(back(image), numbers())
    assert (image.spacing, image.spacing_source, image.depth_axis) == ((2.5, 0.7, 0.7), "nrrd", "space")
    assert "CANARY" not in repr(image.source.stored.header)


@pytest.mark.parametrize(
    ("space", "signs"),
    [("left-posterior-superior", (1, 1)), ("LPS", (1, 1)), ("right-anterior-superior", (-1, -1)), ("LAS", (1, -1))],
)
def test_places_in_the_patient(space: str, signs: tuple[int, int]) -> None:
    image = read_image(saved(numbers(), space=space), NONE)
    seen = image.slab(0, image.depth)[..., 0]
    for z, y, x in ((0, 0, 0), (8, 11, 9), (3, 2, 5)):
        (index,) = np.argwhere(numbers() == seen[z, y, x])
        place = (1 + 0.7 * index[0], 2 + 0.7 * index[1], 3 + 2.5 * index[2])
        np.testing.assert_allclose(image.source.at(x, y, z), (signs[0] * place[0], signs[1] * place[1], place[2]))


@pytest.mark.parametrize(
    ("units", "factor"), [('"mm" "mm" "mm"', 1), ('"cm" "cm" "cm"', 10), ('"um" "um" "um"', 0.001)]
)
def test_units(units: str, factor: float) -> None:
    assert read_image(saved(numbers(), space_units=units), NONE).spacing == pytest.approx(
        (2.5 * factor, 0.7 * factor, 0.7 * factor)
    )


def codes(image: Image) -> set[str]:
    return {flag.code for flag in image.flags}


@pytest.mark.parametrize("fields", [{"space": None}, {"space": "scanner-xyz"}, {"space_units": '"furlong"'}])
def test_without_a_place_slices_stay_as_stored(fields: dict[str, str | None]) -> None:
    image = read_image(saved(numbers(), **fields, spacings="0.5 0.6 2"), NONE)
    np.testing.assert_array_equal(image.slab(0, 9)[..., 0], numbers().transpose(2, 1, 0))
    assert (image.spacing, image.source.affine) == ((2.0, 0.6, 0.5), None)
    assert "orientation_unknown" in codes(image)


def test_a_picture() -> None:
    image = read_image(saved(numbers((10, 12)), space=None, space_directions=None, spacings="0.5 0.6"), NONE)
    assert (image.voxels.shape, image.spacing) == ((1, 12, 10, 1), (None, 0.6, 0.5))


def test_colour() -> None:
    volume = numbers((3, 5, 6, 4), "u1")
    fields = {"kinds": "RGB-color domain domain domain", "space_directions": f"none {DIRECTIONS}"}
    np.testing.assert_array_equal(back(read_image(saved(volume, **fields), NONE)), np.moveaxis(volume, 0, -1))


@pytest.mark.parametrize("encoding", ["raw", "gzip"])
def test_phases(encoding: str) -> None:
    volume = numbers((5, 6, 4, 3))
    content = saved(volume, space_directions=f"{DIRECTIONS} none", kinds="domain domain domain list", encoding=encoding)
    for phase in range(3):
        np.testing.assert_array_equal(
            back(read_image(content, Options(Limits(min_side=2), phase=phase))), volume[..., phase]
        )
    with pytest.raises(BadParameter, match="3 volumes at one place"):
        read_image(content, NONE)


@pytest.mark.parametrize("encoding", ["raw", "gzip"])
@pytest.mark.parametrize("kind", ["list", "time"])
@pytest.mark.parametrize("count", [2, 3, 5])
def test_phases_as_first_axis(encoding: str, kind: str, count: int) -> None:
    """Three time points are no colour: the axis says what it holds."""
    volume = numbers((count, 5, 6, 4))
    fields = {"space_directions": f"none {DIRECTIONS}", "kinds": f"{kind} domain domain domain", "encoding": encoding}
    for phase in range(count):
        image = read_image(saved(volume, **fields), Options(Limits(min_side=2), phase=phase))
        np.testing.assert_array_equal(back(image), volume[phase])
        assert (image.channels, image.spacing) == (1, pytest.approx((2.5, 0.7, 0.7)))
    with pytest.raises(BadParameter, match=f"{count} volumes at one place"):
        read_image(saved(volume, **fields), NONE)


def test_phases_as_first_axis_are_all_counted() -> None:
    content = saved(numbers((3, 5, 6, 4)), space_directions=f"none {DIRECTIONS}", kinds="list domain domain domain")
    with pytest.raises(TooLarge, match="declared voxels of 720 bytes"):
        read_image(content, Options(Limits(min_side=2, max_volume_bytes=600), phase=0))


def test_a_list_of_pictures_is_no_volume() -> None:
    pictures = numbers((10, 12, 3))
    content = saved(pictures, space=None, space_directions=None, spacings="0.5 0.6 nan", kinds="domain domain time")
    image = read_image(content, Options(Limits(min_side=2), phase=1))
    assert (image.voxels.shape, image.spacing) == ((1, 12, 10, 1), (None, 0.6, 0.5))
    np.testing.assert_array_equal(image.slab(0, 1)[0, ..., 0], pictures[..., 1].T)


def test_a_first_axis_of_one_is_nothing_to_choose_from() -> None:
    content = saved(numbers((1, 5, 6, 4)), space_directions=f"none {DIRECTIONS}", kinds="scalar domain domain domain")
    np.testing.assert_array_equal(back(read_image(content, NONE)), numbers((5, 6, 4)))


@pytest.mark.parametrize(
    "kinds",
    [
        *(f"{one} domain domain domain" for one in ("HSV-color", "XYZ-color", "vector", "3-vector", "3-normal", "???")),
        "domain domain domain RGB-color",
        "domain list domain domain",
        "list domain domain time",
        "ZZPHI^CANARY domain domain domain",
        None,
    ],
)
def test_an_axis_that_is_neither_space_nor_phase_nor_rgb_is_refused(kinds: str | None) -> None:
    content = saved(numbers((3, 5, 6, 3), "u1"), space_directions=f"none {DIRECTIONS}", kinds=kinds)
    with pytest.raises(
        UnusableImage, match=r"wanted two or three axes in space, .* Name .* in the field kinds"
    ) as caught:
        read_image(content, NONE)
    assert caught.value.code == "dimensions"
    assert "CANARY" not in str(caught.value)


WHOLE = saved(numbers())


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (saved(numbers(), data_file="other.raw"), "detached"),
        (saved(numbers(), datafile="/etc/passwd"), "detached"),
        (saved(numbers(), encoding="bzip2"), "encoding"),
        (saved(numbers(), encoding="ascii"), "encoding"),
        (saved(numbers(), byte_skip="-1"), "encoding"),
        (saved(numbers(), line_skip="3"), "encoding"),
        (saved(numbers(), type="block"), "data_type"),
        (saved(numbers(), kinds="domain domain"), "malformed"),
        (saved(numbers(), endian=None), "data_type"),
        (saved(numbers(), dimension="4"), "dimensions"),
        (saved(numbers(), sizes="10 12"), "dimensions"),
        (saved(numbers(), sizes="10 -12 9"), "dimensions"),
        (saved(numbers(), sizes="10 0 9"), "dimensions"),
        (saved(numbers(), sizes="ten 12 9"), "malformed"),
        (
            saved(
                numbers((4, 5, 6, 4), "u1"), kinds="vector domain domain domain", space_directions=f"none {DIRECTIONS}"
            ),
            "dimensions",
        ),
        (saved(numbers(), sizes="20000 20000 9"), "too_large"),
        (saved(numbers(), sizes="10 12 90"), "truncated"),
        (saved(numbers(), encoding="gzip", sizes="10 12 90"), "truncated"),
        (saved(numbers(), space_directions="(a,b,c) (0,1,0) (0,0,1)"), "malformed"),
        (saved(np.full((10, 12, 9), np.nan)), "not_finite"),
        (WHOLE[:60], "malformed"),
        (WHOLE[:-10], "truncated"),
        (b"NRRD0005\n" + b"a: b\n" * 20000 + b"\n", "malformed"),
    ],
)
def test_what_cannot_be_is_refused(content: bytes, code: str) -> None:
    with pytest.raises(InputError) as caught:
        read_image(content, NONE)
    assert caught.value.code == code
    assert "passwd" not in str(caught.value)
    assert "CANARY" not in str(caught.value)


@given(st.integers(9, 220), st.binary(min_size=1, max_size=8))
def test_any_header_gives_an_image_or_an_error(at: int, noise: bytes) -> None:
    try:
        image = read_image(
            WHOLE[:at] + noise + WHOLE[at + len(noise) :], Options(Limits(min_side=2, max_volume_bytes=1 << 20))
        )
    except InputError:
        return
    assert image.channels in (1, 3)


@pytest.mark.skipif(not REAL.is_dir(), reason="the real NRRD volume is not beside this checkout")
def test_a_real_volume_and_its_label_lie_on_one_grid() -> None:
    image, label = (read_image((REAL / f"breast1_{name}.nrrd").read_bytes()) for name in ("image", "label"))
    assert (image.voxels.shape, image.spacing) == ((21, 120, 45, 1), pytest.approx((2.1, 0.664062, 0.664062)))
    assert int((label.slab(0, label.depth) > 0).sum()) == 143
    np.testing.assert_allclose(image.source.affine, label.source.affine)
