"""The overlay as a DICOM secondary capture (PS3.3 A.8.1), which every viewer shows.

RGB, not compressed, marked RESEARCH USE ONLY in its pixels. Of a volume it is the slice in which the largest finding is
largest, or the middle one, and the picture says which.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from highdicom.sc import SCImage
from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from service.engine import Answer
from service.formats.dicom_foreign import copy_to, series_of
from service.formats.dicom_object import Kind, Reference, describe, dicom_of, finish, reference
from service.formats.dicom_stand_ins import LOSSY
from service.formats.overlay import Style, overlay_picture
from service.measure import found_components

KIND = Kind("SC", 9003)
# What is carried over from the source afterwards, by highdicom's names.
BLANK: dict[str, Any] = dict.fromkeys(
    ("patient_id", "patient_name", "patient_sex", "accession_number", "study_id", "referring_physician_name"), ""
)


def encode_sc(answer: Answer) -> bytes:
    """The file. Raises InputError with code ``needs_dicom`` and UnusableImage with code ``source_incomplete``."""
    source, z = dicom_of(answer.image), key_slice(answer)
    shown, header = reference(source, z), source.instance(z)
    picture = overlay_picture(
        answer.image, answer.result.mask, answer.manifest.labels, z, Style(caption=_caption(answer, z))
    )
    made = SCImage(
        pixel_array=picture,
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        study_instance_uid=series_of(header).study,
        # Replaced below by what the source says, which need not be an orientation that highdicom knows.
        patient_orientation=("L", "P"),
        transfer_syntax_uid=ExplicitVRLittleEndian,
        **BLANK,
        # Laterality is one of the series (PS3.3 C.7.3.1): the other breast has a series of its own.
        **describe(answer, KIND, answer.image.laterality or ""),
    )
    _complete(made, answer, header, shown)
    return finish(made, source, {})


def key_slice(answer: Answer) -> int:
    """The slice in which the largest finding has most pixels; where there is none, the middle one looked at."""
    if not answer.findings:
        return (answer.image.field.z0 + answer.image.field.z1) // 2
    _, largest = found_components(answer.result.mask, answer.image)[0]
    return largest.region.z0 + int(np.argmax(largest.areas))


def _caption(answer: Answer, z: int) -> str:
    status = answer.result.status.replace("_", " ")
    said = "" if answer.result.status == "found" else status
    place = f"slice {z + 1} of {answer.image.depth}" if answer.image.depth > 1 else ""
    return ", ".join(part for part in (said, place) if part)


def _complete(made: Dataset, answer: Answer, header: Dataset, shown: Reference) -> None:
    if not copy_to(made, header, "PatientOrientation"):
        made.PatientOrientation = ""
    made.BurnedInAnnotation = "YES"
    for keyword in LOSSY:
        copy_to(made, header, keyword)
    made.DerivationDescription = "Labels of a segmentation drawn over the image; research use only"
    if answer.image.laterality in ("L", "R"):
        made.Laterality = answer.image.laterality
    _, y, x = answer.image.spacing
    if y is not None and x is not None:
        made.PixelSpacing = [f"{np.float32(part):g}" for part in (y, x)]
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = shown.sop_class, shown.instance
    if shown.frame is not None:
        item.ReferencedFrameNumber = shown.frame
    made.SourceImageSequence = [item]
