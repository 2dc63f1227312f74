"""Images as DICOM readers give them, with headers made by code: what outputs are written from."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    DigitalMammographyXRayImageStorageForPresentation,
    EnhancedMRImageStorage,
    ExplicitVRLittleEndian,
    MRImageStorage,
    UltrasoundImageStorage,
    UltrasoundMultiFrameImageStorage,
)
from pydicom.valuerep import DSfloat

from service.image import Image
from service.source import DicomSource, Source

PATIENT = "ZZPHI^CANARY"


def header(sop_class: str, number: int, rows: int, columns: int, **about: Any) -> Dataset:
    """A data set without pixels, complete in all that a study needs."""
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.SOPClassUID, made.SOPInstanceUID = sop_class, f"1.2.3.4.{number}"
    made.StudyInstanceUID, made.SeriesInstanceUID = "1.2.3", "1.2.3.4"
    made.PatientName, made.PatientID, made.PatientBirthDate, made.PatientSex = PATIENT, "ID-7", "19600102", "F"
    made.StudyDate, made.StudyTime, made.ContentDate, made.ContentTime = "20240102", "101112", "20240102", "101213.5"
    made.ReferringPhysicianName, made.StudyID, made.AccessionNumber = "Ref^Doc", "S1", "A1"
    made.Rows, made.Columns, made.Modality = rows, columns, "US"
    for name, value in about.items():
        setattr(made, name, value)
    return made


def decimal(values: Any) -> list[DSfloat]:
    """Numbers as DICOM's decimal strings hold them, at most 16 characters."""
    return [DSfloat(float(value), auto_format=True) for value in np.asarray(values).ravel()]


def geometry(rotation: NDArray[np.float64], spacing: Any, z: int) -> dict[str, Any]:
    """Plane of slice ``z``: the columns of ``rotation`` are the directions of x, y and z, spacing is (z, y, x)."""
    position = np.array([12.5, -40.25, 7.0]) + rotation[:, 2] * spacing[0] * z
    return {
        "ImagePositionPatient": decimal(position),
        "ImageOrientationPatient": decimal(rotation[:, :2].T),
        "PixelSpacing": decimal(spacing[1:]),
        "SliceThickness": decimal([spacing[0]])[0],
    }


def affine_of(first: Dataset, spacing: Any, rotation: NDArray[np.float64]) -> NDArray[np.float64]:
    """Voxel (x, y, z) to mm LPS, as the standard's formula has it (PS3.3 C.7.6.2.1.1)."""
    affine = np.eye(4)
    affine[:3, 0] = np.array(first.ImageOrientationPatient[:3], float) * float(first.PixelSpacing[1])
    affine[:3, 1] = np.array(first.ImageOrientationPatient[3:], float) * float(first.PixelSpacing[0])
    affine[:3, 2] = rotation[:, 2] * spacing[0]
    affine[:3, 3] = np.array(first.ImagePositionPatient, float)
    return affine


def mr_series(shape: tuple[int, int, int], spacing: Any = (2.0, 0.7, 0.5), rotation: Any = None, **about: Any) -> Image:
    """A classic MR series, one instance per slice, its files in an order of their own."""
    turn = np.eye(3) if rotation is None else rotation
    depth, rows, columns = shape
    common = {"FrameOfReferenceUID": "1.2.3.9", "Modality": "MR", **about}
    slices = [
        header(MRImageStorage, z + 1, rows, columns, **{**geometry(turn, spacing, z), **common}) for z in range(depth)
    ]
    order = np.random.default_rng(1).permutation(depth)
    headers = tuple(slices[z] for z in order)
    frames = tuple((int(np.flatnonzero(order == z)[0]), 1) for z in range(depth))
    source = Source("dicom", affine_of(slices[0], spacing, turn), DicomSource(headers, frames))
    return Image(np.zeros((*shape, 1), np.uint16), tuple(spacing), "pixel_spacing", "space", "MR", source=source)


def enhanced_mr(shape: tuple[int, int, int], spacing: Any = (2.0, 0.7, 0.5), rotation: Any = None) -> Image:
    """One enhanced MR instance whose frames run against the slices, with another phase before them."""
    turn = np.eye(3) if rotation is None else rotation
    depth, rows, columns = shape
    whole = header(EnhancedMRImageStorage, 1, rows, columns, Modality="MR", FrameOfReferenceUID="1.2.3.9")
    whole.NumberOfFrames = 2 * depth
    shared, planes = Dataset(), [geometry(turn, spacing, z) for z in range(depth)]
    whole.SharedFunctionalGroupsSequence = [shared]
    shared.PixelMeasuresSequence = [Dataset()]
    shared.PixelMeasuresSequence[0].PixelSpacing = planes[0]["PixelSpacing"]
    shared.PixelMeasuresSequence[0].SliceThickness = planes[0]["SliceThickness"]
    whole.PerFrameFunctionalGroupsSequence = [_groups(plane) for plane in [*planes[::-1], *planes[::-1]]]
    first = Dataset()
    for name, value in planes[0].items():
        setattr(first, name, value)
    frames = tuple((0, 2 * depth - z) for z in range(depth))
    source = Source("dicom", affine_of(first, spacing, turn), DicomSource((whole,), frames))
    return Image(np.zeros((*shape, 1), np.uint16), tuple(spacing), "pixel_spacing", "space", "MR", source=source)


def _groups(plane: dict[str, Any]) -> Dataset:
    groups, position, orientation = Dataset(), Dataset(), Dataset()
    position.ImagePositionPatient = plane["ImagePositionPatient"]
    orientation.ImageOrientationPatient = plane["ImageOrientationPatient"]
    groups.PlanePositionSequence, groups.PlaneOrientationSequence = [position], [orientation]
    return groups


def mammogram(height: int = 23, width: int = 18, **about: Any) -> Image:
    """A mammogram: pixel size at the detector, no frame of reference."""
    made = header(DigitalMammographyXRayImageStorageForPresentation, 1, height, width, Modality="MG", **about)
    made.ImagerPixelSpacing, made.ImageLaterality, made.ViewPosition = [0.07, 0.07], "L", "CC"
    source = Source("dicom", dicom=DicomSource((made,), ((0, 1),)))
    return Image(
        np.zeros((1, height, width, 1), np.uint16), (None, 0.07, 0.07), "imager", "none", "MG", "L", "CC", source=source
    )


def ultrasound(height: int = 21, width: int = 17, spacing: Any = (None, 0.12, 0.1), **about: Any) -> Image:
    """An ultrasound picture in colour."""
    made = header(about.pop("sop_class", UltrasoundImageStorage), 1, height, width, **about)
    source = Source("dicom", dicom=DicomSource((made,), ((0, 1),)))
    return Image(np.full((1, height, width, 3), 90, np.uint8), spacing, "us_region", "none", "US", source=source)


def cine(frames: int = 4, height: int = 21, width: int = 17) -> Image:
    """An ultrasound clip."""
    made = header(UltrasoundMultiFrameImageStorage, 1, height, width, NumberOfFrames=frames)
    source = Source("dicom", dicom=DicomSource((made,), tuple((0, number) for number in range(1, frames + 1))))
    voxels = np.full((frames, height, width, 1), 90, np.uint8)
    return Image(voxels, (None, 0.12, 0.1), "us_region", "time", "US", source=source)


def file_of(made: Dataset, pixels: NDArray[np.uint8]) -> bytes:
    """A header as a file, with grey pixels of 8 bits: (rows, columns) or (frames, rows, columns)."""
    made.SamplesPerPixel, made.PhotometricInterpretation, made.PixelRepresentation = 1, "MONOCHROME2", 0
    made.BitsAllocated = made.BitsStored = 8
    made.HighBit = 7
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    content = pixels.astype(np.uint8).tobytes()
    made.add_new("PixelData", "OB", content + bytes(len(content) % 2))
    stream = io.BytesIO()
    dcmwrite(stream, made, enforce_file_format=True)
    return stream.getvalue()


def ultrasound_file(pixels: NDArray[np.uint8], **about: Any) -> bytes:
    """An ultrasound picture of 0.2 x 0.1 mm."""
    return file_of(header(UltrasoundImageStorage, 1, *pixels.shape, PixelSpacing=[0.2, 0.1], **about), pixels)


def ultrasound_series(volume: NDArray[np.uint8], spacing: Any = (2.0, 0.7, 0.5), rotation: Any = None) -> list[bytes]:
    """A file per slice of an ultrasound volume, the last slice first."""
    turn = np.eye(3) if rotation is None else rotation
    files = []
    for z, plane in enumerate(volume):
        about = {**geometry(turn, spacing, z), "FrameOfReferenceUID": "1.2.3.9", "InstanceNumber": z + 1}
        files.append(file_of(header(UltrasoundImageStorage, z + 1, *plane.shape, **about), plane))
    return files[::-1]
