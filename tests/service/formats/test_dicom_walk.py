"""Headers are counted as pydicom would read them, and refused before it does."""

from __future__ import annotations

import io
from typing import Any

import pytest
from pydicom import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from service.errors import TooLarge
from service.formats import dicom_walk
from service.formats.dicom_walk import check_header, check_series

ENCODINGS = {"implicit": (True, True), "explicit": (False, True), "big endian": (False, False)}


def nested(open_ended: bool) -> Dataset:
    """Six attributes in the data set and five in its three items."""
    inner, outer, other = Dataset(), Dataset(), Dataset()
    inner.CodeValue, inner.CodeMeaning = "17", "seventeen"
    outer.PatientID, outer.ReferencedImageSequence = "a", [inner]
    other.PatientID = "b"
    made = Dataset()
    made.SOPInstanceUID, made.Modality, made.PatientName, made.Rows = "1.2", "MR", "Doe", 5
    made.OtherPatientIDsSequence, made.WindowCenter = [outer, other], [1, 2]
    for dataset, name in ((made, "OtherPatientIDsSequence"), (outer, "ReferencedImageSequence")):
        dataset[name].is_undefined_length = open_ended
        for item in dataset[name].value:
            item.is_undefined_length_sequence_item = open_ended
    return made


def encoded(dataset: Dataset, implicit: bool, little: bool) -> bytes:
    stream = DicomBytesIO()
    stream.is_implicit_VR, stream.is_little_endian = implicit, little
    write_dataset(stream, dataset)
    return stream.getvalue()


@pytest.mark.parametrize("open_ended", [False, True])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_all_attributes_and_items_are_counted(encoding: str, open_ended: bool) -> None:
    implicit, little = ENCODINGS[encoding]
    body = encoded(nested(open_ended), implicit, little)
    pixels = encoded(_pixels(), implicit, little)
    assert check_header(body + pixels, 0, implicit=implicit, little=little) == 6 + 5 + 3
    assert check_header(b"before" + body, 6, implicit=implicit, little=little) == 6 + 5 + 3


def _pixels() -> Dataset:
    made = Dataset()
    made.add_new(0x7FE00010, "OW", b"\0\0" * 500)
    return made


def test_explicit_in_name_only() -> None:
    assert check_header(encoded(nested(True), True, True), 0, implicit=False, little=True) == 14


def test_too_much_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dicom_walk, "MOST_OUTSIDE", 5)
    with pytest.raises(TooLarge, match="more than 5 attributes outside of sequences"):
        check_header(encoded(nested(True), False, True), 0, implicit=False, little=True)
    monkeypatch.setattr(dicom_walk, "MOST_OUTSIDE", 6)
    assert check_header(encoded(nested(True), False, True), 0, implicit=False, little=True) == 14


@pytest.mark.parametrize("cap", ["MOST_ATTRIBUTES", "MOST_ITEMS"])
def test_too_much(cap: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dicom_walk, cap, 2)
    with pytest.raises(TooLarge, match="a DICOM header of more than .* attributes or .* items"):
        check_header(encoded(nested(False), False, True), 0, implicit=False, little=True)


def test_too_much_in_one_sequence() -> None:
    made: Any = Dataset()
    made.OtherPatientIDsSequence = [Dataset() for _ in range(dicom_walk.MOST_IN_ONE)]
    body = encoded(made, False, True)
    with pytest.raises(TooLarge, match="more than 2000 attributes and items in one sequence"):
        check_header(body, 0, implicit=False, little=True)
    made.ReferencedImageSequence = made.OtherPatientIDsSequence
    del made.OtherPatientIDsSequence
    assert check_header(encoded(made, False, True), 0, implicit=False, little=True) == dicom_walk.MOST_IN_ONE + 1


def test_too_much_in_a_series() -> None:
    check_series(1_000_000)
    with pytest.raises(TooLarge, match="DICOM headers of more than 1000000 attributes and items together"):
        check_series(1_000_001)


def test_any_end_is_the_end() -> None:
    body = encoded(nested(True), False, True)
    for length in range(len(body)):
        assert check_header(body[:length], 0, implicit=False, little=True) <= 14
    assert check_header(io.BytesIO().getvalue(), 0, implicit=True, little=True) == 0
