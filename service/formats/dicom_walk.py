"""How much there is to a DICOM header, counted before any of it is taken apart, which costs ten times as much.

The walk goes through the positions that pydicom goes through, also where lengths or kinds of values are wrong.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from pydicom._dicom_dict import DicomDictionary
from pydicom.datadict import tag_for_keyword
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32

from service.errors import TooLarge

PIXELS = (0x7FE00008, 0x7FE00009, 0x7FE00010)
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
UNDEFINED = 0xFFFFFFFF
# An enhanced MR of 2000 frames has 160 000 attributes in 30 000 items.
MOST_ATTRIBUTES, MOST_ITEMS = 200_000, 50_000
# In no sequence.
MOST_OUTSIDE = 10_000
# A series of a thousand slices has half a million.
MOST_IN_SERIES = 1_000_000
# In one of the sequences that are looked at item by item, or that outputs repeat.
MOST_IN_ONE = 2_000
SMALL = frozenset(
    tag_for_keyword(keyword)
    for keyword in (
        *("SequenceOfUltrasoundRegions", "ModalityLUTSequence", "VOILUTSequence", "ViewCodeSequence"),
        *("IssuerOfPatientIDQualifiersSequence", "OtherPatientIDsSequence", "DeidentificationMethodCodeSequence"),
        *("PatientSpeciesCodeSequence", "IssuerOfAccessionNumberSequence", "SharedFunctionalGroupsSequence"),
    )
)
LONG = frozenset(str(vr).encode() for vr in EXPLICIT_VR_LENGTH_32)


@dataclass
class Count:
    """Of what was passed so far; ``within`` is that of ``top`` alone, the last of those ``outside`` of sequences."""

    attributes: int = 0
    items: int = 0
    outside: int = 0
    within: int = 0
    top: int = 0

    def add(self, tag: int, outside: bool) -> None:
        """Raises TooLarge."""
        if outside:
            self.top, self.within = tag, 0
        self.outside += outside
        self.items += tag == ITEM
        self.attributes += tag != ITEM
        self.within += 1
        if self.attributes > MOST_ATTRIBUTES or self.items > MOST_ITEMS:
            raise TooLarge(
                f"a DICOM header of more than {MOST_ATTRIBUTES} attributes or {MOST_ITEMS} items",
                "a header of a picture",
                "Take private attributes out of the file.",
            )
        if self.outside > MOST_OUTSIDE:
            raise TooLarge(
                f"a DICOM header of more than {MOST_OUTSIDE} attributes outside of sequences",
                "a header of a picture",
                "Take private attributes out of the file.",
            )
        if self.within > MOST_IN_ONE and self.top in SMALL:
            raise TooLarge(
                f"a DICOM header with more than {MOST_IN_ONE} attributes and items in one sequence",
                "a few",
                "Export the file anew and send that.",
            )


@dataclass
class Walk:
    """Through ``body`` from ``at`` on, inside of sequences up to ``until`` and of ``open`` more that name no length."""

    body: bytes
    at: int
    implicit: bool
    little: bool
    until: int = 0
    open: int = 0
    count: Count = field(default_factory=Count)

    def run(self) -> Count:
        """To the pixels, or to the end. Raises TooLarge where there is more than a header can need."""
        head = struct.Struct(f"{'<' if self.little else '>'}HHI").unpack_from
        while self.at + 8 <= len(self.body):
            group, number, length = head(self.body, self.at)
            tag, outside = group << 16 | number, self.open == 0 and self.at >= self.until
            if outside and tag in PIXELS:
                break
            self.at += 8
            if tag in (ITEM_END, SEQUENCE_END):
                self.open = max(self.open - 1, 0)
                continue
            self.count.add(tag, outside)
            if tag == ITEM:
                self._enter(length)
            else:
                self._pass(tag, length)
        return self.count

    def _enter(self, length: int) -> None:
        if length == UNDEFINED:
            self.open += 1
        else:
            self.until = max(self.until, self.at + length)

    def _pass(self, tag: int, length: int) -> None:
        vr, length = self._kind(length)
        if vr == b"SQ" or (length == UNDEFINED and vr in (b"UN", b"")) or (vr in (b"UN", b"") and _is_sequence(tag)):
            self._enter(length)
        elif length == UNDEFINED:
            end = self.body.find(b"\xfe\xff\xdd\xe0" if self.little else b"\xff\xfe\xe0\xdd", self.at)
            self.at = len(self.body) if end < 0 else end + 8
        else:
            self.at += length

    def _kind(self, length: int) -> tuple[bytes, int]:
        """Kind of value, empty where the file does not say, and length."""
        vr = self.body[self.at - 4 : self.at - 2]
        if self.implicit or not b"AA" <= vr <= b"ZZ":
            return b"", length
        order = "little" if self.little else "big"
        if vr not in LONG:
            return vr, int.from_bytes(self.body[self.at - 2 : self.at], order)  # type: ignore[arg-type]
        self.at += 4
        return vr, int.from_bytes(self.body[self.at - 4 : self.at], order)  # type: ignore[arg-type]


def check_series(counted: int) -> None:
    """Raises TooLarge for so many attributes and items in the files of one series together."""
    if counted > MOST_IN_SERIES:
        raise TooLarge(
            f"DICOM headers of more than {MOST_IN_SERIES} attributes and items together",
            "the slices of one series",
            "Send fewer slices.",
        )


def _is_sequence(tag: int) -> bool:
    known = DicomDictionary.get(tag)
    return known is not None and known[0] == "SQ"


def check_header(body: bytes, start: int, *, implicit: bool, little: bool) -> int:
    """Attributes and items of the header that begins at ``start``. Raises TooLarge."""
    if not implicit and not b"AA" <= body[start + 4 : start + 6] <= b"ZZ":
        # Some writers call a file explicit that is not.
        implicit = True
    count = Walk(body, start, implicit, little).run()
    return count.attributes + count.items
