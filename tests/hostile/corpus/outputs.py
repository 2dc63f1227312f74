"""Files whose pixels are good, and whose headers say what no output can repeat: lengths, names and places."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import numpy as np
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from tests.hostile.corpus import dicoms, volumes
from tests.hostile.corpus.common import CANARY, Files

# Beyond what is believed, and at its ends.
LENGTHS = ("1e-320", "1e-160", "1e-7", "1e-6", "1e4", "1e39", "1e200")
PLACED = {
    "FrameOfReferenceUID": "1.2.9",
    "ImagePositionPatient": [0, 0, 0],
    "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
    "PixelSpacing": [0.5, 0.5],
}
UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID", "FrameOfReferenceUID")
NO_UIDS = {"two": "1.2.3\\1.2.4", "none": CANARY, "way": "1.2/../3", "long": "1." * 40 + "1", "dot": ".1..2."}
NO_AXES = {
    "zero": [0, 0, 0, 0, 0, 0],
    "twice as long": [2, 0, 0, 0, 2, 0],
    "parallel": [1, 0, 0, 1, 0, 0],
    "slanted": [1, 0, 0, 0.7071067, 0.7071067, 0],
}
# Attributes that outputs copy, of a kind and length of value that they do not have.
COPIED = ("StudyInstanceUID", "StudyTime", "StudyDate", "PatientName", "PatientSex", "OtherPatientIDsSequence",
          "ContentDate", "ContentTime", "PatientOrientation", "LossyImageCompressionRatio", "InstanceNumber",
          "SliceThickness", "Laterality", "FrameOfReferenceUID", "PatientAge", "Modality",
          "DeidentificationMethodCodeSequence")  # fmt: skip
KINDS = {"US": b"\1\2", "FD": b"\1\2\3\4\5\6", "DS": b"1e999 ", "SQ": b"\1\2\3\4\5\6"}


def with_raw(made: Dataset, keyword: str, kind: str, value: bytes) -> bytes:
    """The file with an attribute as bytes of a kind, whether they fit it or not."""
    tag = Tag(keyword)
    made[tag] = DataElement(tag, "OB", value)
    place = struct.pack("<HH", tag.group, tag.element)
    plain = kind.encode() + struct.pack("<H" if kind not in ("SQ", "OB", "UN") else "<xxI", len(value))
    return dicoms.written(made).replace(place + b"OB\0\0" + struct.pack("<I", len(value)), place + plain, 1)


def _is(**changes: Any) -> Callable[[], bytes]:
    return lambda: dicoms.written(dicoms.dataset(**{**PLACED, **changes}))


def _raw(keyword: str, kind: str) -> Callable[[], bytes]:
    return lambda: with_raw(dicoms.dataset(**PLACED), keyword, kind, KINDS[kind])


def _region(delta: float) -> bytes:
    item = Dataset()
    item.RegionSpatialFormat = item.RegionDataType = 1
    item.RegionLocationMinX0 = item.RegionLocationMinY0 = 0
    item.RegionLocationMaxX1 = item.RegionLocationMaxY1 = dicoms.SIDE - 1
    item.PhysicalUnitsXDirection = item.PhysicalUnitsYDirection = 3
    item.PhysicalDeltaX = item.PhysicalDeltaY = delta
    return dicoms.written(dicoms.dataset(SequenceOfUltrasoundRegions=[item]))


def _nifti(x: float, y: float, z: float, place: float = 0.0, code: int = 1) -> bytes:
    """Voxels of that size, from the sform or, with code 0, from pixdim."""
    header = bytearray(volumes.Nifti().file())
    struct.pack_into("<4f", header, 76, 1, x, y, z)
    struct.pack_into("<hh", header, 252, 0, code)
    struct.pack_into("<12f", header, 280, x, 0, 0, place, 0, y, 0, 0, 0, 0, z, 0)
    return bytes(header)


def _nrrd(length: str) -> bytes:
    return volumes.nrrd(spacings=f"{length} {length} {length}", space=None, space_directions=None)


DICOM: Files = {
    **{f"dicom of a pixel spacing of {one}": _is(PixelSpacing=[one, one]) for one in LENGTHS},
    **{f"dicom of a column spacing of {one}": _is(PixelSpacing=["0.5", one]) for one in LENGTHS},
    **{f"dicom of a thickness of {one}": _is(SliceThickness=one) for one in (*LENGTHS, "-1", "0")},
    **{f"dicom that lies {one} mm away": _is(ImagePositionPatient=[one, "0", "0"]) for one in LENGTHS},
    **{f"dicom whose {name} is {kind}": _is(**{name: value}) for name in UIDS for kind, value in NO_UIDS.items()},
    **{f"dicom whose {name} is missing": _is(**{name: None}) for name in UIDS},
    **{f"dicom whose axes are {kind}": _is(ImageOrientationPatient=value) for kind, value in NO_AXES.items()},
    **{f"dicom whose {name} is {kind}": _raw(name, kind) for name in COPIED for kind in KINDS},
    **{f"dicom of a detector of {one}": _is(PixelSpacing=None, ImagerPixelSpacing=[one, one]) for one in LENGTHS},
}
REGIONS = (5e-324, 1e-200, 1e-30, 1e30, 1e308, float("inf"), float("-inf"), float("nan"))
VOLUMES: Files = {
    **{f"ultrasound region of {one} cm": lambda one=one: _region(one) for one in REGIONS},
    **{
        f"nifti of {one} mm": lambda one=one: _nifti(one, one, one) for one in (1e-44, 1e-30, 1e-10, 1.1e-6, 9999, 1e38)
    },
    **{f"nifti of slices of {one} mm": lambda one=one: _nifti(1, 1, one) for one in (1e-44, 1e-10, 1e6, 1e38)},
    **{f"nifti of {one} mm by pixdim": lambda one=one: _nifti(one, one, one, 0, 0) for one in (1e-44, 1e-30, 1e38)},
    "nifti that lies 1e38 mm away": lambda: _nifti(1, 1, 1, 1e38),
    "nifti that lies nowhere": lambda: _nifti(1, 1, 1, float(np.nan)),
    **{f"nrrd of {one} mm": lambda one=one: _nrrd(one) for one in LENGTHS},
}
ACCEPTED: Files = {**DICOM, **VOLUMES}
