"""What every DICOM object made here has in common: whose it is, where it belongs, its UIDs, its dates.

* Patient and study are those of the source. What the standard wants present (type 2) and the source lacks is written
  empty; the answer's flag ``source_incomplete`` names it.
* UIDs are made from digests (UUID-derived, root 2.25). That of the object comes from its own content, that of its
  series from source series, pipeline and weights: equal inputs give equal bytes, different ones never the same UID.
* Dates are those of the source, never today's; 1 January 1900 stands where the source has none.
* Texts are UTF-8, the preamble is zero.
"""

from __future__ import annotations

import hashlib
import io
import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydicom import Dataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import UID

from service import __version__
from service.engine import Answer
from service.errors import InputError
from service.formats.dicom_foreign import copy_to, nameless, series_of, uid_of, value_of
from service.image import Image
from service.source import DicomSource, Flag

SegType = Literal["binary", "labelmap"]
NAME, NOTICE = "Breast Cascade", "RESEARCH USE ONLY"
TYPE_2 = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex"),
    *("StudyDate", "StudyTime", "ReferringPhysicianName", "StudyID", "AccessionNumber"),
)
# Patient, General Study, Patient Study, Clinical Trial Subject and Study modules (PS3.3 C.7.1 and C.7.2).
CARRIED = (
    *TYPE_2,
    *("IssuerOfPatientID", "IssuerOfPatientIDQualifiersSequence", "OtherPatientIDsSequence", "PatientIdentityRemoved"),
    *("DeidentificationMethod", "DeidentificationMethodCodeSequence", "QualityControlSubject"),
    *("PatientSpeciesDescription", "PatientSpeciesCodeSequence", "ResponsiblePerson", "ResponsiblePersonRole"),
    *("StudyDescription", "IssuerOfAccessionNumberSequence", "PatientAge", "PatientSize", "PatientWeight"),
    *("ClinicalTrialSponsorName", "ClinicalTrialProtocolID", "ClinicalTrialProtocolName", "ClinicalTrialSiteID"),
    *("ClinicalTrialSiteName", "ClinicalTrialSubjectID", "ClinicalTrialSubjectReadingID", "ClinicalTrialTimePointID"),
)
DATES = ("ContentDate", "AcquisitionDate", "SeriesDate", "StudyDate")
# Where highdicom would write the time of day.
DAYS, TIMES = ("ContentDate", "DateOfSecondaryCapture"), ("ContentTime", "TimeOfSecondaryCapture")
NO_DATE, NO_TIME = "19000101", "000000"
# Stands for the object's own UID until its content is known.
UNNAMED = "2.25.0"
LONG_STRING = 64
# Of an Integer String (PS3.5 6.2).
HIGHEST_NUMBER = (1 << 31) - 1
INSTANCES, FRAME = (
    ("ReferencedInstanceSequence", "ReferencedSOPSequence", "SourceImageSequence"),
    "ReferencedFrameNumber",
)


@dataclass(frozen=True)
class Reference:
    """One frame of the source: SOP class and instance, and the frame's number where the instance counts frames."""

    sop_class: str
    instance: str
    frame: int | None


@dataclass(frozen=True)
class Kind:
    """One kind of object: what its series is called and numbered."""

    name: str
    series_number: int


def dicom_of(image: Image) -> DicomSource:
    """The image's DICOM. Raises InputError with code ``needs_dicom`` where it is not from DICOM."""
    source = image.source.dicom if image.source else None
    if source is None:
        raise InputError(
            "a DICOM output asked for of a picture that is not DICOM",
            "a DICOM source",
            "Send the DICOM file, or ask for mask, nifti, coco or json.",
            "needs_dicom",
        )
    return source


def incomplete(image: Image) -> Flag | None:
    """What outputs will have to leave empty since the source lacks it; None where nothing is missing."""
    source = image.source.dicom if image.source else None
    missing = [name for name in TYPE_2 if source and name not in source.instance(0)]
    if not missing:
        return None
    return Flag(
        "source_incomplete",
        f"The source lacks {', '.join(missing)}, which DICOM wants present: DICOM outputs have them empty.",
    )


def reference(source: DicomSource, z: int) -> Reference:
    """Where slice ``z`` comes from. Raises UnusableImage as `service.formats.dicom_foreign.series_of`."""
    header, number = source.instance(z), source.frames[z][1]
    meta = getattr(header, "file_meta", Dataset())
    sop_class = uid_of(header, "SOPClassUID") or uid_of(meta, "MediaStorageSOPClassUID")
    instance = uid_of(header, "SOPInstanceUID") or uid_of(meta, "MediaStorageSOPInstanceUID")
    series_of(header)
    if sop_class is None or instance is None:
        raise nameless()
    return Reference(sop_class, instance, number if "NumberOfFrames" in header else None)


def uid(*parts: object) -> UID:
    """A UID that equal parts give again (PS3.5 B.2)."""
    digest = hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()
    return UID(f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, digest).int}")


def weights_of(answer: Answer) -> dict[str, str]:
    """sha256 of every weight file by its name, in the stages' order."""
    stages = answer.manifest.stages
    return {weights.file: weights.sha256 for stage in stages for weights in stage.weights.values()}


def weights_digest(answer: Answer) -> str:
    """One digest for all weights together."""
    return hashlib.sha256("".join(sorted(weights_of(answer).values())).encode()).hexdigest()


def describe(answer: Answer, kind: Kind, *apart: str) -> dict[str, Any]:
    """Series, instance and equipment of a new object, as highdicom's constructors take them.

    ``apart``: what the objects of one series must have in common beside the source's series, pipeline and weights.
    """
    first, manifest = dicom_of(answer.image).instance(0), answer.manifest
    common = series_of(first).series, manifest.name, manifest.version, weights_digest(answer), *apart
    return {
        "series_instance_uid": uid(kind.name, *common),
        "series_number": kind.series_number,
        "sop_instance_uid": UNNAMED,
        "instance_number": _number(first),
        "manufacturer": NAME,
        "manufacturer_model_name": manifest.name,
        "software_versions": [__version__, f"{manifest.name} {manifest.version}"],
        "device_serial_number": weights_digest(answer)[:16],
        "series_description": f"{manifest.name} {manifest.version} {kind.name}, {NOTICE}"[-LONG_STRING:],
    }


def _number(header: Dataset) -> int:
    """That of the first instance looked at, so that objects made of several instances differ in it; else 1."""
    number = value_of(header, "InstanceNumber")
    return int(number) if isinstance(number, int) and 0 < number <= HIGHEST_NUMBER else 1


def finish(made: Dataset, source: DicomSource, stand_ins: Mapping[str, Reference]) -> bytes:
    """Complete an object in place and give its bytes.

    ``stand_ins`` are the instance UIDs under which highdicom was shown the source, and what they stand for.
    """
    for item in _items(made):
        _repair(item, stand_ins)
    for item in _items(made):
        _name_once(item)
    _name_organization(made)
    _carry(made, source.instance(0))
    _date(made, source.instance(0))
    made.SpecificCharacterSet = "ISO_IR 192"
    name(made, uid(hashlib.sha256(written(made)).hexdigest()))
    return written(made)


def name(made: Dataset, instance: UID) -> None:
    """Set the object's own UID, in the data set and before it."""
    made.SOPInstanceUID = instance
    made.file_meta.MediaStorageSOPInstanceUID = instance


def written(made: Dataset) -> bytes:
    """The file, its preamble zero."""
    made.preamble = bytes(128)
    stream = io.BytesIO()
    dcmwrite(stream, made, enforce_file_format=True)
    return stream.getvalue()


def _items(dataset: Dataset) -> Iterator[Dataset]:
    """The data set and all in its sequences."""
    yield dataset
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                yield from _items(item)


def _repair(item: Dataset, stand_ins: Mapping[str, Reference]) -> None:
    meant = stand_ins.get(str(item.get("ReferencedSOPInstanceUID", "")))
    if meant is not None:
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = meant.sop_class, meant.instance
        if meant.frame is not None and "SpatialLocationsPreserved" in item:
            item.ReferencedFrameNumber = meant.frame


def _name_once(item: Dataset) -> None:
    """Where several frames came from one instance, a list of instances names it once."""
    for keyword in INSTANCES:
        if keyword in item and len(item[keyword].value) > 1:
            named = {(one.ReferencedSOPInstanceUID, str(one.get(FRAME, ""))): one for one in item[keyword].value}
            setattr(item, keyword, list(named.values()))


def _name_organization(made: Dataset) -> None:
    """highdicom draws this UID by chance; within one object any that is its own will do."""
    for item in _items(made):
        if "DimensionOrganizationUID" in item:
            item.DimensionOrganizationUID = uid("dimensions", made.SeriesInstanceUID)


def _carry(made: Dataset, header: Dataset) -> None:
    for keyword in CARRIED:
        if keyword in made:
            del made[keyword]
        if not copy_to(made, header, keyword) and keyword in TYPE_2:
            setattr(made, keyword, "")
    made.StudyInstanceUID = series_of(header).study


def _date(made: Dataset, header: Dataset) -> None:
    date, time = _moment(header)
    said = {**dict.fromkeys(DAYS, date), **dict.fromkeys(TIMES, time), "ContributionDateTime": f"{date}{time}"}
    for item in _items(made):
        for keyword in ("InstanceCreationDate", "InstanceCreationTime"):
            item.pop(keyword, None)
        for keyword, value in said.items():
            if keyword in item:
                setattr(item, keyword, value)


def _moment(header: Dataset) -> tuple[str, str]:
    """Date and time of the source, the nearest to its pixels that is well-formed."""
    for keyword in DATES:
        date = str(value_of(header, keyword))
        if re.fullmatch(r"\d{8}", date):
            time = str(value_of(header, keyword.replace("Date", "Time")))
            return date, time if re.fullmatch(r"(\d\d){1,3}(\.\d{1,6})?", time) else NO_TIME
    return NO_DATE, NO_TIME
