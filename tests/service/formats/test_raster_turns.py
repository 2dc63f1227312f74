"""Pictures that lie on their side, and limits: what is turned, what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow

from service.errors import SetupError, TooLarge
from service.formats.pixels import upright
from service.formats.raster import Limits, read_raster
from tests.service.formats.pictures import chunk, deep, gradient, saved, saved_deep, tiff
from tests.service.formats.reading import read

TURNS = range(1, 9)


def turned_back(pixels: np.ndarray[Any, Any], orientation: int) -> np.ndarray[Any, Any]:
    """What a camera stores so that ``orientation`` shows ``pixels`` upright; 6 and 8 undo each other."""
    return upright(pixels, {6: 8, 8: 6}.get(orientation, orientation))


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize(("kind", "options"), [("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {})])
def test_orientation_is_applied(kind: str, options: dict[str, Any], orientation: int) -> None:
    exif = Pillow.Exif()
    exif[274] = orientation
    pixels, notes = read(saved(turned_back(gradient(), orientation), kind, exif=exif, **options))
    np.testing.assert_array_equal(pixels, gradient())
    assert notes == (() if orientation == 1 else (f"exif_orientation={orientation} applied",))


@pytest.mark.parametrize("orientation", TURNS)
def test_orientation_of_deep_tiff_is_applied_once(orientation: int) -> None:
    pixels, notes = read(tiff(turned_back(deep(), orientation), t274=orientation))
    np.testing.assert_array_equal(pixels, deep())
    assert notes[0] == "16-bit kept"


@pytest.mark.parametrize("orientation", TURNS)
def test_orientation_of_deep_png_is_applied_once(orientation: int) -> None:
    exif = Pillow.Exif()
    exif[274] = orientation
    plain = saved_deep(turned_back(deep(), orientation), ".png")
    header_end = 33
    turned = plain[:header_end] + chunk(b"eXIf", exif.tobytes()[6:]) + plain[header_end:]
    np.testing.assert_array_equal(read(turned)[0], deep())


@given(orientation=st.integers(2, 8), height=st.integers(1, 7), width=st.integers(1, 7))
def test_upright_agrees_with_the_standard(orientation: int, height: int, width: int) -> None:
    """EXIF names where the stored row 0 and column 0 lie in the upright picture."""
    stored = np.arange(height * width).reshape(height, width, 1)
    shown = upright(stored, orientation)[..., 0]
    row_0 = {2: shown[0, ::-1], 3: shown[-1, ::-1], 4: shown[-1], 5: shown[:, 0], 6: shown[:, -1], 7: shown[::-1, -1]}
    np.testing.assert_array_equal(row_0.get(orientation, shown[::-1, 0]), stored[0, :, 0])


def test_upright_leaves_unknown_values() -> None:
    np.testing.assert_array_equal(upright(gradient(), 9), gradient())


def test_unreadable_exif_does_not_cost_the_picture() -> None:
    pixels, notes = read(saved(gradient(), "PNG", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff"))
    np.testing.assert_array_equal(pixels, gradient())
    assert notes == ("exif unreadable, ignored",)


def test_telephone_jpeg_with_a_second_picture_gives_the_first() -> None:
    first, second = Pillow.fromarray(gradient()), Pillow.fromarray(255 - gradient())
    pixels, notes = read(saved(first, "MPO", save_all=True, append_images=[second], quality=95))
    assert np.abs(pixels.astype(int) - gradient()).mean() < 4
    assert notes == ("first picture of a multi-picture jpeg",)


def test_all_black_is_a_picture() -> None:
    assert not read(saved(np.zeros((24, 40), np.uint8), "PNG"))[0].any()


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP", "WEBP", "JPEG"])
def test_pixels_over_the_limit_are_refused(kind: str) -> None:
    content = saved(gradient(), kind)
    assert read_raster(content, Limits(max_pixels=24 * 40)).width == 40
    with pytest.raises(TooLarge, match="declared size of 40 x 24 pixels"):
        read_raster(content, Limits(max_pixels=24 * 40 - 1))


def test_bytes_over_the_limit_are_refused() -> None:
    content = saved(gradient(), "PNG")
    with pytest.raises(TooLarge, match=f"a file of {len(content)} bytes"):
        read_raster(content, Limits(max_bytes=len(content) - 1))


def test_webp_sizes_are_read_in_all_three_layouts() -> None:
    alpha = np.dstack((gradient(), np.full((24, 40), 9, np.uint8)))
    for content in (saved(gradient(), "WEBP"), saved(gradient(), "WEBP", lossless=True), saved(alpha, "WEBP")):
        with pytest.raises(TooLarge, match="40 x 24"):
            read_raster(content, Limits(max_pixels=100))


@pytest.mark.parametrize("wrong", [{"max_bytes": 0}, {"min_side": 0}, {"max_pixels": 0}, {"max_pixels": 10**9}])
def test_limits_that_cannot_be_kept_stop_the_start(wrong: dict[str, int]) -> None:
    with pytest.raises(SetupError, match="positive limits and at most"):
        Limits(**wrong)
