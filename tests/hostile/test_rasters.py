"""Broken, lying and exotic picture files: each has its own error, none a crash, a leak or a large allocation."""

import struct
import sys
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow

from service.errors import InputError, TooLarge, UnknownFormat, UnusableImage
from service.formats.header import bare_png
from service.formats.pixels import upright
from service.formats.raster import read_raster
from tests.service.formats.pictures import chunk, deep, gradient, png, saved, saved_deep, tiff

MEBIBYTE = 1 << 20
KINDS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP")
WHOLE = {kind: saved(gradient(64, 96), kind) for kind in KINDS}


@pytest.fixture(autouse=True)
def _next_picture_works() -> Iterator[None]:
    yield
    assert read_raster(WHOLE["PNG"]).width == 96


def refused(content: bytes, error: type[InputError], code: str, match: str) -> None:
    """The content is refused with this error, and the message quotes no decoder and no path."""
    with pytest.raises(error, match=match) as caught:
        read_raster(content)
    assert caught.value.code == code
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    assert "/" not in str(caught.value)
    assert "BytesIO" not in str(caught.value)


def test_empty() -> None:
    refused(b"", UnusableImage, "empty_body", "an empty body")


@pytest.mark.parametrize(
    "content",
    [
        b"\0",
        b"hello, this is a text",
        b"BM is how this text starts, and it goes on for a while",
        b"\x89PNG",
        b"%PDF-1.7",
    ],
)
def test_no_picture(content: bytes) -> None:
    refused(content, UnknownFormat, "unknown_format", "no known picture format")


@pytest.mark.parametrize("kind", ["GIF", "PPM", "ICO", "TGA", "PDF", "JPEG2000"])
def test_formats_that_are_not_allowed(kind: str) -> None:
    refused(saved(gradient(), kind), UnknownFormat, "unknown_format", "wanted PNG, JPEG, TIFF, BMP or WebP")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("part", [0.1, 0.3, 0.5, 0.7, 0.9, 0.97])
def test_truncated(kind: str, part: float) -> None:
    whole = WHOLE[kind]
    refused(whole[: int(len(whole) * part)], UnusableImage, "truncated", "that ends early")


@pytest.mark.parametrize(
    ("kind", "missing"), [("PNG", 1), ("PNG", 8), ("JPEG", 1), ("JPEG", 2), ("WEBP", 1), ("WEBP", 8)]
)
def test_last_bytes_missing(kind: str, missing: int) -> None:
    refused(WHOLE[kind][:-missing], UnusableImage, "truncated", "that ends early")


def test_tiff_that_declares_more_rows_than_its_strips_hold() -> None:
    lying = tiff(gradient(), t257=2400, t278=24)
    refused(lying, UnusableImage, "truncated", "that ends early")


def run_length_bmp() -> bytes:
    rows = b"".join(bytes((8, value, 0, 0)) for value in range(16)) + b"\0\1"
    palette = b"".join(bytes((value, value, value, 0)) for value in range(256))
    start = 54 + len(palette)
    info = struct.pack("<IiiHHIIiiII", 40, 8, 16, 1, 8, 1, len(rows), 0, 0, 256, 0)
    return b"BM" + struct.pack("<IHHI", start + len(rows), 0, 0, start) + info + palette + rows


def test_run_length_bmp_is_read_whole_or_not_at_all() -> None:
    whole = run_length_bmp()
    assert read_raster(whole).slab(0, 1)[0, :, 0, 0].tolist() == list(range(16))[::-1]
    refused(whole[:-20], UnusableImage, "truncated", "that ends early")


def test_truncated_progressive_jpeg() -> None:
    whole = saved(gradient(64, 96), "JPEG", progressive=True)
    for part in (0.4, 0.6, 0.8):
        refused(whole[: int(len(whole) * part)], UnusableImage, "truncated", "that ends early")


@pytest.mark.parametrize("kind", KINDS)
def test_header_alone(kind: str) -> None:
    with pytest.raises(UnusableImage, match="that ends early|cannot be decoded"):
        read_raster(WHOLE[kind][:32])


@pytest.mark.parametrize("kind", KINDS)
def test_header_of_one_kind_before_content_of_another(kind: str) -> None:
    other = WHOLE["BMP" if kind != "BMP" else "PNG"]
    with pytest.raises(UnusableImage, match="that ends early|cannot be decoded"):
        read_raster(WHOLE[kind][:18] + other)


@pytest.mark.parametrize(
    "content",
    [
        png((0, 10, 8, 0)),
        png((10, 10, 3, 0)),
        png((10, 10, 8, 5)),
        png((16, 16, 8, 0), b"\0" * 40),
        png((16, 16, 8, 3), b"\0" * 272),
    ],
    ids=["no width", "odd depth", "odd colour type", "too few rows", "palette missing"],
)
def test_headers_that_make_no_sense(content: bytes) -> None:
    with pytest.raises(UnusableImage, match="cannot be decoded|that ends early"):
        read_raster(content)


def huge_webp() -> bytes:
    plain = saved(gradient(), "WEBP", lossless=True)
    canvas = (16_382).to_bytes(3, "little") * 2
    extended = b"VP8X" + (10).to_bytes(4, "little") + b"\0" * 4 + canvas + plain[12:]
    return b"RIFF" + (len(extended) + 4).to_bytes(4, "little") + b"WEBP" + extended


def huge_jpeg() -> bytes:
    content = bytearray(WHOLE["JPEG"])
    start = content.index(b"\xff\xc0")
    content[start + 5 : start + 9] = (20_000).to_bytes(2, "big") * 2
    return bytes(content)


def huge_bmp() -> bytes:
    content = bytearray(WHOLE["BMP"])
    content[18:26] = (20_000).to_bytes(4, "little") * 2
    return bytes(content)


def huge_tiff() -> bytes:
    big = Pillow.new("1", (20_000, 20_000))
    return saved(big, "TIFF", compression="group4")


HUGE: dict[str, Callable[[], bytes]] = {
    "png": lambda: png((20_000, 20_000, 8, 2)),
    "png between Pillow's warning and its error": lambda: png((10_000, 10_000, 1, 0)),
    "jpeg": huge_jpeg,
    "bmp": huge_bmp,
    "webp": huge_webp,
    "tiff": huge_tiff,
}


@pytest.mark.parametrize("name", HUGE)
def test_huge_declared_sizes_are_refused_without_allocation(name: str) -> None:
    content = HUGE[name]()
    before, start = resident(), time.perf_counter()
    tracemalloc.start()
    refused(content, TooLarge, "too_large", "declared size of")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2 * MEBIBYTE
    assert resident() - before < 20 * MEBIBYTE
    assert time.perf_counter() - start < 2


def resident() -> int:
    """Bytes this process holds in memory; decoders' own buffers too, which tracemalloc does not see."""
    if sys.platform != "linux":
        pytest.skip("memory is read from /proc")
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def test_compressed_text_in_a_png_is_not_inflated_without_end() -> None:
    bomb = chunk(b"zTXt", b"a\0\0" + zlib.compress(b"\0" * 40 * MEBIBYTE))
    tracemalloc.start()
    with pytest.raises(UnusableImage, match="cannot be decoded"):
        read_raster(png((16, 16, 8, 0), b"\0" * 272, bomb))
    assert tracemalloc.get_traced_memory()[1] < 8 * MEBIBYTE
    tracemalloc.stop()


def test_a_chunk_that_claims_gigabytes_is_not_believed() -> None:
    """Behind the pixels, where the first decoder no longer looks, before the second one reads the file."""
    whole = saved_deep(deep(), ".png")
    lying = whole[:-12] + (3 << 30).to_bytes(4, "big") + b"tEXt" + whole[-12:]
    before = resident()
    refused(lying, UnusableImage, "truncated", "that ends early")
    assert resident() - before < 20 * MEBIBYTE


def test_sixteen_bit_colour_is_decoded_without_the_chunks_around_it() -> None:
    whole = saved_deep(deep(), ".png")
    assert bare_png(whole[:33] + chunk(b"tEXt", b"a\0b") + whole[33:]) == bare_png(whole)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_several_frames_or_pages(kind: str) -> None:
    frames = [Pillow.fromarray(255 - gradient()), Pillow.fromarray(gradient()[::-1].copy())]
    content = saved(gradient(), kind, save_all=True, append_images=frames)
    refused(content, UnusableImage, "animated", "Send one frame as a file of its own")


def test_animated_gif() -> None:
    frames = [Pillow.fromarray(255 - gradient())]
    content = saved(gradient(), "GIF", save_all=True, append_images=frames)
    refused(content, UnknownFormat, "unknown_format", "a GIF picture, a format known but not read here")


@pytest.mark.parametrize("kind", KINDS)
def test_one_pixel(kind: str) -> None:
    refused(saved(np.zeros((1, 1, 3), np.uint8), kind), UnusableImage, "too_small", "a picture of 1 x 1 pixels")


@pytest.mark.parametrize(("height", "fits"), [(7, False), (8, True)])
def test_smallest_side(height: int, fits: bool) -> None:
    content = saved(gradient(height, 50), "PNG")
    if fits:
        assert read_raster(content).height == 8
    else:
        refused(content, UnusableImage, "too_small", "at least 8 pixels on each side")


def test_all_black_is_decoded() -> None:
    assert not read_raster(saved(np.zeros((50, 50), np.uint8), "JPEG")).slab(0, 1).any()


def test_all_orientations_of_a_jpeg_give_the_same_picture() -> None:
    upright_picture = read_raster(saved(gradient(64, 96), "JPEG", quality=100)).slab(0, 1).astype(int)
    for orientation in range(1, 9):
        exif = Pillow.Exif()
        exif[274] = orientation
        stored = upright(gradient(64, 96), {6: 8, 8: 6}.get(orientation, orientation))
        turned = read_raster(saved(stored, "JPEG", quality=100, exif=exif))
        difference = np.abs(turned.slab(0, 1) - upright_picture)
        # Chroma is stored at half resolution, so turning first changes it a little.
        assert difference.shape == upright_picture.shape
        assert difference.mean() < 2


def test_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    for kind in KINDS:
        read_raster(WHOLE[kind])
        with pytest.raises(UnusableImage, match="ends early"):
            read_raster(WHOLE[kind][:-20])
    assert list(tmp_path.iterdir()) == []


@given(kind=st.sampled_from(KINDS), at=st.floats(0, 1, exclude_max=True), value=st.integers(0, 255))
def test_any_changed_byte_gives_a_picture_or_an_input_error(kind: str, at: float, value: int) -> None:
    content = bytearray(WHOLE[kind])
    content[int(at * len(content))] = value
    try:
        assert read_raster(bytes(content)).channels in (1, 3)
    except InputError as error:
        assert error.remedy


@given(st.sampled_from(KINDS), st.binary(max_size=200))
def test_any_bytes_behind_a_magic_number(kind: str, rest: bytes) -> None:
    try:
        read_raster(WHOLE[kind][:16] + rest)
    except InputError as error:
        assert error.code in {"truncated", "malformed", "too_large", "too_small", "unknown_format", "animated"}
