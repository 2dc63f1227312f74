"""Volumes out as NIfTI: on the source's own grid, in its own order of axes, placed by qform and sform.

From NIfTI the geometry of the file's header is kept to the bit, so that mask and source land on each other in every
reader, whichever of the two forms it trusts; text fields and extensions, which may name the patient, are left behind.
From DICOM the forms are those of the patient (code 1). A picture lies in no patient: it gets the pixel grid itself as
its space (code 2), x to the left and y to the back as other tools read a PNG, with unit spacing where none is known.
"""

from __future__ import annotations

import gzip
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from service.image import Image
from service.source import LPS_TO_RAS, Affine, Stored

NOTICE = "Breast Cascade, research use only"
UNIT_SPACING = "unit spacing, size unknown"
SCANNER, GRID = 1, 2
NIFTI1_LONGEST = 32767
GEOMETRY = (
    *("qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z"),
    *("srow_x", "srow_y", "srow_z", "xyzt_units"),
)
# Rounded direction cosines bend a volume by less than this (mm at its far corner); only then a qform is as good as it.
BEND = 1e-2


def encode_nifti(volume: NDArray[Any], image: Image, *, scale: float = 1.0) -> bytes:
    """``.nii.gz`` of (depth, height, width) on the image's grid; a stored value times ``scale`` is what is meant."""
    stored = image.source.stored if image.source else None
    array, header = _as_stored(volume, stored) if stored else _placed(volume, image)
    header.set_data_dtype(volume.dtype)
    header.set_slope_inter(scale, 0)
    return _compressed(header, array)


def _as_stored(volume: NDArray[Any], stored: Stored) -> tuple[NDArray[Any], Any]:
    array = stored.turned_back(volume)
    header = _header(array.shape, double=isinstance(stored.header, nib.Nifti2Header))
    if isinstance(stored.header, nib.Nifti1Header):
        header["pixdim"][:4] = stored.header["pixdim"][:4]
        for name in GEOMETRY:
            header[name] = stored.header[name]
        _complete(header, stored.affine)
    else:
        _place(header, stored.affine, SCANNER)
    header["descrip"] = NOTICE
    return array, header


def _complete(header: Any, affine: Affine) -> None:
    """Add the form that the source does not have, where the other one says something and both can say the same."""
    qform, sform = int(header["qform_code"]), int(header["sform_code"])
    if qform and not sform:
        header.set_sform(affine, qform)
    elif sform and not qform and _rigid(affine, header.get_data_shape()):
        header.set_qform(affine, sform)


def _placed(volume: NDArray[Any], image: Image) -> tuple[NDArray[Any], Any]:
    """A volume over time has its slices along the fourth axis, which is NIfTI's for time."""
    array = volume.transpose(2, 1, 0)
    if image.depth_axis == "time":
        array = array[:, :, np.newaxis]
    affine = image.source.affine if image.source else None
    header = _header(array.shape)
    z, y, x = (part or 1.0 for part in image.spacing)
    grid = np.diag([x, y, z, 1.0])
    _place(header, LPS_TO_RAS @ (grid if affine is None else affine), GRID if affine is None else SCANNER)
    known = affine is not None or None not in image.spacing[1:]
    header["descrip"] = NOTICE if known else f"{NOTICE}; {UNIT_SPACING}"
    if not known:
        header.set_xyzt_units("unknown", "unknown")
    return array, header


def _place(header: Any, affine: Affine, code: int) -> None:
    header.set_xyzt_units("mm", "unknown")
    header.set_zooms((*np.linalg.norm(affine[:3, :3], axis=0), *header.get_zooms()[3:]))
    header.set_sform(affine, code)
    if _rigid(affine, header.get_data_shape()):
        header.set_qform(affine, code)


def _rigid(affine: Affine, shape: tuple[int, ...]) -> bool:
    """Whether a qform, which knows no shear, puts the far corner of the volume where ``affine`` does."""
    trial = _header(shape[:3])
    trial.set_qform(affine)
    corner = np.array([*shape[:3], 1.0])
    return bool(np.abs((trial.get_qform() - affine) @ corner).max() < BEND)


def _header(shape: tuple[int, ...], *, double: bool = False) -> Any:
    kind: Any = nib.Nifti2Header if double or max(shape) > NIFTI1_LONGEST else nib.Nifti1Header
    header = kind()
    header.set_data_shape(shape)
    return header


def _compressed(header: Any, array: NDArray[Any]) -> bytes:
    """Header, no extension, voxels; compressed without a time, so that equal masks are equal bytes."""
    header["vox_offset"] = header.sizeof_hdr + 4
    little = array.astype(array.dtype.newbyteorder("<"), copy=False)
    plain = header.as_byteswapped("<").binaryblock + bytes(4) + little.tobytes(order="F")
    return gzip.compress(plain, compresslevel=1, mtime=0)
