"""What a compressed frame says of itself, read before a decoder believes it: JPEG, JPEG-LS and JPEG 2000 headers."""

from __future__ import annotations

import struct
from typing import NamedTuple

# Start-of-frame markers: JPEG SOF0 to SOF15 without DHT, JPG and DAC, and JPEG-LS's own.
FRAME_MARKERS = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
STANDALONE = {0x01, *range(0xD0, 0xD9)}
JP2_SIGNATURE = b"\0\0\0\x0cjP  \r\n\x87\n"
SIZ_FIELDS = ">HHIIIIIIIIH"


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
        start = frame.find(b"\xff\x4f\xff\x51") if frame.startswith(JP2_SIGNATURE) else 0
        return _jpeg_2000(frame, start) if frame[start : start + 4] == b"\xff\x4f\xff\x51" else None
    except (struct.error, IndexError):
        return None


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
