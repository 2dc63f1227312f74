"""Files that are whole by their frame, and whose pixels end early, or are gone over without end."""

import struct
import zlib

import numpy as np
import pytest

from service.errors import UnusableImage
from service.formats.header import ADAM_7
from service.formats.raster import read_raster
from tests.hostile.test_rasters import WHOLE, refused
from tests.service.formats.pictures import chunk, gradient, saved


def png_of_rows(rows: int, interlace: bool = False) -> bytes:
    """A PNG of 32 rows that ends after some of them, in order and with everything else as it should be."""
    header = struct.pack(">IIBBBBB", 16, 32, 8, 0, 0, 0, interlace)
    data = zlib.compress((b"\0" + bytes(range(1, 17))) * rows)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.mark.parametrize("rows", [1, 3, 30, 31])
def test_png_whose_pixels_end_after_a_whole_row(rows: int) -> None:
    refused(png_of_rows(rows), UnusableImage, "truncated", "that ends early")


@pytest.mark.parametrize("interlace", [False, True])
@pytest.mark.parametrize(("depth", "colour"), [(1, 0), (8, 0), (16, 0), (8, 2), (16, 2), (4, 3), (8, 4), (8, 6)])
@pytest.mark.parametrize(("width", "height"), [(8, 8), (13, 17), (9, 11)])
def test_png_that_is_black_to_its_end(width: int, height: int, depth: int, colour: int, interlace: bool) -> None:
    """What must be counted to tell it from a cut one: rows of every depth, and of seven passes."""
    bits = depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    passes = ADAM_7 if interlace else ((0, 0, 1, 1),)
    size = 0
    for x, y, dx, dy in passes:
        columns, rows = len(range(x, width, dx)), len(range(y, height, dy))
        size += rows * (1 + (columns * bits + 7) // 8) if columns else 0
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
    palette = chunk(b"PLTE", b"\0" * 48) if colour == 3 else b""
    for missing in (0, 1):
        data = chunk(b"IDAT", zlib.compress(b"\0" * (size - missing)))
        content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + palette + data + chunk(b"IEND", b"")
        if missing:
            with pytest.raises(UnusableImage, match="that ends early|cannot be decoded"):
                read_raster(content)
        else:
            assert not read_raster(content).slab(0, 1).any()


def test_jpeg_of_more_blocks_than_bits() -> None:
    content = bytearray(WHOLE["JPEG"])
    start = content.index(b"\xff\xc0")
    content[start + 5 : start + 9] = (7000).to_bytes(2, "big") + (8000).to_bytes(2, "big")
    refused(bytes(content), UnusableImage, "truncated", "that ends early")


def test_jpeg_of_one_grey_takes_few_bits_and_is_read() -> None:
    assert read_raster(saved(np.full((4000, 4000), 7, np.uint8), "JPEG", optimize=True)).width == 4000


def test_jpeg_of_many_scans() -> None:
    whole = saved(gradient(64, 96), "JPEG", progressive=True)
    assert read_raster(whole).width == 96
    last = whole.rfind(b"\xff\xda")
    bomb = whole[:last] + whole[last:-2] * 100 + whole[-2:]
    refused(bomb, UnusableImage, "malformed", "a jpeg file of 109 scans; wanted at most 32")
