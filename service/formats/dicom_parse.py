"""DICOM bytes to a data set: the file meta information first, deflated data under a cap, pixels apart from the rest."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass

from pydicom import Dataset, FileDataset
from pydicom.dataset import FileMetaDataset
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from service.errors import UnusableImage
from service.formats.dicom_walk import check_header
from service.formats.guard import decoding, malformed, truncated
from service.formats.inflate import inflated

MAGIC, PREAMBLE = b"DICM", 128
PIXELS = 0x7FE00010
# Bytes before its value, at most, and what stands there where its length is not known.
PIXEL_HEAD, UNDEFINED = 12, 0xFFFFFFFF
FLOAT_PIXELS = (0x7FE00008, 0x7FE00009)
# Deflated files are rare and small; a mammogram of 4096 x 3328 in 16 bit fits.
MAX_DEFLATED = 32 << 20
TRANSFER_SYNTAX, LONG_VRS = 0x0010, (b"OB", b"UN", b"OW", b"UT", b"SQ", b"OF", b"OD", b"OL", b"OV", b"UC", b"UR")
VRS = (b"AE AS AT CS DA DS DT FL FD IS LO LT OB OD OF OL OV OW PN SH SL SQ SS ST SV TM UC UI UL UN UR US UT UV").split()


Pixels = bytes | memoryview


@dataclass(frozen=True, eq=False, repr=False)
class Parsed:
    """A data set without pixels, and where in ``body`` its pixels begin; -1 where it has none.

    ``assumed``: the file does not name its transfer syntax. ``counted``: attributes and items of the header.
    ``packed``: bytes from where its pixels begin.
    """

    dataset: FileDataset
    syntax: str
    body: bytes
    pixels_at: int
    implicit: bool
    little: bool
    assumed: bool = False
    counted: int = 0
    packed: int = 0

    def pixels(self) -> tuple[Pixels, str]:
        """The value of Pixel Data as stored, not copied where it has a length, and its VR.

        Raises UnusableImage when it is cut off.
        """
        if plain := self._plain_pixels():
            return plain
        stream = io.BytesIO(self.body)
        stream.seek(self.pixels_at)
        with decoding("DICOM"):
            found = read_dataset(stream, self.implicit, self.little, stop_when=lambda tag, *_: tag != PIXELS)
            element = found.get_item(PIXELS) if PIXELS in found else None
        if element is None or not isinstance(element.value, bytes):
            raise truncated("DICOM")
        return element.value, element.VR or "OW"

    def _plain_pixels(self) -> tuple[memoryview, str] | None:
        """The same, None unless its length is known and it is encoded as all the rest."""
        head = self.body[self.pixels_at : self.pixels_at + PIXEL_HEAD]
        explicit = head[4:6] in (b"OB", b"OW")
        if len(head) < PIXEL_HEAD or explicit == self.implicit or (self.implicit and head[4:6].isalpha()):
            return None
        length_at = 4 if self.implicit else 8
        (length,) = struct.unpack_from("<I" if self.little else ">I", head, length_at)
        start = self.pixels_at + length_at + 4
        if length == UNDEFINED:
            return None
        return memoryview(self.body)[start : start + length], "OW" if self.implicit else head[4:6].decode()


def is_dicom(head: bytes) -> bool:
    """Whether a file begins like DICOM, with its preamble or, as some old writers have it, without."""
    return head[PREAMBLE : PREAMBLE + 4] == MAGIC or _bare(head)


def parse(content: bytes) -> Parsed:
    """Everything but the pixels. Raises UnusableImage, and TooLarge for deflated data or a header over the cap."""
    with decoding("DICOM"):
        at, meta = _meta(content)
        syntax = str(meta.get("TransferSyntaxUID", "")) or _guessed(content[at : at + 6])
        deflated = syntax == DeflatedExplicitVRLittleEndian
        body = inflated(content[at:], MAX_DEFLATED, "DICOM") if deflated else content
        return _parsed(body, 0 if deflated else at, syntax, meta)


def _parsed(body: bytes, start: int, syntax: str, meta: FileMetaDataset) -> Parsed:
    implicit, little = syntax == ImplicitVRLittleEndian, syntax != ExplicitVRBigEndian
    counted = check_header(body, start, implicit=implicit, little=little)
    stream, reached = io.BytesIO(body), []

    def at_pixels(tag: BaseTag, vr: str | None, length: int) -> bool:
        reached.append((int(tag), length))
        return int(tag) == PIXELS or int(tag) in FLOAT_PIXELS

    stream.seek(start)
    found = read_dataset(stream, implicit, little, stop_when=at_pixels)
    if not reached:
        raise malformed("DICOM", "without a single attribute")
    last, length = reached[-1]
    if last in FLOAT_PIXELS:
        raise UnusableImage(
            "a DICOM file of floating-point pixels", "an image of whole numbers", "Send the image it was made from.",
            "not_an_image",
        )  # fmt: skip
    if last != PIXELS and _cut(found, length):
        raise truncated("DICOM")
    assumed = "TransferSyntaxUID" not in meta
    meta.TransferSyntaxUID = ExplicitVRLittleEndian if syntax == DeflatedExplicitVRLittleEndian else UID(syntax)
    # Some writers call a file explicit that is not.
    really_implicit = bool(found.original_encoding[0])
    dataset = FileDataset("", found, b"\0" * PREAMBLE, meta, really_implicit, little)
    dataset.set_original_encoding(really_implicit, little, found.original_character_set)
    at = stream.tell() if last == PIXELS else -1
    packed = len(body) - at if at >= 0 else 0
    return Parsed(dataset, syntax, body, at, really_implicit, little, assumed, counted, packed)


def _cut(found: Dataset, length: int) -> bool:
    """Whether the last attribute reached wanted more than there was."""
    last = found.get_item(max(found.keys(), default=0)) if len(found) else None
    value = getattr(last, "value", None)
    return last is None or (isinstance(value, bytes) and length != 0xFFFFFFFF and len(value) < length)


def _meta(content: bytes) -> tuple[int, FileMetaDataset]:
    """Where the data set begins, and group 2 (always explicit, little endian), empty where the file has none."""
    at = PREAMBLE + 4 if content[PREAMBLE : PREAMBLE + 4] == MAGIC else 0
    start = at
    while content[at : at + 2] == b"\x02\0":
        at = _after(content, at)
    if at > len(content):
        raise truncated("DICOM")
    meta = FileMetaDataset()
    if at > start:
        check_header(content[start:at], 0, implicit=False, little=True)
        meta.update(read_dataset(io.BytesIO(content[start:at]), False, True))
    return at, meta


def _after(content: bytes, at: int) -> int:
    """Where the next attribute of the file meta information begins."""
    vr = content[at + 4 : at + 6]
    if vr not in VRS:
        raise malformed("DICOM", "with unreadable file meta information")
    long = vr in LONG_VRS
    fmt, header = ("<I", 12) if long else ("<H", 8)
    field_at = at + (8 if long else 6)
    (length,) = struct.unpack(fmt, content[field_at : field_at + struct.calcsize(fmt)])
    return at + header + int(length)


def _guessed(head: bytes) -> str:
    """The transfer syntax of a data set that does not name it: by whether a VR stands where one must."""
    return str(ExplicitVRLittleEndian if head[4:6] in VRS else ImplicitVRLittleEndian)


def _bare(head: bytes) -> bool:
    if len(head) < 12 or head[:2] not in (b"\x02\0", b"\x08\0") or head[3] != 0:
        return False
    explicit = head[4:6] in VRS
    implicit = head[2:4] == b"\0\0" and head[4:8] == b"\x04\0\0\0"
    return explicit or implicit
