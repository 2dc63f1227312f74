"""Pictures in: every pixel kind keeps its values, and every choice is noted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from service.errors import UnusableImage
from service.formats import pixels as pixels_module
from service.formats.raster import read_raster
from tests.service.formats.pictures import chunk, deep, gradient, opened, png, saved, saved_deep, tiff
from tests.service.formats.reading import read

LOSSLESS: list[tuple[str, dict[str, Any]]] = [("PNG", {}), ("TIFF", {}), ("BMP", {}), ("WEBP", {"lossless": True})]


@pytest.mark.parametrize(("kind", "options"), LOSSLESS)
def test_rgb_is_kept_as_it_is(kind: str, options: dict[str, Any]) -> None:
    pixels, notes = read(saved(gradient(), kind, **options))
    np.testing.assert_array_equal(pixels, gradient())
    assert notes == ()


def test_jpeg_is_close() -> None:
    pixels, notes = read(saved(gradient(), "JPEG", quality=95))
    assert np.abs(pixels.astype(int) - gradient()).mean() < 4
    assert notes == ()


def test_nothing_is_assumed_about_the_grid() -> None:
    image = read_raster(saved(gradient(), "PNG"))
    assert (image.spacing_source, image.depth_axis, image.modality) == ("none", "none", None)
    assert image.spacing == (None, None, None)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP", "JPEG"])
def test_grey_has_one_channel(kind: str) -> None:
    assert read(saved(gradient()[..., 0], kind))[0].shape == (24, 40, 1)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP"])
def test_equal_channels_become_one(kind: str) -> None:
    grey = gradient()[..., 0]
    pixels, notes = read(saved(np.repeat(grey[..., None], 3, axis=2), kind))
    np.testing.assert_array_equal(pixels[..., 0], grey)
    assert pixels.shape[2] == 1
    assert notes == ("equal channels kept as one",)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bit_ramp_keeps_its_levels(kind: str) -> None:
    ramp = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    pixels, notes = read(saved(ramp, kind))
    assert pixels.dtype == np.uint16
    assert np.unique(pixels).size > 60_000
    np.testing.assert_array_equal(pixels[..., 0], ramp)
    assert notes == ("16-bit kept",)


def test_big_endian_sixteen_bit_becomes_native() -> None:
    ramp = np.arange(256, dtype=np.uint16).reshape(16, 16) * 255
    pixels, _ = read(saved(Pillow.fromarray(ramp.astype(">u2")), "TIFF"))
    assert pixels.dtype == np.dtype(np.uint16)
    np.testing.assert_array_equal(pixels[..., 0], ramp)


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
@pytest.mark.parametrize("opaque", [True, False])
def test_sixteen_bit_colour_is_kept(suffix: str, opaque: bool) -> None:
    rgba = deep(channels=4)
    rgba[..., 3] = 65535 if opaque else rgba[..., 3]
    pixels, notes = read(saved_deep(rgba, suffix))
    wanted = np.rint(rgba[..., :3] * (rgba[..., 3:] / 65535))
    assert pixels.dtype == np.uint16
    np.testing.assert_allclose(pixels, wanted, atol=1)
    assert notes == ("16-bit kept", "alpha opaque, dropped" if opaque else "alpha composited on black")


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_sixteen_bit_rgb_is_kept(suffix: str) -> None:
    pixels, notes = read(saved_deep(deep(), suffix))
    np.testing.assert_array_equal(pixels, deep())
    assert notes == ("16-bit kept",)


def test_sixteen_bit_grey_with_alpha() -> None:
    stored = deep(channels=2)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in stored)
    pixels, notes = read(png((40, 24, 16, 4), rows))
    np.testing.assert_allclose(pixels[..., 0], stored[..., 0] * (stored[..., 1] / 65535), atol=1)
    assert notes == ("16-bit kept", "alpha composited on black", "equal channels kept as one")


def test_transparent_level_of_sixteen_bit_grey_is_ignored_and_said() -> None:
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in deep(channels=1))
    pixels, notes = read(png((40, 24, 16, 0), rows, chunk(b"tRNS", b"\x12\x34")))
    np.testing.assert_array_equal(pixels, deep(channels=1))
    assert notes == ("16-bit kept", "transparent colour ignored")


def test_colour_the_second_decoder_cannot_read_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pixels_module.cv2, "imdecode", lambda *_: None)
    with pytest.raises(UnusableImage, match="16-bit colour in an unusual layout"):
        read_raster(saved_deep(deep(), ".png"))


def test_white_is_zero_is_turned_in_sixteen_bit() -> None:
    stored = deep(channels=1)
    pixels, notes = read(tiff(stored, t262=0))
    np.testing.assert_array_equal(pixels, 65535 - stored)
    assert notes == ("16-bit kept", "white-is-zero inverted")


def test_white_is_zero_is_turned_in_eight_bit() -> None:
    stored = gradient()[..., :1]
    np.testing.assert_array_equal(read(tiff(stored, t262=0))[0], 255 - stored)


@pytest.mark.parametrize(("dtype", "sample_format"), [(np.uint32, 1), (np.int32, 2), (np.int16, 2)])
def test_whole_numbers_keep_their_values(dtype: Any, sample_format: int) -> None:
    info = np.iinfo(dtype)
    stored = np.linspace(info.min, info.max, 24 * 40).astype(dtype).reshape(24, 40, 1)
    pixels, notes = read(tiff(stored, t339=sample_format))
    np.testing.assert_array_equal(pixels, stored)
    assert notes == ("integers kept",)


def test_finite_floats_are_kept() -> None:
    stored = np.linspace(-3, 1e6, 24 * 40, dtype=np.float32).reshape(24, 40)
    pixels, notes = read(saved(stored, "TIFF"))
    assert pixels.dtype == np.float32
    np.testing.assert_array_equal(pixels[..., 0], stored)
    assert notes == ("32-bit float kept",)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_other_floats_are_refused(value: float) -> None:
    stored = np.full((24, 40), value, np.float32)
    with pytest.raises(UnusableImage, match="not finite") as caught:
        read_raster(saved(stored, "TIFF"))
    assert caught.value.code == "not_finite"


def test_bilevel() -> None:
    pixels, notes = read(saved(Pillow.fromarray(gradient()[..., 0] > 90), "PNG"))
    np.testing.assert_array_equal(pixels[..., 0], np.where(gradient()[..., 0] > 90, 255, 0))
    assert notes == ("1-bit scaled to 0 and 255",)


def test_bilevel_with_a_transparent_value() -> None:
    pixels, notes = read(saved(Pillow.fromarray(gradient()[..., 0] > 90), "PNG", transparency=0))
    assert set(np.unique(pixels)) == {0, 255}
    assert notes == ("1-bit scaled to 0 and 255", "alpha composited on black")


def test_palette_is_expanded() -> None:
    indexed = Pillow.fromarray(gradient()).quantize(32)
    pixels, notes = read(saved(indexed, "PNG"))
    np.testing.assert_array_equal(pixels, np.asarray(indexed.convert("RGB")))
    assert notes == ("palette expanded",)


def test_palette_with_transparency_is_composited() -> None:
    indexed = Pillow.fromarray(gradient()).quantize(32)
    pixels, notes = read(saved(indexed, "PNG", transparency=3))
    hidden = np.asarray(indexed) == 3
    assert hidden.any()
    assert not pixels[hidden].any()
    np.testing.assert_array_equal(pixels[~hidden], np.asarray(indexed.convert("RGB"))[~hidden])
    assert notes == ("palette expanded", "alpha composited on black")


@pytest.mark.parametrize(("kind", "options"), [("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True, "exact": True})])
def test_alpha_is_dropped_or_composited(kind: str, options: dict[str, Any]) -> None:
    rgba = np.dstack((gradient(), np.full((24, 40), 255, np.uint8)))
    rgba[:8, :8, 3] = 128
    pixels, notes = read(saved(rgba, kind, **options))
    np.testing.assert_array_equal(pixels, np.rint(rgba[..., :3] * (rgba[..., 3:] / 255)))
    assert notes == ("alpha composited on black",)
    rgba[..., 3] = 255
    assert read(saved(rgba, kind, **options))[1][:1] in (("alpha opaque, dropped",), ())


def test_grey_with_alpha_stays_grey() -> None:
    stored = Pillow.fromarray(gradient()[..., 0]).convert("LA")
    assert read(saved(stored, "PNG"))[1] == ("alpha opaque, dropped",)
    assert read(saved(stored, "PNG"))[0].shape == (24, 40, 1)


@pytest.mark.parametrize(("mode", "kind"), [("CMYK", "JPEG"), ("CMYK", "TIFF"), ("YCbCr", "TIFF")])
def test_other_colour_spaces_become_rgb(mode: str, kind: str) -> None:
    pixels, notes = read(saved(Pillow.fromarray(gradient()).convert(mode), kind))
    assert np.abs(pixels.astype(int) - gradient()).mean() < 6
    assert notes == (f"{mode.lower()} converted to rgb",)


def test_unknown_colour_space_is_refused() -> None:
    lab = Pillow.fromarray(gradient()).convert("LAB")
    with pytest.raises(UnusableImage, match="pixels of the kind LAB") as caught:
        read_raster(saved(lab, "TIFF"))
    assert caught.value.code == "colour_space"


def test_what_opencv_reads_agrees_with_pillow() -> None:
    """Two decoders see the same 16-bit colour file the same way up and in the same channel order."""
    content = saved_deep(deep(), ".png")
    np.testing.assert_array_equal(read(content)[0] >> 8, np.asarray(opened(content)))
