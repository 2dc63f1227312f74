"""JPEG, TIFF, BMP and WebP: lying headers, loops, bombs of scans, values that are no numbers."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from PIL import Image as Pillow

from tests.hostile.corpus.common import CANARY, MEBIBYTE, Files, changed, truncations, zeros
from tests.service.formats.pictures import gradient, saved, tiff

END_OF_JPEG = b"\xff\xd9"


# ---- JPEG -----------------------------------------------------------------------------------------------------------


def jpeg(**options: Any) -> bytes:
    """A JPEG as it should be, with a comment in it."""
    return saved(gradient(64, 96), "JPEG", comment=CANARY, **options)


def sized(content: bytes, width: int, height: int) -> bytes:
    """A JPEG that says it has another size."""
    start = max(content.find(b"\xff\xc0"), content.find(b"\xff\xc2"))
    return changed(content, start + 5, struct.pack(">HH", height, width))


def scans(count: int, width: int, height: int) -> bytes:
    """A progressive JPEG of that size that repeats its last scan; every one goes over the whole picture."""
    whole = sized(jpeg(progressive=True), width, height)
    last = whole.rfind(b"\xff\xda")
    return whole[:last] + whole[last:-2] * count + END_OF_JPEG


def _components(count: int) -> bytes:
    content = jpeg()
    start = content.find(b"\xff\xc0")
    frame = b"\xff\xc0" + struct.pack(">HBHHB", 8 + 3 * count, 8, 64, 96, count) + b"\1\x11\0" * count
    return content[:start] + frame + content[start + 19 :]


JPEG: Files = {
    **truncations("jpeg", jpeg),
    **truncations("progressive jpeg", lambda: jpeg(progressive=True)),
    "jpeg of 65535 x 65535": lambda: sized(jpeg(), 65_535, 65_535),
    "jpeg of 56 million pixels in a kilobyte": lambda: sized(jpeg(), 7000, 8000),
    "progressive jpeg of 56 million pixels in a kilobyte": lambda: sized(jpeg(progressive=True), 7000, 8000),
    "jpeg of 2000 scans": lambda: scans(2000, 96, 64),
    "jpeg of 500 scans over 4 million pixels": lambda: scans(500, 2000, 2000),
    "jpeg without height": lambda: sized(jpeg(), 96, 0),
    "jpeg of 255 components": lambda: _components(255),
    "jpeg without tables": lambda: jpeg().replace(b"\xff\xdb", b"\xff\xee").replace(b"\xff\xc4", b"\xff\xee"),
    "jpeg of markers alone": lambda: b"\xff\xd8\xff" + b"\xff" * 100_000 + END_OF_JPEG,
    "jpeg of empty segments": lambda: b"\xff\xd8" + b"\xff\xee\0\2" * 50_000 + END_OF_JPEG,
    "jpeg whose segment goes on for ever": lambda: b"\xff\xd8\xff\xe0\xff\xff" + CANARY.encode(),
    "jpeg start and then html": lambda: b"\xff\xd8\xff\xe0<html>" + CANARY.encode() * 50,
    "jpeg of one pixel": lambda: saved(np.zeros((1, 1), np.uint8), "JPEG"),
}
JPEG_ODD: Files = {
    "jpeg with html behind it": lambda: jpeg() + b"<html>" + CANARY.encode(),
    "jpeg with noise in its pixels": lambda: changed(jpeg(), -200, bytes(range(1, 150))),
}


# ---- TIFF -----------------------------------------------------------------------------------------------------------


def _tiff(pixels: Any = None, **tags: int) -> bytes:
    return tiff(gradient() if pixels is None else pixels, **tags)


def _directories(count: int, loop: bool) -> bytes:
    """Directories one after the other; the last one leads to the first, or to nothing."""
    content = bytearray(_tiff())
    (first,) = struct.unpack_from("<I", content, 4)
    (entries,) = struct.unpack_from("<H", content, first)
    size = 2 + 12 * entries + 4
    directory = content[first : first + size - 4]
    for number in range(1, count):
        at = len(content)
        previous = first if number == 1 else at - size
        struct.pack_into("<I", content, previous + size - 4, at)
        content += directory + b"\0\0\0\0"
    if loop:
        struct.pack_into("<I", content, len(content) - 4 if count > 1 else first + size - 4, first)
    return bytes(content)


def _big_tiff(at: int) -> bytes:
    return b"II+\0" + struct.pack("<HHQ", 8, 0, at) + CANARY.encode() * 10


def _float(value: float) -> bytes:
    pixels = gradient()[..., :1].astype(np.float32)
    pixels[5, 7] = value
    return _tiff(pixels, t339=3)


def _deflated(size: int, width: int, height: int) -> bytes:
    data = zeros(size)
    directory = _tiff(gradient()[..., :1], t256=width, t257=height, t259=8, t278=height, t279=len(data))
    (start,) = struct.unpack_from("<I", directory, 4)
    body = b"II*\0" + struct.pack("<I", 8 + len(data)) + data
    return body + directory[start:]


TIFF: Files = {
    **truncations("tiff", lambda: saved(gradient(64, 96), "TIFF", description=CANARY)),
    "tiff of 20000 x 20000": lambda: saved(Pillow.new("1", (20_000, 20_000)), "TIFF", compression="group4"),
    "tiff as large as a header can say": lambda: _tiff(t256=0xFFFFFFFF, t257=0xFFFFFFFF),
    "tiff of 56 million pixels in a kilobyte": lambda: _tiff(t256=7000, t257=8000),
    "tiff without width": lambda: _tiff(t256=0),
    "tiff of more rows than it holds": lambda: _tiff(t257=2400, t278=24),
    "tiff of 200 samples": lambda: _tiff(t277=200),
    "tiff of 65535 bits": lambda: _tiff(gradient()[..., :1], t258=65_535),
    "tiff in an unknown compression": lambda: _tiff(t259=4711),
    "tiff of lzw that is none": lambda: _tiff(t259=5),
    "tiff of jpeg that is none": lambda: _tiff(t259=7),
    "tiff whose strip lies beyond its end": lambda: _tiff(t273=0x7FFFFFFF),
    "tiff whose strip is 4 GiB": lambda: _tiff(t259=8, t279=0xFFFFFFFF),
    "tiff whose directory is nowhere": lambda: b"II*\0\xff\xff\xff\x7f" + CANARY.encode(),
    "tiff whose directory has 65535 entries": lambda: b"II*\0\x08\0\0\0\xff\xff" + CANARY.encode() * 20,
    "tiff of 5000 pages": lambda: _directories(5000, loop=False),
    "tiff of two pages that go round": lambda: _directories(2, loop=True),
    "big tiff whose directory is nowhere": lambda: _big_tiff(1 << 62),
    "big tiff of nothing": lambda: _big_tiff(16),
    "tiff with NaN": lambda: _float(float("nan")),
    "tiff with infinity": lambda: _float(float("inf")),
}
TIFF_ODD: Files = {
    "tiff whose only page leads to itself": lambda: _directories(1, loop=True),
    "tiff with 256 MiB behind its rows": lambda: _deflated(256 * MEBIBYTE, 64, 64),
    "tiff with an unknown predictor": lambda: _tiff(t259=8, t317=4711),
}


# ---- BMP and WebP ---------------------------------------------------------------------------------------------------


def _bmp(at: int, new: bytes) -> bytes:
    return changed(saved(gradient(64, 96), "BMP"), at, new)


def _webp(**options: Any) -> bytes:
    return saved(gradient(64, 96), "WEBP", **options)


def _canvas(width: int, height: int) -> bytes:
    plain = _webp(lossless=True)
    sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    extended = b"VP8X" + (10).to_bytes(4, "little") + b"\0" * 4 + sides + plain[12:]
    return b"RIFF" + (len(extended) + 4).to_bytes(4, "little") + b"WEBP" + extended


def _animated(kind: str) -> bytes:
    frames = [Pillow.new("RGB", (64, 64), shade) for shade in ("black", "white")]
    return saved(frames[0], kind, save_all=True, append_images=frames[1:])


OTHERS: Files = {
    **truncations("bmp", lambda: _bmp(0, b"BM")),
    **truncations("webp", _webp),
    "bmp of 2 thousand million rows": lambda: _bmp(22, b"\xff\xff\xff\x7f"),
    "bmp without width": lambda: _bmp(18, b"\0\0\0\0"),
    "bmp of 3 bits": lambda: _bmp(28, b"\3\0"),
    "bmp in an unknown compression": lambda: _bmp(30, b"\x77\0\0\0"),
    "bmp whose pixels lie beyond its end": lambda: _bmp(10, b"\xff\xff\xff\x7f"),
    "webp of 16384 x 16384": lambda: _canvas(16_384, 16_384),
    "webp whose canvas is another": lambda: _canvas(4000, 4000),
    "webp of no known chunk": lambda: b"RIFF\x20\0\0\0WEBPXXXX" + CANARY.encode() * 3,
    "webp that moves": lambda: _animated("WEBP"),
    "gif that moves": lambda: _animated("GIF"),
    "eps": lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n" + CANARY.encode(),
    "svg that asks for another file": lambda: (
        b"<?xml version='1.0'?><!DOCTYPE svg [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><svg>&x;</svg>"
    ),
    "fits": lambda: b"SIMPLE  =                    T" + b" " * 2850,
    "psd": lambda: b"8BPS\0\1" + b"\0" * 100,
    "program": lambda: b"\x7fELF" + b"\0" * 500,
    "text of a patient": lambda: (CANARY + "\n").encode() * 100,
    "nothing": lambda: b"",
    "one byte": lambda: b"\0",
    "zeros": lambda: b"\0" * MEBIBYTE,
}

REFUSED: Files = {**JPEG, **TIFF, **OTHERS}
ODD: Files = {
    **JPEG_ODD,
    **TIFF_ODD,
    "bmp of run lengths that are none": lambda: _bmp(28, b"\x08\0\1\0\0\0"),
}
