"""DICOM: data that deflates, nests, lies about its size, or is no picture at all."""

from __future__ import annotations

import functools
import io
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from tests.hostile.corpus.common import CANARY, MEBIBYTE, Files, changed, truncations, zeros

US, CT = "1.2.840.10008.5.1.4.1.1.6.1", "1.2.840.10008.5.1.4.1.1.2"
# A square that the tiny pipeline finds.
SIDE = 64
TEXTS = ("PatientName", "PatientID", "InstitutionName", "StudyDescription", "ReferringPhysicianName", "ImageComments")
UNDEFINED = 0xFFFFFFFF


def dataset(**changes: Any) -> Dataset:
    """An ultrasound picture; a change of None takes the attribute away."""
    made = Dataset()
    values = {
        "SOPClassUID": US, "SOPInstanceUID": "1.2.3.4", "StudyInstanceUID": "1.2.3", "SeriesInstanceUID": "1.2.3.5",
        "Modality": "US", "Rows": SIDE, "Columns": SIDE, "SamplesPerPixel": 1, "BitsAllocated": 8,
        "PhotometricInterpretation": "MONOCHROME2", "BitsStored": 8, "HighBit": 7, "PixelRepresentation": 0,
        "PixelData": _pixels(),
        **dict.fromkeys(TEXTS, CANARY),
    }  # fmt: skip
    with disable_value_validation():
        for name, value in {**values, **changes}.items():
            if value is not None:
                setattr(made, name, value)
    return made


def _pixels() -> bytes:
    picture = np.zeros((SIDE, SIDE), np.uint8)
    picture[20:36, 20:36] = 255
    return picture.tobytes()


def written(made: Dataset, syntax: str = ExplicitVRLittleEndian, preamble: bytes = b"\0" * 128) -> bytes:
    """The file of a data set, however wrong it is."""
    made.file_meta = FileMetaDataset()
    with disable_value_validation():
        said = made.get("SOPClassUID", US)
        made.file_meta.MediaStorageSOPClassUID = US if isinstance(said, bytes) else said
    made.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    made.file_meta.TransferSyntaxUID = UID(syntax)
    made.preamble = preamble
    if "PixelData" in made:
        made["PixelData"].VR = "OB" if UID(syntax).is_compressed else "OW"
        made["PixelData"].is_undefined_length = UID(syntax).is_encapsulated
    stream = io.BytesIO()
    with disable_value_validation():
        dcmwrite(stream, made, implicit_vr=False, little_endian=True, enforce_file_format=False)
    return stream.getvalue()


def _renamed(syntax: str) -> bytes:
    """The uncompressed picture under another transfer syntax, whose name is as long."""
    return picture().replace(ExplicitVRLittleEndian.encode(), syntax.encode(), 1)


def picture() -> bytes:
    """A DICOM file as it should be."""
    return written(dataset())


def _is(**changes: Any) -> Callable[[], bytes]:
    return lambda: written(dataset(**changes))


def items(*frames: bytes) -> bytes:
    """Encapsulated pixel data: an empty offset table, then an item each."""
    items = b"".join(b"\xfe\xff\x00\xe0" + struct.pack("<I", len(one)) + one for one in (b"", *frames))
    return items + b"\xfe\xff\xdd\xe0\0\0\0\0"


def _encapsulated(syntax: str, *frames: bytes, **changes: Any) -> Callable[[], bytes]:
    return lambda: written(dataset(PixelData=items(*frames), **changes), syntax)


def _element(group: int, number: int, kind: bytes, value: bytes) -> bytes:
    """One element in explicit little endian."""
    long = kind in (b"OB", b"OW", b"SQ", b"UN", b"UT")
    length = b"\0\0" + struct.pack("<I", len(value)) if long else struct.pack("<H", len(value))
    return struct.pack("<HH", group, number) + kind + length + value


def _meta(syntax: str) -> bytes:
    uid = syntax.encode() + b"\0" * (len(syntax) % 2)
    return b"\0" * 128 + b"DICM" + _element(2, 0x10, b"UI", uid)


def _body() -> bytes:
    """Of the picture, without preamble and file meta information."""
    whole, at = picture(), 132
    while struct.unpack_from("<H", whole, at)[0] == 2:
        wide = whole[at + 4 : at + 6] in (b"OB", b"UN")
        (length,) = struct.unpack_from("<I" if wide else "<H", whole, at + 8 if wide else at + 6)
        at += (12 if wide else 8) + length
    return whole[at:]


def nested(depth: int) -> bytes:
    """Sequences in sequences, all of undefined length."""
    opening = struct.pack("<HH2sHI", 0x0008, 0x1140, b"SQ", 0, UNDEFINED) + b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    closing = b"\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0"
    return _meta(ExplicitVRLittleEndian) + opening * depth + closing * depth + _body()


@functools.cache
def _deflated_bomb(size: int) -> bytes:
    return _meta(DeflatedExplicitVRLittleEndian) + zeros(size, -15)


def _codestream(width: int, height: int) -> bytes:
    """The beginning of a JPEG 2000 codestream of that size."""
    size = struct.pack(">HHHIIIIIIIIH", 0xFF51, 41, 0, width, height, 0, 0, width, height, 0, 0, 1) + b"\7\1\1"
    return b"\xff\x4f" + size + b"\xff\x52\0\x0c\0\0\0\1\0\5\4\4\0\0" + b"\xff\x93" + b"\0" * 40 + b"\xff\xd9"


def _lossless(width: int, height: int, start: int = 0xC3) -> bytes:
    """The beginning of a JPEG lossless (or, with 0xF7, JPEG-LS) stream of that size."""
    frame = struct.pack(">BBHBHHB", 0xFF, start, 11, 8, height, width, 1) + b"\1\x11\0"
    return b"\xff\xd8" + frame + b"\xff\xda\0\x08\1\1\0\1\0\0" + b"\x55" * 40 + b"\xff\xd9"


def _rle(count: int, *offsets: int, data: bytes = b"") -> bytes:
    return struct.pack("<16I", count, *offsets, *[0] * (15 - len(offsets))) + data


def _other_kind(uid: str) -> bytes:
    """An object that is no picture."""
    made = dataset(SOPClassUID=uid, PixelData=None, Rows=None, Columns=None, ContentLabel=CANARY)
    return written(made)


def _directory() -> bytes:
    made = dataset(SOPClassUID="1.2.840.10008.1.3.10", PixelData=None, Rows=None)
    item = Dataset()
    with disable_value_validation():
        item.ReferencedFileID = ["..", "..", "ETC", "PASSWD"]
    item.DirectoryRecordType = "IMAGE"
    made.DirectoryRecordSequence = [item]
    return written(made)


SIZES: Files = {
    "dicom without rows": _is(Rows=None),
    "dicom of 0 rows": _is(Rows=0),
    "dicom of 1 row": _is(Rows=1),
    "dicom of 65535 x 65535": _is(Rows=65_535, Columns=65_535),
    "dicom of 65535 x 65535 in rle": _encapsulated(RLELossless, _rle(1, 64), Rows=65_535, Columns=65_535),
    "dicom of 7000 x 8000 without the pixels": _is(Rows=8000, Columns=7000),
    "dicom of 2 rows more than it holds": _is(Rows=SIDE + 2),
    "dicom of 2147483647 frames": _is(NumberOfFrames=2_147_483_647),
    "dicom of 100000 frames in rle": _encapsulated(RLELossless, _rle(1, 64), NumberOfFrames=100_000),
    "dicom of -1 frames": _is(NumberOfFrames=-1),
    "dicom of frames in letters": lambda: written(dataset(NumberOfFrames=99)).replace(b"IS\2\x0099", b"IS\2\0xx"),
    "dicom of 0 samples": _is(SamplesPerPixel=0),
    "dicom of 65535 samples": _is(SamplesPerPixel=65_535),
    "dicom of 3 bits": _is(BitsAllocated=3, BitsStored=3, HighBit=2),
    "dicom of 64 bits": _is(BitsAllocated=64, BitsStored=64, HighBit=63),
    "dicom of more bits stored than allocated": _is(BitsStored=16, HighBit=15),
    "dicom whose rows are two numbers": lambda: picture().replace(
        struct.pack("<HH2sHH", 0x28, 0x10, b"US", 2, SIDE), struct.pack("<HH2sHHH", 0x28, 0x10, b"US", 4, SIDE, SIDE)
    ),
    "dicom whose rows are 4 thousand million": lambda: picture().replace(
        struct.pack("<HH2sHH", 0x28, 0x10, b"US", 2, SIDE), struct.pack("<HH2sHI", 0x28, 0x10, b"UL", 4, UNDEFINED)
    ),
    "dicom whose rows are text": lambda: picture().replace(
        struct.pack("<HH2sHH", 0x28, 0x10, b"US", 2, SIDE), struct.pack("<HH2sH", 0x28, 0x10, b"LO", 4) + b"many"
    ),
}  # fmt: skip
STREAMS: Files = {
    "dicom of rle whose segments lie beyond": _encapsulated(RLELossless, _rle(1, 0x7FFFFFFF)),
    "dicom of rle with 4711 segments": _encapsulated(RLELossless, _rle(4711, 64)),
    "dicom of rle that ends early": _encapsulated(RLELossless, _rle(1, 64, data=b"\x81\0")),
    "dicom of rle that never ends": _encapsulated(RLELossless, _rle(1, 64, data=b"\x81\0" * 200_000)),
    "dicom of jpeg 2000 of another size": _encapsulated(JPEG2000Lossless, _codestream(60_000, 60_000)),
    "dicom of jpeg 2000 without pixels": _encapsulated(JPEG2000Lossless, _codestream(SIDE, SIDE)),
    "dicom of jpeg 2000 that is none": _encapsulated(JPEG2000Lossless, CANARY.encode() * 20),
    "dicom of lossless jpeg of another size": _encapsulated(JPEGLosslessSV1, _lossless(65_535, 65_535)),
    "dicom of lossless jpeg without tables": _encapsulated(JPEGLosslessSV1, _lossless(SIDE, SIDE)),
    "dicom of jpeg-ls of another size": _encapsulated(JPEGLSLossless, _lossless(65_535, 65_535, 0xF7)),
    "dicom of jpeg-ls without pixels": _encapsulated(JPEGLSLossless, _lossless(SIDE, SIDE, 0xF7)),
    "dicom of jpeg that is none": _encapsulated(JPEGBaseline8Bit, b"\xff\xd8" + b"\0" * 100),
    "dicom of htj2k that is none": _encapsulated("1.2.840.10008.1.2.4.201", b"\xff\x4f" + b"\0" * 100),
    "dicom of no items": _encapsulated(JPEG2000Lossless),
    "dicom of a raw value where items should be": lambda: _renamed(RLELossless),
    "dicom of an item of 4 GiB": lambda: written(
        dataset(PixelData=b"\xfe\xff\x00\xe0\0\0\0\0\xfe\xff\x00\xe0\xf0\xff\xff\xff" + b"\0" * 40), JPEG2000Lossless
    ),
    "dicom of an offset table that leads nowhere": lambda: written(
        dataset(PixelData=b"\xfe\xff\x00\xe0\4\0\0\0\xff\xff\xff\x7f" + items(_codestream(SIDE, SIDE))[8:]),
        JPEG2000Lossless,
    ),
    "dicom of video": _encapsulated("1.2.840.10008.1.2.4.102", b"\0\0\0\1" * 20),
    "dicom of deflated jpip": lambda: _meta("1.2.840.10008.1.2.4.95") + zeros(16 * MEBIBYTE, -15),
    "dicom of a transfer syntax of nobody's": lambda: _renamed("1.2.840.10008.1.2.9"),
}
STRUCTURE: Files = {
    **truncations("dicom", picture),
    "dicom that deflates to 256 MiB": lambda: _deflated_bomb(256 * MEBIBYTE),
    "dicom that deflates to less than it should": lambda: _deflated_bomb(100),
    **{f"dicom nested {depth} deep": functools.partial(nested, depth) for depth in (249, 1000, 100_000)},
    "dicom of an element of 4 GiB": lambda: changed(picture(), picture().find(b"PN") + 2, b"\xff\xff"),
    "dicom of a preamble alone": lambda: b"\0" * 128 + b"DICM",
    "dicom of noise": lambda: b"\0" * 128 + b"DICM" + bytes(range(256)) * 20,
    "dicom without pixels": _is(PixelData=None),
    "dicom of no pixels": _is(PixelData=b""),
    "dicom without photometric interpretation": _is(PhotometricInterpretation=None),
    "dicom of a colour space of nobody's": _is(PhotometricInterpretation=CANARY),
    "dicom of a palette that is missing": _is(PhotometricInterpretation="PALETTE COLOR"),
    "dicom of colours in one plane": _is(PhotometricInterpretation="RGB"),
    "dicom report": lambda: _other_kind("1.2.840.10008.5.1.4.1.1.88.33"),
    "dicom of a pdf": lambda: _other_kind("1.2.840.10008.5.1.4.1.1.104.1"),
    "dicom presentation state": lambda: _other_kind("1.2.840.10008.5.1.4.1.1.11.1"),
    "dicom directory that leads out": _directory,
    "dicom in a program": lambda: b"MZ" + b"\x90" * 126 + b"DICM" + b"\xff" * 400,
    "dicom in a zip": lambda: b"PK\x03\x04" + b"\0" * 124 + b"DICM" + b"\xff" * 400,
}
REFUSED: Files = {**SIZES, **STREAMS, **STRUCTURE}
ODD: Files = {
    "dicom of pixels of 4 GiB": lambda: picture().replace(b"OW\0\0\0\x10\0\0", b"OW\0\0\xf0\xff\xff\xff"),
    "dicom of a kind of value that is none": lambda: picture().replace(b"\x10\0\x10\0PN", b"\x10\0\x10\0ZZ"),
    "dicom whose meta information is 4 GiB": lambda: changed(picture(), 140, b"\xf0\xff\xff\xff"),
    "dicom nested 100 deep": lambda: nested(100),
    "dicom with the head of a program": lambda: written(dataset(), preamble=b"MZ".ljust(128, b"\0")),
    "dicom of another modality": _is(Modality="CT", SOPClassUID=CT),
    "dicom of no modality": _is(Modality=None),
    "dicom of a spacing that is none": _is(PixelSpacing=None, ImagerPixelSpacing=["0", "-1"]),
    "dicom of a window without width": _is(WindowCenter="1", WindowWidth="0"),
}
