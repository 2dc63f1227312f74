"""RLE Lossless (PS3.5 annex G) under a cap: a frame never grows beyond the pixels that its header declares."""

from __future__ import annotations

import struct
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from service.formats.dicom_layout import Layout
from service.formats.guard import malformed

HEADER, MOST_SEGMENTS = 64, 15
# Bytes that may stand behind the last run: one that makes the length even, and one that does nothing.
PADDING = 2


def decoded_rle(frame: bytes, layout: Layout) -> NDArray[np.unsignedinteger]:
    """Unsigned (rows, columns, samples). Raises UnusableImage for segments that do not fill or overfill the frame."""
    depth = layout.allocated // 8
    pixels = layout.rows * layout.columns
    parts = [_unpacked(part, pixels) for part in _segments(frame, layout.samples * depth)]
    # Each byte of each sample is a segment of its own, the most significant first.
    planes = np.frombuffer(b"".join(parts), np.uint8).reshape(layout.samples, depth, pixels)
    whole = np.ascontiguousarray(planes.transpose(2, 0, 1)).view(f">u{depth}")
    return whole.reshape(layout.rows, layout.columns, layout.samples).astype(f"u{depth}")


def _segments(frame: bytes, wanted: int) -> list[memoryview]:
    if len(frame) < HEADER:
        raise malformed("DICOM", "with an RLE frame that has no header")
    count, *offsets = struct.unpack(f"<{MOST_SEGMENTS + 1}I", frame[:HEADER])
    bounds = [*offsets[:count], len(frame)] if count == wanted else []
    if not bounds or bounds[0] < HEADER or sorted(bounds) != bounds:
        raise malformed("DICOM", f"with an RLE frame that is not in {wanted} segments")
    return [memoryview(frame)[start:end] for start, end in pairwise(bounds)]


def _unpacked(packed: memoryview, size: int) -> bytes:
    """PackBits to exactly ``size`` bytes, whose last run ends there and has nothing but padding behind it."""
    for behind in range(PADDING + 1, -1, -1):
        used = packed[: max(len(packed) - behind, 0)]
        whole = _filled(used, size)
        if whole is not None:
            if behind > PADDING or _filled(used, size + 1) is not None:
                break
            return whole
    raise malformed("DICOM", "whose RLE frame has more or fewer pixels than its header")


def _filled(packed: memoryview, size: int) -> bytes | None:
    """The first ``size`` bytes, None where there are fewer. To Pillow's decoder they are one line of a picture."""
    try:
        return Pillow.frombytes("L", (size, 1), packed, "packbits", "L").tobytes()
    except ValueError:
        return None
