"""What of a DICOM header leaves the decoding process: attributes of no more than a few words, and where frames lie.

Outputs repeat patient and study and name the instance; private attributes, pictures within the header and whatever
else a stranger put there never reach the service, which has neither a time nor a memory limit.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from pydicom import Dataset
from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag, Tag

from service.formats.dicom_walk import SMALL

SHARED, PER_FRAME = (Tag(f"{of}FunctionalGroupsSequence") for of in ("Shared", "PerFrame"))
MACROS = tuple(Tag(f"{of}Sequence") for of in ("PlanePosition", "PlaneOrientation", "PixelMeasures"))
META = tuple(Tag(name) for name in ("MediaStorageSOPClassUID", "MediaStorageSOPInstanceUID", "TransferSyntaxUID"))
# Of one value as it is stored, and values of one attribute.
MOST_BYTES, MOST_VALUES = 4096, 64
PIXEL_TABLES = (0x00283000, 0x00283010)

Element = DataElement | RawDataElement


def handed_over(header: Dataset, frames: Collection[int]) -> Dataset:
    """The part of a header that outputs may need, for these frames (1-based); elements nobody looked at stay raw."""
    made = _like(header)
    for tag in header.keys():  # noqa: SIM118 - iterating over a data set decodes every element
        element = header.get_item(tag)
        if tag == PER_FRAME:
            made[tag] = DataElement(tag, "SQ", _groups(header[tag].value, frames))
        elif tag == SHARED:
            made[tag] = DataElement(tag, "SQ", _groups(header[tag].value, (1,)))
        elif element is not None and _small(tag, element):
            made[tag] = element
    return made


def handed_over_meta(header: Dataset) -> Dataset:
    """The same of the file meta information."""
    meta, made = header.file_meta, Dataset()
    for tag in META:
        if tag in meta:
            made[tag] = meta[tag]
    return made


def _like(header: Dataset) -> Dataset:
    made = Dataset()
    implicit, little = header.original_encoding
    made.set_original_encoding(implicit, little, header.original_character_set)
    return made


def _groups(items: Any, frames: Collection[int]) -> Sequence:
    """An item for each frame as there was, with where it lies; empty for frames that nobody asked for."""
    return Sequence([_placed(item) if number in frames else Dataset() for number, item in enumerate(items, start=1)])


def _placed(item: Dataset) -> Dataset:
    made = _like(item)
    for tag in MACROS:
        if tag in item:
            made[tag] = item[tag]
    return made


def _small(tag: BaseTag, element: Element) -> bool:
    if tag.is_private or not dictionary_has_tag(tag) or tag in PIXEL_TABLES:
        return False
    if element.VR == "SQ" or dictionary_VR(tag) == "SQ":
        return tag in SMALL
    value = element.value
    if isinstance(value, bytes | str):
        return len(value) <= MOST_BYTES
    return isinstance(element, RawDataElement) or element.VM <= MOST_VALUES
