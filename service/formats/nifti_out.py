"""Volumes out as NIfTI: on the source's own grid, in its own order of axes, placed by qform and sform.

From NIfTI the geometry of the file's header is kept to the bit, so that mask and source land on each other in every
reader, whichever of the two forms it trusts; text fields and extensions, which may name the patient, are left behind.
From DICOM the forms are those of the patient (code 1). A qform knows right angles alone: of axes a little off them it
holds the nearest, within half a voxel, and the sform what they are; of others there is none. A picture lies in no
patient: it gets the pixel grid itself as its space (code 2), x to the left and y to the back as other tools read a PNG,
with unit spacing where none is known.
"""

from __future__ import annotations

import gzip
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from service.formats.orientation import is_straight, usable
from service.image import Image
from service.source import LPS_TO_RAS, Affine, Source, Stored

NOTICE = "Breast Cascade, research use only"
UNIT_SPACING, UNIT_STEP = "unit spacing, size unknown", "unit step, slice distance unknown"
SCANNER, GRID = 1, 2
NIFTI1_LONGEST = 32767
GEOMETRY = (
    *("qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z"),
    *("srow_x", "srow_y", "srow_z", "xyzt_units"),
)


def encode_nifti(volume: NDArray[Any], image: Image, *, scale: float = 1.0) -> bytes:
    """``.nii.gz`` of (depth, height, width) on the image's grid; a stored value times ``scale`` is what is meant."""
    source = image.source or Source("raster")
    array, header = _as_stored(volume, image, source.stored) if source.stored else _as_shown(volume, image, source)
    header["descrip"] = f"{NOTICE}{_unknown(image)}"
    header.set_data_dtype(volume.dtype)
    header.set_slope_inter(scale, 0)
    return _compressed(header, array)


def _as_stored(volume: NDArray[Any], image: Image, stored: Stored) -> tuple[NDArray[Any], Any]:
    array = stored.turned_back(volume)
    header = _header(array.shape, double=isinstance(stored.header, nib.Nifti2Header))
    placed = image.source.affine if image.source else None
    if isinstance(stored.header, nib.Nifti1Header):
        header["pixdim"][:4] = stored.header["pixdim"][:4]
        for name in GEOMETRY:
            header[name] = stored.header[name]
        _complete(header)
    else:
        grid = _grid(image) if placed is None else placed
        _place(header, LPS_TO_RAS @ grid @ _to_image(stored), GRID if placed is None else SCANNER)
    return array, header


def _to_image(stored: Stored) -> Affine:
    """From the file's voxel index (i, j, k) to the image's (x, y, z)."""
    matrix = np.diag([0.0, 0.0, 0.0, 1.0])
    for row, (axis, flip) in enumerate(zip(stored.axes[::-1], stored.flips[::-1], strict=True)):
        matrix[row, axis] = -1 if flip else 1
        matrix[row, 3] = stored.shape[axis] - 1 if flip else 0
    return matrix


def _complete(header: Any) -> None:
    """Give both forms where the source has one that can be used, as far as both can say the same."""
    (q_code, qform), (s_code, sform) = _forms(header)
    if sform is None and qform is not None:
        header.set_sform(qform, q_code)
    if qform is None and sform is not None:
        header["qform_code"] = 0
        if is_straight(sform, header.get_data_shape()):
            header.set_qform(sform, s_code)


def _forms(header: Any) -> list[tuple[int, Affine | None]]:
    """Code and matrix of qform and sform; None for one that is not set or cannot be."""
    forms: list[tuple[int, Affine | None]] = []
    for name in ("qform", "sform"):
        code, form = int(header[f"{name}_code"]), None
        try:
            form = np.asarray(getattr(header, f"get_{name}")()) if code > 0 else None
        except Exception:  # nibabel raises its own kinds over an impossible quaternion
            code = 0
        forms.append((code, form if form is not None and usable(form) else None))
    return forms


def _as_shown(volume: NDArray[Any], image: Image, source: Source) -> tuple[NDArray[Any], Any]:
    """A volume over time has its slices along the fourth axis, which is NIfTI's for time."""
    array = volume.transpose(2, 1, 0)
    if image.depth_axis == "time":
        array = array[:, :, np.newaxis]
    header = _header(array.shape)
    affine = _grid(image) if source.affine is None else source.affine
    _place(header, LPS_TO_RAS @ affine, GRID if source.affine is None else SCANNER)
    if source.affine is None and None in image.spacing[1:]:
        header.set_xyzt_units("unknown", "unknown")
    return array, header


def _grid(image: Image) -> Affine:
    """Voxel index (x, y, z) to mm from the first voxel; 1 mm where the spacing is not known."""
    z, y, x = (part or 1.0 for part in image.spacing)
    return np.diag([x, y, z, 1.0])


def _unknown(image: Image) -> str:
    """What the header has to admit: spacing that is not known and stands as 1."""
    if image.source and image.source.affine is not None:
        return ""
    if None in image.spacing[1:]:
        return f"; {UNIT_SPACING}"
    return f"; {UNIT_STEP}" if image.depth_axis == "space" and image.spacing[0] is None else ""


def _place(header: Any, affine: Affine, code: int) -> None:
    header.set_xyzt_units("mm", "unknown")
    header.set_zooms((*np.linalg.norm(affine[:3, :3], axis=0), *header.get_zooms()[3:]))
    header.set_sform(affine, code)
    if is_straight(affine, header.get_data_shape()):
        header.set_qform(affine, code)


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
