"""What DICOM outputs take over from their source: attribute by attribute, each checked that it can be written again.

Headers are decoded late, and hold what somebody or something wrote. A value that cannot be read, or not be written, is
the file's fault and refused as such; around everything else there is no guard, so that our own mistakes show.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from pydicom import DataElement, Dataset
from pydicom.datadict import dictionary_VR
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.valuerep import PersonName

from service.errors import UnusableImage
from service.formats.guard import quiet

# Leading zeros of a component, which PS3.5 9.1 forbids, are common and do no harm.
UID_TEXT = re.compile(r"[0-9]+(\.[0-9]+)*")
LONGEST_UID = 64
UID_REMEDY = "Export the file anew, or ask for nifti or mask."


@dataclass(frozen=True)
class Series:
    """UIDs of the study and series that an instance is in, and of its frame of reference where it has one."""

    study: str
    series: str
    space: str | None


def attribute(header: Dataset, keyword: str) -> DataElement | None:
    """An attribute as it stands in the source, None where it is missing; texts under the kind that it should have.

    Raises UnusableImage with code ``malformed`` where it cannot be read, or not be written.
    """
    if keyword not in header:
        return None
    try:
        with quiet():
            found = _of_its_kind(header[keyword])
            _write(found)
    except Exception:  # pydicom's decoders and encoders throw many kinds over values of others
        raise UnusableImage(
            f"a DICOM file whose {keyword} cannot be read",
            "a well-formed attribute, since a DICOM output repeats it",
            "Export the file anew, or ask for nifti or mask.",
            "malformed",
        ) from None
    return found


def value_of(header: Dataset, keyword: str) -> Any:
    """The value of an attribute, None where it is missing. Raises as `attribute`."""
    found = attribute(header, keyword)
    return None if found is None else found.value


def copy_to(made: Dataset, header: Dataset, keyword: str) -> bool:
    """Take an attribute over where the source has it, and say whether it has. Raises as `attribute`."""
    found = attribute(header, keyword)
    if found is not None:
        made[keyword] = found
    return found is not None


def uid_of(header: Dataset, keyword: str) -> str | None:
    """A UID of the source, None where it is missing or empty.

    Raises UnusableImage with code ``source_incomplete`` where it is something else, and as `attribute`.
    """
    value = value_of(header, keyword)
    if value is None or value == "":
        return None
    if not (isinstance(value, str) and len(value) <= LONGEST_UID and UID_TEXT.fullmatch(value)):
        raise UnusableImage(
            f"a DICOM file whose {keyword} is not one UID",
            f"at most {LONGEST_UID} digits and points, which a DICOM output has to repeat",
            UID_REMEDY,
            "source_incomplete",
        )
    return str(value)


def series_of(header: Dataset) -> Series:
    """Where an instance belongs. Raises UnusableImage with code ``source_incomplete``, and as `attribute`."""
    study, series = (uid_of(header, f"{what}InstanceUID") for what in ("Study", "Series"))
    if study is None or series is None:
        raise nameless()
    return Series(study, series, uid_of(header, "FrameOfReferenceUID"))


def nameless() -> UnusableImage:
    """The error for an instance that does not say all that names it."""
    return UnusableImage(
        "a DICOM file without the UIDs of its study, series, instance or class",
        "all four, which a DICOM output has to name",
        UID_REMEDY,
        "source_incomplete",
    )


def _of_its_kind(element: DataElement) -> DataElement:
    """The element as the kind of value that it should be. Raises ValueError where it is neither that nor text."""
    wanted = dictionary_VR(element.tag)
    if wanted == element.VR:
        return element
    if not (element.is_empty or isinstance(element.value, str | PersonName)):
        raise ValueError("neither of its kind nor text")
    return DataElement(element.tag, wanted, "" if element.is_empty else str(element.value))


def _write(element: DataElement) -> None:
    """Try it, as our files are written."""
    stream = DicomBytesIO()
    stream.is_implicit_VR, stream.is_little_endian = False, True
    alone = Dataset()
    alone[element.tag] = element
    write_dataset(stream, alone, "utf-8")
