"""What raster headers say that Pillow would tell too late or not at all."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
# Numbers per pixel by colour type, and the passes of an interlaced PNG: first column, first row, steps. PNG 1.2, 2.6.
PNG_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
ADAM_7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
INFLATED_AT_ONCE = 1 << 18


def webp_canvas(content: bytes) -> tuple[int, int]:
    """(width, height) a WebP file declares, (0, 0) where it declares none.

    Pillow sets aside the whole canvas when it opens the file, so the size must be known before. The layout is that of
    RFC 9649, sections 2.5 to 2.7.
    """
    chunk = content[12:16]
    if chunk == b"VP8X":
        return _little(content[24:27]) + 1, _little(content[27:30]) + 1
    if chunk == b"VP8L":
        bits = _little(content[21:25])
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if chunk == b"VP8 ":
        return _little(content[26:28]) & 0x3FFF, _little(content[28:30]) & 0x3FFF
    return 0, 0


def png_chunks(content: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Name, start and end of each chunk of a PNG, with its length and checksum, up to IEND or the first not whole."""
    at, name = len(PNG_MAGIC), b""
    while name != b"IEND" and at < len(content):
        end = at + 12 + int.from_bytes(content[at : at + 4], "big")
        if end > len(content):
            break
        name = content[at + 4 : at + 8]
        yield name, at, end
        at = end


def bare_png(content: bytes) -> bytes:
    """The same PNG with nothing but its pixels.

    For decoders that trust what other chunks declare: OpenCV sets aside the length a chunk claims, up to 4 GiB.
    """
    kept = (content[at:end] for name, at, end in png_chunks(content) if name in (b"IHDR", b"IDAT", b"IEND"))
    return PNG_MAGIC + b"".join(kept)


def png_rows_cut(content: bytes) -> bool:
    """Whether the pixels of a whole PNG inflate to fewer rows than it declares; decoders leave the others black."""
    header: tuple[int, ...] = struct.unpack_from(">IIBBBBB", content, len(PNG_MAGIC) + 8)
    width, height, depth, colour, _, _, interlaced = header
    bits = depth * PNG_SAMPLES[colour]
    passes = ADAM_7 if interlaced else ((0, 0, 1, 1),)
    sides = ((-(-(width - x) // dx), -(-(height - y) // dy)) for x, y, dx, dy in passes)
    wanted = sum(rows * (1 + -(-columns * bits // 8)) for columns, rows in sides if columns > 0 and rows > 0)
    data = b"".join(content[at + 8 : end - 4] for name, at, end in png_chunks(content) if name == b"IDAT")
    return _inflated(data, wanted) < wanted


def _inflated(data: bytes, most: int) -> int:
    """Bytes in a deflate stream, counted up to ``most`` and kept nowhere."""
    stream, count = zlib.decompressobj(), 0
    while data and not stream.eof and count < most:
        count += len(stream.decompress(data, INFLATED_AT_ONCE))
        data = stream.unconsumed_tail
    return count


def jpeg_too_small(content: bytes, width: int, height: int) -> bool:
    """Whether a JPEG has less than the one bit that each block of 8 x 8 pixels takes at least."""
    return 8 * len(content) < -(-width // 8) * -(-height // 8)


def cut_short(content: bytes, kind: str) -> bool:
    """Whether the end of a file of that kind is missing, as far as its frame shows."""
    if kind == "png":
        return all(name != b"IEND" for name, _, _ in png_chunks(content))
    if kind == "jpeg":
        return content.rfind(b"\xff\xd9") < 0
    if kind == "webp":
        return _little(content[4:8]) + 8 > len(content)
    if kind == "bmp":
        return _little(content[2:6]) > len(content)
    order = "little" if content.startswith(b"II") else "big"
    return int.from_bytes(content[4:8], order) >= len(content)  # type: ignore[arg-type]


def _little(field: bytes) -> int:
    return int.from_bytes(field, "little")
