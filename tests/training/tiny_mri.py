"""Tiny exams on disk in their real formats: NIfTI in any orientation, DICOM series, DICOM-SEG, MATLAB 7.3."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import nibabel
import numpy as np
from nibabel import orientations
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

Array = NDArray[Any]
# Sides along Right, Anterior, Superior; the slices are the thick ones.
SHAPE, SPACING = (20, 24, 6), (1.0, 1.0, 2.5)
TUMOUR = (slice(12, 17), slice(4, 9), slice(2, 4))


def affine_of(spacing: Sequence[float] = SPACING, origin: Sequence[float] = (-10.0, 20.0, -30.0)) -> Array:
    """From index to RAS for an array whose axes run Right, Anterior, Superior."""
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = origin
    return affine


def oblique(degrees: float, spacing: Sequence[float] = SPACING) -> Array:
    """`affine_of`, turned about the patient's long axis and a little about another."""
    a, b = np.deg2rad(degrees), np.deg2rad(degrees / 2)
    about_z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    affine = affine_of(spacing)
    affine[:3, :3] = about_x @ about_z @ affine[:3, :3]
    return affine


def exam(shape: tuple[int, int, int] = SHAPE, seed: int = 0) -> tuple[Array, Array]:
    """(image int16, mask uint8), axes Right, Anterior, Superior; no two directions look alike."""
    rng = np.random.default_rng(seed)
    x, y, z = np.meshgrid(*(np.linspace(0, 1, side) for side in shape), indexing="ij")
    image = 100 + 300 * x + 150 * y**2 + 80 * z + rng.normal(0, 5, shape)
    mask = np.zeros(shape, np.uint8)
    mask[TUMOUR] = 1
    return (image + 400.0 * mask).astype(np.int16), mask


def write_nifti(path: Path, voxels: Array, affine: Array | None = None, axes: str = "RAS") -> Path:
    """Voxels with axes Right, Anterior, Superior as a file whose axes run along ``axes``."""
    affine = affine_of() if affine is None else affine
    start = orientations.io_orientation(affine)
    turn = orientations.ornt_transform(start, orientations.axcodes2ornt(tuple(axes)))
    stored = orientations.apply_orientation(voxels, turn)
    image = nibabel.Nifti1Image(stored, affine @ orientations.inv_ornt_aff(turn, voxels.shape))
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(image, path)
    return path


def write_mama_mia(root: Path, names: Sequence[str], shape: tuple[int, int, int] = SHAPE) -> Path:
    """The layout of the download, phases 0 and 1, without a split file."""
    for seed, name in enumerate(names):
        image, mask = exam(shape, seed)
        write_nifti(root / "images" / name / f"{name}_0000.nii.gz", image - 400 * mask.astype(np.int16))
        write_nifti(root / "images" / name / f"{name}_0001.nii.gz", image)
        write_nifti(root / "segmentations" / "expert" / f"{name}.nii.gz", mask)
    return root


def write_series(folder: Path, voxels: Array, affine: Array | None = None, **header: Any) -> list[Path]:
    """An axial series of int16 voxels (axes Right, Anterior, Superior), file names in no order of place."""
    affine = affine_of() if affine is None else affine
    series = header.setdefault("SeriesInstanceUID", generate_uid())
    header.setdefault("FrameOfReferenceUID", generate_uid(entropy_srcs=[header.get("StudyInstanceUID", "study")]))
    paths = []
    for z in range(voxels.shape[2]):
        # Rows run to posterior and columns to the left of the patient, as scanners store axial slices.
        pixels = voxels[::-1, ::-1, z].T
        corner = affine @ [voxels.shape[0] - 1, voxels.shape[1] - 1, z, 1]
        one = _slice(np.ascontiguousarray(pixels), affine, corner, header)
        one.SOPInstanceUID = generate_uid(entropy_srcs=[series, str(z)])
        one.file_meta.MediaStorageSOPInstanceUID = one.SOPInstanceUID
        one.InstanceNumber = voxels.shape[2] - z
        paths.append(folder / f"1-{(z * 5) % voxels.shape[2]:02d}{z}.dcm")
        folder.mkdir(parents=True, exist_ok=True)
        one.save_as(paths[-1], enforce_file_format=True)
    return paths


def _slice(pixels: Array, affine: Array, corner: Array, header: dict[str, Any]) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = MRImageStorage, ExplicitVRLittleEndian
    one = FileDataset("", Dataset(), file_meta=meta, preamble=b"\0" * 128)
    to_lps = np.array([-1.0, -1.0, 1.0])
    axes = [-affine[:3, axis] / np.linalg.norm(affine[:3, axis]) * to_lps for axis in (0, 1)]
    down, across, between = (float(np.linalg.norm(affine[:3, axis])) for axis in (1, 0, 2))
    values = {
        "SOPClassUID": MRImageStorage,
        "Modality": "MR",
        "PatientID": "P1",
        "PatientName": "",
        "PatientBirthDate": "",
        "PatientSex": "F",
        "StudyInstanceUID": "1.2.3",
        "StudyID": "",
        "StudyDate": "20200101",
        "StudyTime": "",
        "AccessionNumber": "",
        "ReferringPhysicianName": "",
        "SeriesNumber": 1,
        "Manufacturer": "",
        "ImagePositionPatient": [f"{value:.10g}" for value in corner[:3] * to_lps],
        "ImageOrientationPatient": [f"{value:.10g}" for value in np.concatenate(axes)],
        "PixelSpacing": [f"{down:.10g}", f"{across:.10g}"],
        "SliceThickness": f"{between:.10g}",
        "Rows": pixels.shape[0],
        "Columns": pixels.shape[1],
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": 1,
    }
    for name, value in (values | header).items():
        setattr(one, name, value)
    one.PixelData = pixels.astype("<i2").tobytes()
    return one


def write_seg(path: Path, sources: Sequence[Path], mask: Array, labels: Sequence[str] = ("Tumour",)) -> Path:
    """A DICOM segmentation of a mask (axes Right, Anterior, Superior); its frames refer to ``sources`` (by place)."""
    import highdicom as hd
    import pydicom
    from pydicom.sr.codedict import codes

    slices = [pydicom.dcmread(source) for source in sources]
    described = [
        hd.seg.SegmentDescription(
            segment_number=number,
            segment_label=label,
            segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
            segmented_property_type=codes.SCT.Neoplasm,
            algorithm_type=hd.seg.SegmentAlgorithmTypeValues.MANUAL,
        )
        for number, label in enumerate(labels, start=1)
    ]
    frames = np.ascontiguousarray(mask[::-1, ::-1].transpose(2, 1, 0)).astype(np.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        seg = hd.seg.Segmentation(
            source_images=slices,
            pixel_array=frames,
            segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
            segment_descriptions=described,
            series_instance_uid=generate_uid(),
            series_number=9,
            sop_instance_uid=generate_uid(),
            instance_number=1,
            manufacturer="none",
            manufacturer_model_name="none",
            software_versions="0",
            device_serial_number="0",
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    seg.save_as(path)
    return path


def write_mat(path: Path, arrays: dict[str, Array]) -> Path:
    """Arrays (rows, columns, slices) as MATLAB 7.3 stores them: HDF5 with the axes turned round."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, values in arrays.items():
            file[name] = values.transpose()
    return path


def as_rows(mask: Array) -> Array:
    """(rows, columns, slices) of an axial series, as MATLAB sees it, from axes Right, Anterior, Superior."""
    return mask[::-1, ::-1].transpose(1, 0, 2)
