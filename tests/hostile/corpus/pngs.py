"""PNG: sizes that lie, chunks that lie, bombs in pixels and in texts."""

from __future__ import annotations

import struct
import zlib

from tests.hostile.corpus.common import CANARY, MEBIBYTE, Files, changed, truncations, zeros
from tests.service.formats.pictures import chunk, deep, gradient, png, saved, saved_deep

TEXT = chunk(b"tEXt", b"Author\0" + CANARY.encode())


def picture() -> bytes:
    """A PNG as it should be, with a text in it."""
    whole = saved(gradient(64, 96), "PNG")
    return whole[:33] + TEXT + whole[33:]


def _rows(width: int, height: int) -> bytes:
    return b"\0" * (height * (width + 1))


def _grey(extra: bytes = b"", side: int = 64) -> bytes:
    return png((side, side, 8, 0), _rows(side, side), extra)


def _with_pixels(data: bytes, side: int = 64, colour: int = 0) -> bytes:
    header = struct.pack(">IIBBBBB", side, side, 8, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + TEXT + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def _frames(count: int) -> bytes:
    control = chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 64, 64, 0, 0, 1, 10, 0, 0))
    return _grey(chunk(b"acTL", struct.pack(">II", count, 0)) + control)


REFUSED: Files = {
    **truncations("png", picture),
    "png of 20000 x 20000": lambda: png((20_000, 20_000, 8, 2), b"", TEXT),
    "png of 10000 x 10000 in one bit": lambda: png((10_000, 10_000, 1, 0), b"", TEXT),
    "png as large as a header can say": lambda: png((0x7FFFFFFF, 0x7FFFFFFF, 16, 6), b"", TEXT),
    "png whose sides overflow": lambda: png((0xFFFFFFFF, 0xFFFFFFFF, 8, 0), b"", TEXT),
    "png without width": lambda: png((0, 64, 8, 0), b"", TEXT),
    "png of depth 3": lambda: png((64, 64, 3, 0), _rows(64, 64), TEXT),
    "png of colour type 5": lambda: png((64, 64, 8, 5), _rows(64, 64), TEXT),
    "png without its palette": lambda: png((64, 64, 8, 3), _rows(64, 64), TEXT),
    "png without pixels": lambda: picture()[:33] + chunk(b"IEND", b""),
    "png with a tenth of its rows": lambda: png((64, 64, 8, 0), _rows(64, 6), TEXT),
    "png of 56 million pixels in 64 bytes": lambda: png((7000, 8000, 8, 2), b"\0" * 64, TEXT),
    "png of 56 million deep pixels in 64 bytes": lambda: png((7000, 8000, 16, 6), b"\0" * 64, TEXT),
    "png of pixels that are no deflate": lambda: _with_pixels(b"\xff" * 200),
    "png with a broken header": lambda: changed(picture(), 18, b"\xff"),
    "png with a text bomb": lambda: _grey(chunk(b"zTXt", b"a\0\0" + zeros(40 * MEBIBYTE))),
    "png with a chunk of 4 GiB": lambda: picture()[:33] + b"\xff\xff\xff\xff" + picture()[37:],
    "png with a chunk of 2 GiB before its end": lambda: picture()[:-12] + b"\x7f\xff\xff\xfftEXt" + picture()[-12:],
    "deep png with a chunk of 3 GiB": lambda: changed(saved_deep(deep(), ".png"), -12, b"\xc0\0\0\0tEXt"),
    "png of 100000 frames": lambda: _frames(100_000),
    "png of one pixel": lambda: png((1, 1, 8, 0), b"\0\0", TEXT),
    "png of one line": lambda: png((50_000, 1, 8, 0), _rows(50_000, 1), TEXT),
    "png signature and then text": lambda: b"\x89PNG\r\n\x1a\n" + CANARY.encode() * 100,
}
# Odd, yet a decoder may find a picture in them: then it must be the right one.
ODD: Files = {
    "png whose header comes second": lambda: b"\x89PNG\r\n\x1a\n" + TEXT + picture()[8:],
    "png with 256 MiB behind its rows": lambda: _with_pixels(zeros(256 * MEBIBYTE)),
    "png with an international text bomb": lambda: _grey(
        chunk(b"iTXt", b"a\0\1\0\0\0" + zlib.compress(b"a" * MEBIBYTE))
    ),
    "png with a colour profile bomb": lambda: _grey(chunk(b"iCCP", b"a\0\0" + zeros(40 * MEBIBYTE))),
    "png of 50000 chunks": lambda: _grey(TEXT * 50_000),
    "png with a zip behind it": lambda: picture() + b"PK\x03\x04" + CANARY.encode() * 20,
    "png with a script behind it": lambda: picture() + b"<script>alert(1)</script>" + CANARY.encode(),
}
