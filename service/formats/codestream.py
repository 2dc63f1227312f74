"""What a compressed frame says of itself, read before a decoder believes it: JPEG, JPEG-LS and JPEG 2000 headers."""

from __future__ import annotations

import struct
from typing import NamedTuple

# Start-of-frame markers: JPEG SOF0 to SOF15 without DHT, JPG and DAC, and JPEG-LS's own.
FRAME_MARKERS = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
STANDALONE = {0x01, *range(0xD0, 0xD9)}
JP2_SIGNATURE = b"\0\0\0\x0cjP  \r\n\x87\n"
SIZ_FIELDS = ">HHIIIIIIIIH"
START_OF_SCAN, START_OF_TILE, SIZES = b"\xff\xda", b"\xff\x90", b"\xff\x4f\xff\x51"
# Cameras and web sites use a dozen.
MAX_SCANS = 32
# A mammogram of 4096 x 3328 in tiles of 64 x 64 has 3328. Each costs its decoder ten kilobytes, however small it is.
MAX_TILES = 4096
# Of a tile, one for each of its resolutions and layers.
MAX_TILE_PARTS = 16 * MAX_TILES


class Declared(NamedTuple):
    """Columns, rows, samples a pixel and bits a sample of one compressed frame."""

    columns: int
    rows: int
    samples: int
    bits: int


def declared(frame: bytes) -> Declared | None:
    """What a JPEG, JPEG-LS or JPEG 2000 codestream declares, None where it is none or broken before it says so."""
    try:
        if frame[:2] == b"\xff\xd8":
            return _jpeg(frame)
        start = _start(frame)
        return _jpeg_2000(frame, start) if start >= 0 else None
    except (struct.error, IndexError):
        return None


def excess(frame: bytes) -> str | None:
    """What of a codestream is too much for its decoder, or is missing from it; None where all is well."""
    if frame[:2] == b"\xff\xd8":
        count = jpeg_scans(frame)
        return f"of {count} scans" if count > MAX_SCANS else None
    start = _start(frame)
    try:
        tiles = _tiles(frame, start) if start >= 0 else 0
    except (struct.error, ZeroDivisionError):
        return "of tiles that have no size"
    if tiles > MAX_TILES:
        return f"of {tiles} tiles"
    if tiles > 1 and _tiles_there(frame, start) < tiles:
        return "that lacks some of its tiles"
    return None


def jpeg_scans(content: bytes) -> int:
    """How often the picture is gone over; thumbnails count too. No pixel data holds this marker."""
    return content.count(START_OF_SCAN)


def _start(frame: bytes) -> int:
    """Where a JPEG 2000 codestream begins, -1 where there is none."""
    start = frame.find(SIZES) if frame.startswith(JP2_SIGNATURE) else 0
    return start if start >= 0 and frame.startswith(SIZES, start) else -1


def _tiles(frame: bytes, start: int) -> int:
    """ISO/IEC 15444-1, B.3."""
    sizes: tuple[int, ...] = struct.unpack_from(SIZ_FIELDS, frame, start + 4)[2:10]
    right, bottom, _, _, width, height, left, top = sizes
    return -(-(right - left) // width) * -(-(bottom - top) // height)


def _tiles_there(frame: bytes, start: int) -> int:
    """Tiles of which a part is there; they follow each other, each with its length (ISO/IEC 15444-1, A.4.2)."""
    found: set[int] = set()
    at = frame.find(START_OF_TILE, start)
    for _ in range(MAX_TILE_PARTS):
        if at < 0 or frame[at : at + 2] != START_OF_TILE or at + 12 > len(frame):
            break
        number, length = struct.unpack_from(">HI", frame, at + 4)
        found.add(number)
        at = at + length if length else -1
    return len(found)


def _jpeg(frame: bytes) -> Declared | None:
    at = 2
    while frame[at] == 0xFF:
        marker = frame[at + 1]
        if marker in FRAME_MARKERS:
            bits, rows, columns, samples = struct.unpack_from(">BHHB", frame, at + 4)
            return Declared(columns, rows, samples, bits)
        # Fill bytes may stand before any marker.
        at += 1 if marker == 0xFF else 2
        if marker not in STANDALONE and marker != 0xFF:
            at += struct.unpack_from(">H", frame, at)[0]
    return None


def _jpeg_2000(frame: bytes, start: int) -> Declared | None:
    siz = struct.unpack_from(SIZ_FIELDS, frame, start + 4)
    right, bottom, left, top, samples = *siz[2:6], siz[10]
    (depth, step_x, step_y) = struct.unpack_from(">BBB", frame, start + 4 + struct.calcsize(SIZ_FIELDS))
    if (step_x, step_y) != (1, 1) or right <= left or bottom <= top:
        return None
    return Declared(right - left, bottom - top, samples, (depth & 0x7F) + 1)
