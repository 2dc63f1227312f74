"""NIfTI-1 and NIfTI-2 in, plain or gzipped, in one file: the header decides, and only the volume asked for is read.

https://nifti.nimh.nih.gov/pub/dist/src/niftilib/nifti1.h
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from nibabel.nifti1 import Nifti1Header
from nibabel.nifti2 import Nifti2Header

from service.errors import UnusableImage
from service.formats.dicom_geometry import check_phase
from service.formats.guard import decoding, malformed, truncated
from service.formats.inflate import GZIP_MAGIC, beginning, inflated_range
from service.formats.limits import check_growth
from service.formats.options import Options
from service.formats.orientation import usable
from service.formats.volume_file import Block, image_of
from service.image import NO_SPACING, Image, Spacing
from service.source import Affine, Flag

# Nibabel has no types of its own.
Header = Any
# Header size to (where its magic stands, what it is for one file, least offset of the voxels).
KINDS = {348: (344, b"n+1\0", 352), 540: (4, b"n+2\0\r\n\x1a\n", 544)}
HEADER_BYTES = 544
# mm of a unit, by its code; 0 says nothing, and everybody means millimetres then.
UNITS = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}
UNITS_ASSUMED = Flag("units_assumed", "The file does not say which unit its spacing has; millimetres were assumed.")
SPACING_DISAGREES = Flag(
    "spacing_disagrees", "The file gives two different spacings (affine and voxel sizes); the affine's was used."
)
RGB = 128
# Bytes of header and extensions before the voxels: what stands there is passed over, but read.
MOST_BEFORE = 8 << 20
WIDEST = 8


def is_nifti(head: bytes) -> bool:
    """Whether a file begins like NIfTI, plain or gzipped. Needs 544 bytes, of a gzipped file as many compressed."""
    return _kind(_start(head)) is not None


def read_nifti(content: bytes, options: Options) -> Image:
    """One volume of a NIfTI file, turned to how it is looked at.

    Raises BadParameter where a phase must be chosen; TooLarge; UnusableImage with code ``malformed``, ``truncated``,
    ``dimensions``, ``data_type``, ``too_small`` or ``not_finite``.
    """
    with decoding("NIfTI"):
        header, offset = _header(_start(content))
        block = _block(header, options)
        return image_of("nifti", block, lambda: _bytes(content, offset, block), options)


def _start(content: bytes) -> bytes:
    return beginning(content, HEADER_BYTES) if content.startswith(GZIP_MAGIC) else content[:HEADER_BYTES]


def _kind(start: bytes) -> tuple[int, str] | None:
    """(header size, byte order), None where it is no NIfTI."""
    for order, mark in (("little", "<"), ("big", ">")):
        size = int.from_bytes(start[:4], order)  # type: ignore[arg-type]
        if size in KINDS:
            at, magic, _ = KINDS[size]
            if start[at : at + len(magic)] == magic:
                return size, mark
    return None


def _header(start: bytes) -> tuple[Header, int]:
    """The header, and where the voxels begin."""
    kind = _kind(start)
    if kind is None or len(start) < kind[0]:
        raise truncated("NIfTI")
    size, order = kind
    kind_of: Any = Nifti1Header if size == 348 else Nifti2Header
    header = kind_of(start[:size], order, check=False)
    offset, least = float(header["vox_offset"]), KINDS[size][2]
    if not (math.isfinite(offset) and offset.is_integer() and least <= offset <= MOST_BEFORE):
        raise malformed("NIfTI", "whose voxels begin at an impossible place")
    return header, int(offset)


def _block(header: Header, options: Options) -> Block:
    shape, phases = _shape(header)
    check_phase(options.phase, phases)
    dtype, channels = _dtype(header)
    slope, intercept = _scaling(header)
    affine, stored, flags = _affine(header)
    return Block(
        shape,
        dtype,
        header,
        affine=affine,
        stored_affine=stored,
        channels=channels,
        slope=slope,
        intercept=intercept,
        spacing=_plain_spacing(header),
        phase=options.phase if phases > 1 else None,
        phases=phases,
        flags=flags,
    )


def _shape(header: Header) -> tuple[tuple[int, int, int], int]:
    """Spatial axes, and how many volumes there are."""
    count, *sizes = (int(one) for one in header["dim"])
    if not 1 <= count <= 7 or min(sizes[:count]) < 1:
        raise malformed("NIfTI", "with an axis that has no length")
    known = [*sizes[:count], 1, 1, 1, 1][: max(count, 4)]
    if any(size > 1 for size in known[4:]):
        raise UnusableImage(
            f"{count} axes", "three, and a fourth for phases", "Save one volume as a file of its own.", "dimensions"
        )
    return (known[0], known[1], known[2]), known[3]


def _dtype(header: Header) -> tuple[np.dtype[Any], int]:
    if int(header["datatype"]) == RGB:
        return np.dtype(np.uint8), 3
    try:
        dtype = header.get_data_dtype()
    except Exception:
        dtype = np.dtype(object)
    if dtype.kind not in "iuf" or dtype.itemsize > WIDEST:
        raise UnusableImage(
            "voxels of an unusual kind (complex, vector or packed)",
            "whole or real numbers of up to 64 bits, or RGB",
            "Convert the file to float32 or int16.",
            "data_type",
        )
    return dtype, 1


def _scaling(header: Header) -> tuple[float, float]:
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    if slope == 0 or math.isnan(slope):
        return 1.0, 0.0
    if not (math.isfinite(slope) and math.isfinite(intercept)):
        raise malformed("NIfTI", "whose scaling is not finite")
    return slope, intercept


def _affine(header: Header) -> tuple[Affine | None, Affine, tuple[Flag, ...]]:
    """mm in RAS by sform, else qform; in the file's unit; flags. None where neither says anything."""
    unit = UNITS.get(int(header["xyzt_units"]) & 7)
    found = next((one for one in _forms(header) if usable(one)), None)
    if found is None or unit is None:
        return None, np.eye(4), ()
    flags = (UNITS_ASSUMED,) if int(header["xyzt_units"]) & 7 == 0 else ()
    if _disagrees(header, found):
        flags = (*flags, SPACING_DISAGREES)
    return np.diag([unit, unit, unit, 1.0]) @ found, found, flags


def _forms(header: Header) -> list[Affine]:
    """The affines whose code is set, the preferred one first."""
    forms = []
    if int(header["sform_code"]) > 0:
        forms.append(np.asarray(header.get_sform(), np.float64))
    if int(header["qform_code"]) > 0:
        forms.append(_qform(header))
    return forms


def _qform(header: Header) -> Affine:
    try:
        return np.asarray(header.get_qform(), np.float64)
    except Exception:  # an impossible quaternion says as much as none
        return np.zeros((4, 4))


def _disagrees(header: Header, affine: Affine) -> bool:
    sides = np.linalg.norm(affine[:3, :3], axis=0)
    said = np.abs(np.asarray(header["pixdim"][1:4], np.float64))
    return bool(np.isfinite(said).all() and said.min() > 0 and not np.allclose(said, sides, rtol=0.01))


def _plain_spacing(header: Header) -> Spacing:
    """mm as (k, j, i), where only voxel sizes are given."""
    unit = UNITS.get(int(header["xyzt_units"]) & 7, math.nan)
    x, y, z = (float(one) * unit for one in header["pixdim"][1:4])
    known = [math.isfinite(one) and one > 0 for one in (x, y, z)]
    if known == [True, True, False] and _shape(header)[0][2] == 1:
        # A picture needs no distance to the next one.
        return None, y, x
    return (z, y, x) if all(known) else NO_SPACING


def _bytes(content: bytes, offset: int, block: Block) -> bytearray | memoryview:
    start = offset + block.start
    if content.startswith(GZIP_MAGIC):
        check_growth(block.total, len(content))
        return inflated_range(content, start, block.size, offset + block.total, "NIfTI")
    if len(content) < offset + block.total:
        raise truncated("NIfTI")
    return memoryview(content)[start : start + block.size]
