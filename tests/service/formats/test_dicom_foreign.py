"""What is taken over from a source: as it is, or refused by name and without its value."""

import pytest
from pydicom import DataElement, Dataset
from pydicom.config import disable_value_validation
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from service.errors import UnusableImage
from service.formats.dicom_foreign import attribute, copy_to, series_of, uid_of


def raw(keyword: str, kind: str, value: bytes) -> Dataset:
    made, tag = Dataset(), Tag(keyword)
    made[tag] = RawDataElement(tag, kind, len(value), value, 0, False, True)
    return made


def holding(keyword: str, value: object) -> Dataset:
    with disable_value_validation():
        made = Dataset()
        setattr(made, keyword, value)
    return made


@pytest.mark.parametrize(("kind", "value"), [("FD", b"\1\2\3\4\5\6"), ("US", b"\1\2"), ("SQ", b"\1\2\3\4\5\6")])
def test_what_cannot_be_read_is_refused(kind: str, value: bytes) -> None:
    with pytest.raises(UnusableImage, match="Found a DICOM file whose StudyTime cannot be read; wanted a well-formed"):
        attribute(raw("StudyTime", kind, value), "StudyTime")


def test_what_is_well_formed_is_taken_over() -> None:
    made = Dataset()
    assert not copy_to(made, Dataset(), "PatientName")
    assert copy_to(made, raw("PatientName", "PN", b"A^B "), "PatientName")
    assert made.PatientName == "A^B"


def test_text_is_taken_for_the_kind_that_it_should_be() -> None:
    found = attribute(raw("PatientID", "SH", b"AB"), "PatientID")
    assert found is not None
    assert (found.VR, found.value) == ("LO", "AB")
    empty = attribute(raw("PatientID", "FD", b""), "PatientID")
    assert isinstance(empty, DataElement)
    assert (empty.VR, empty.value) == ("LO", "")


@pytest.mark.parametrize("value", ["Canary Ziggy/../x", "1.2.3\\1.2.4", "1..2", "1." * 40])
def test_uids_are_checked(value: str) -> None:
    with pytest.raises(
        UnusableImage, match="whose StudyInstanceUID is not one UID; wanted at most 64 digits"
    ) as caught:
        uid_of(holding("StudyInstanceUID", value), "StudyInstanceUID")
    assert "Ziggy" not in str(caught.value)


def test_series() -> None:
    header = holding("StudyInstanceUID", "1.02")
    with pytest.raises(UnusableImage, match="without the UIDs of its study, series"):
        series_of(header)
    header.SeriesInstanceUID, header.FrameOfReferenceUID = "1.3", ""
    found = series_of(header)
    assert (found.study, found.series, found.space) == ("1.02", "1.3", None)
