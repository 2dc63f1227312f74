"""DICOM that is cheap to write and dear to read: headers of nothing, tables of nothing, pixels in tiny pieces."""

from __future__ import annotations

import struct

from pydicom import Dataset
from pydicom.uid import RLELossless

from tests.hostile.corpus import dicoms
from tests.hostile.corpus.common import Files

OTHER_IDS, US_REGIONS, VOI_LUTS = (0x0010, 0x1002), (0x0018, 0x6011), (0x0028, 0x3010)
EMPTY_ITEM = b"\xfe\xff\x00\xe0\0\0\0\0"
DIRECT = b"\0\0\1\0\7\0"


def _before_body(extra: bytes) -> bytes:
    whole = dicoms.picture()
    at = whole.index(b"\x08\0\x16\0UI")
    return whole[:at] + extra + whole[at:]


def _items(tag: tuple[int, int], count: int, *, open_ended: bool = False) -> bytes:
    """One sequence of empty items."""
    length = dicoms.UNDEFINED if open_ended else count * len(EMPTY_ITEM)
    head = struct.pack("<HH2sHI", *tag, b"SQ", 0, length)
    return head + EMPTY_ITEM * count + (b"\xfe\xff\xdd\xe0\0\0\0\0" if open_ended else b"")


def _private(count: int) -> bytes:
    pieces = (struct.pack("<HH2sH2s", 0x0009 + (at >> 16) * 2, at & 0xFFFF, b"CS", 2, b"A ") for at in range(count))
    return b"".join(pieces)


def _one_item(tag: tuple[int, int], value: bytes) -> bytes:
    item = b"\xfe\xff\x00\xe0" + struct.pack("<I", len(value)) + value
    return struct.pack("<HH2sHI", *tag, b"SQ", 0, len(item)) + item


def _palette(segments: bytes) -> bytes:
    tables = {
        f"{start}{name}PaletteColorLookupTable{end}": value
        for name in ("Red", "Green", "Blue")
        for start, end, value in (("", "Descriptor", [256, 0, 16]), ("Segmented", "Data", segments))
    }
    return dicoms.written(dicoms.dataset(PhotometricInterpretation="PALETTE COLOR", **tables))


def _rle(data: bytes, count: int = 1, **changes: object) -> bytes:
    frame = dicoms._rle(1, 64, data=data)
    made = dicoms.dataset(PixelData=dicoms.items(*[frame] * count), **changes)
    return dicoms.written(made, RLELossless)


def _tall_table() -> bytes:
    """A modality LUT over 32-bit values, and no window."""
    item = Dataset()
    item.LUTDescriptor, item.ModalityLUTType, item.LUTData = [256, 0, 8], "US", bytes(range(256)) * 2
    pixels = struct.pack("<I", 100_000_000) + bytes(4 * dicoms.SIDE**2 - 4)
    return dicoms.written(
        dicoms.dataset(BitsAllocated=32, BitsStored=32, HighBit=31, PixelData=pixels, ModalityLUTSequence=[item])
    )


REFUSED: Files = {
    "dicom of 100000 other patient ids": lambda: _before_body(_items(OTHER_IDS, 100_000)),
    "dicom of 100000 open-ended other patient ids": lambda: _before_body(_items(OTHER_IDS, 100_000, open_ended=True)),
    "dicom of 1500000 items": lambda: _before_body(_items((0x0009, 0x1001), 1_500_000, open_ended=True)),
    "dicom of 500000 private attributes": lambda: _before_body(_private(500_000)),
    "dicom of 500000 attributes in an item": lambda: _before_body(_one_item(OTHER_IDS, _private(500_000))),
    "dicom of 100000 ultrasound regions": lambda: _before_body(_items(US_REGIONS, 100_000)),
    "dicom of 100000 voi luts": lambda: _before_body(_items(VOI_LUTS, 100_000)),
    "dicom of a palette of empty segments": lambda: _palette(b"\0\0\0\0" * 100_000 + DIRECT),
    "dicom of a palette that refers to nothing": lambda: _palette(b"\2\0\xff\xff\0\0\0\0" * 800 + b"\0\0\0\0" * 60_000),
    "dicom of rle with more behind it": lambda: _rle((b"\x81\0" * 32) + b"\x80" * 30_000_000),
    "dicom of 8000 small frames in rle": lambda: _rle(b"\xc1\0", 8000, NumberOfFrames=8000, Rows=8, Columns=8),
}
ODD: Files = {
    "dicom of 1900 other patient ids": lambda: _before_body(_items(OTHER_IDS, 1900)),
    "dicom of 1900 ultrasound regions": lambda: _before_body(_items(US_REGIONS, 1900)),
    "dicom of 9900 private attributes": lambda: _before_body(_private(9_900)),
    "dicom of 20000 private items": lambda: _before_body(_items((0x0009, 0x1001), 20_000, open_ended=True)),
    "dicom of 32 bits with a modality table": _tall_table,
    "dicom of rle of nothing for long": lambda: _rle(b"\x80" * 30_000_000 + b"\x81\0" * 32),
    "dicom of rle byte for byte": lambda: _rle(b"\0\1" * (3000 * 3300), Rows=3000, Columns=3300),
    "dicom of a palette of single steps": lambda: _palette(b"\1\0\1\0\7\0" * 256),
}
