"""Palette colour (PS3.3 C.7.9, PS3.5 C.7.9.2): tables plain or in segments, expanded only as far as they declare."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from service.formats.dicom_display import lut_of
from service.formats.dicom_layout import Layout
from service.formats.display import Lut
from service.formats.guard import malformed

CHANNELS = ("Red", "Green", "Blue")
DISCRETE, LINEAR, INDIRECT = 0, 1, 2
# The longest segment for one entry takes four words of two bytes.
MOST_BYTES = 8 << 16


def palette_of(dataset: Dataset, layout: Layout, little: bool) -> tuple[Lut, Lut, Lut]:
    """Tables of red, green and blue. Raises UnusableImage where one is missing or broken."""
    red, green, blue = (_channel(dataset, name, layout, little) for name in CHANNELS)
    return red, green, blue


def coloured(stored: NDArray[Any], palette: Sequence[Lut]) -> NDArray[np.uint8]:
    """(height, width, 1) indices to (height, width, 3), 8 bits as screens have; indices off the table are clamped."""
    unsigned = np.dtype(f"u{stored.dtype.itemsize}")
    every = np.arange(1 << min(8 * unsigned.itemsize, 16), dtype=unsigned).view(stored.dtype).astype(np.float64)
    table = np.stack([_eight_bit(lut)(every) for lut in palette], axis=-1).astype(np.uint8)
    return np.asarray(table[stored[..., 0].view(unsigned)])


def _eight_bit(lut: Lut) -> Lut:
    # Tables say 16 bits and hold 8 of them, in the upper or, wrongly, in the lower byte.
    return Lut(lut.first, lut.entries >> np.uint16(max(lut.bits - 8, 0)), 8)


def _channel(dataset: Dataset, name: str, layout: Layout, little: bool) -> Lut:
    descriptor = dataset.get(f"{name}PaletteColorLookupTableDescriptor")
    data = dataset.get(f"{name}PaletteColorLookupTableData")
    segments = dataset.get(f"Segmented{name}PaletteColorLookupTableData")
    if descriptor is None or (data is None and segments is None):
        raise malformed("DICOM", "of indexed colour that has no colour table")
    if data is None:
        data = _expanded(segments, descriptor, little)
    lut = lut_of(descriptor, data, little, layout.signed)
    return lut if int(lut.entries.max()) > 255 else Lut(lut.first, lut.entries, 8)


def _expanded(segments: bytes, descriptor: Sequence[int], little: bool) -> list[int]:
    """Entries of a segmented table. Raises UnusableImage when they are more than declared or refer to each other."""
    if len(segments) > MOST_BYTES:
        raise malformed("DICOM", f"with a colour table of {len(segments)} bytes")
    wide = int(descriptor[2]) > 8
    words = np.frombuffer(segments, ("<u2" if little else ">u2") if wide else np.uint8).tolist()
    entries: list[int] = []
    most = int(descriptor[0]) or 1 << 16
    _expand(words, entries, most)
    return entries


def _expand(words: list[int], out: list[int], most: int, at: int = 0, count: int | None = None) -> None:
    """Append the entries of all segments, or of ``count`` from ``at`` on, to which another segment referred.

    Each segment has to give an entry at least, so that there are no more of them than entries; zeros that fill up the
    end do not.
    """
    done = 0
    while at < len(words) - 1 and (count is None or done < count):
        kind, length = words[at : at + 2]
        before = len(out)
        if (
            before + length > most
            or kind not in (DISCRETE, LINEAR, INDIRECT)
            or (count is not None and kind == INDIRECT)
        ):
            raise malformed("DICOM", "with an unreadable colour table")
        if kind == DISCRETE:
            out += words[at + 2 : at + 2 + length]
            at += 2 + length
        elif kind == LINEAR:
            out += _ramp(out, words[at + 2], length)
            at += 3
        else:
            _expand(words, out, most, _offset(words[at + 2 : at + 4]), length)
            at += 4
        if len(out) == before:
            if any(words[at:]):
                raise malformed("DICOM", "whose colour table has a segment of nothing")
            return
        done += 1


def _ramp(out: list[int], end: int, length: int) -> list[int]:
    start = out[-1] if out else 0
    return [round(start + (end - start) * step / length) for step in range(1, length + 1)]


def _offset(pair: list[int]) -> int:
    low, high = pair
    return low + (high << 16)
