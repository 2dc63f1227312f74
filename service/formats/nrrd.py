"""NRRD in, in one file, raw or gzipped: a strict reader of the fields that place a volume.

https://teem.sourceforge.net/nrrd/format.html
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from service.errors import UnusableImage
from service.formats.dicom_geometry import check_phase
from service.formats.guard import decoding, malformed, truncated
from service.formats.inflate import inflated_range
from service.formats.options import Options
from service.formats.orientation import usable
from service.formats.volume_file import Block, image_of
from service.image import NO_SPACING, Image, Spacing
from service.source import Affine

MAGIC = re.compile(rb"NRRD000[1-5]\r?\n")
HEADER_LIMIT = 1 << 16
TYPES = {
    **dict.fromkeys(("signed char", "int8", "int8_t"), "i1"),
    **dict.fromkeys(("uchar", "unsigned char", "uint8", "uint8_t"), "u1"),
    **dict.fromkeys(("short", "short int", "signed short", "signed short int", "int16", "int16_t"), "i2"),
    **dict.fromkeys(("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"), "u2"),
    **dict.fromkeys(("int", "signed int", "int32", "int32_t"), "i4"),
    **dict.fromkeys(("uint", "unsigned int", "uint32", "uint32_t"), "u4"),
    **dict.fromkeys(("longlong", "long long", "int64", "int64_t"), "i8"),
    **dict.fromkeys(("ulonglong", "unsigned long long", "uint64", "uint64_t"), "u8"),
    "float": "f4",
    "double": "f8",
}
# Signs that turn a space's axes to Right, Anterior, Superior.
SPACES = {
    "right-anterior-superior": (1, 1, 1), "ras": (1, 1, 1),
    "left-anterior-superior": (-1, 1, 1), "las": (-1, 1, 1),
    "left-posterior-superior": (-1, -1, 1), "lps": (-1, -1, 1),
}  # fmt: skip
COLOURS = ("rgb-color", "3-color", "hsv-color", "xyz-color", "3-vector", "vector")
UNITS = {"mm": 1.0, "millimeter": 1.0, "millimeters": 1.0, "cm": 10.0, "m": 1000.0, "um": 0.001}
READ = ("raw", "gzip", "gz")


@dataclass(frozen=True)
class _Axes:
    """Sizes of the spatial axes and where they stand among all; channels before and phases after them."""

    shape: tuple[int, int, int]
    spatial: tuple[int, ...]
    channels: int
    phases: int


def is_nrrd(head: bytes) -> bool:
    """Whether a file begins like NRRD. Needs 10 bytes."""
    return MAGIC.match(head) is not None


def read_nrrd(content: bytes, options: Options) -> Image:
    """One volume of an NRRD file, turned to how it is looked at. Raises as `service.formats.nifti.read_nifti` does."""
    with decoding("NRRD"):
        fields, start = _fields(content)
        block = _block(fields, options)
        return image_of("nrrd", block, lambda: _bytes(content[start:], fields, block), options)


def _fields(content: bytes) -> tuple[dict[str, str], int]:
    """Fields by their name in lower case, and where the data begin."""
    end = re.compile(rb"\r?\n\r?\n").search(content, 0, HEADER_LIMIT)
    if end is None:
        raise malformed("NRRD", "without an end of its header")
    lines = content[: end.start()].decode("ascii", "replace").splitlines()[1:]
    fields: dict[str, str] = {}
    for line in lines:
        # A colon and an equals sign mark what somebody added for himself.
        name, colon, value = line.partition(": ")
        if not line.startswith("#") and colon and ":=" not in name:
            fields[name.strip().lower()] = value.strip()
    return fields, end.end()


def _block(fields: Mapping[str, str], options: Options) -> Block:
    _check_layout(fields)
    axes = _axes(fields)
    check_phase(options.phase, axes.phases)
    stored = _affine(fields, axes)
    unit = _unit(fields)
    affine = None if stored is None or unit is None else np.diag([unit, unit, unit, 1.0]) @ stored
    return Block(
        axes.shape,
        _dtype(fields),
        dict(fields),
        affine=affine,
        stored_affine=np.eye(4) if stored is None else stored,
        channels=axes.channels,
        spacing=_plain_spacing(fields, axes),
        phase=options.phase if axes.phases > 1 else None,
        phases=axes.phases,
    )


def _check_layout(fields: Mapping[str, str]) -> None:
    if "data file" in fields or "datafile" in fields:
        raise UnusableImage(
            "an NRRD header whose voxels are in another file", "one file", "Save it as .nrrd.", "detached"
        )
    if fields.get("encoding", "").lower() not in READ or any(_skip(fields, name) for name in ("line", "byte")):
        raise UnusableImage(
            "an NRRD file in an unusual encoding", "raw or gzip", "Save it anew as raw or gzip.", "encoding"
        )


def _skip(fields: Mapping[str, str], unit: str) -> bool:
    return fields.get(f"{unit} skip", fields.get(f"{unit}skip", "0")) != "0"


def _axes(fields: Mapping[str, str]) -> _Axes:
    sizes = [int(one) for one in fields.get("sizes", "").split()]
    if not 2 <= len(sizes) <= 4 or min(sizes) < 1 or fields.get("dimension") != str(len(sizes)):
        raise UnusableImage(
            f"{len(sizes)} axes", "two to four with a length", "Save one volume as a file of its own.", "dimensions"
        )
    first = _first_spatial(fields, sizes)
    channels = sizes[0] if first else 1
    phases = sizes[3] if len(sizes) == 4 and not first else 1
    if channels not in (1, 3):
        raise UnusableImage(f"{channels} channels", "1 or 3", "Save one channel as a file of its own.", "dimensions")
    spatial = tuple(range(first, min(first + 3, len(sizes))))
    shape = [*(sizes[axis] for axis in spatial), 1][:3]
    return _Axes((shape[0], shape[1], shape[2]), spatial, channels, phases)


def _first_spatial(fields: Mapping[str, str], sizes: Sequence[int]) -> int:
    """0, or 1 where the first axis holds channels."""
    kinds = fields.get("kinds", "").lower().split()
    directions = _vectors(fields.get("space directions", ""))
    if kinds and kinds[0] in COLOURS:
        return 1
    return 1 if len(sizes) == 4 and directions and directions[0] is None else 0


def _dtype(fields: Mapping[str, str]) -> np.dtype[Any]:
    code = TYPES.get(fields.get("type", "").lower())
    endian = {"little": "<", "big": ">"}.get(fields.get("endian", "").lower())
    if code is None or (code[1] != "1" and endian is None):
        raise UnusableImage(
            "voxels of an unusual kind", "whole or real numbers of up to 64 bits", "Convert it to float.", "data_type"
        )
    return np.dtype(f"{endian or '='}{code}")


def _vectors(text: str) -> list[tuple[float, ...] | None]:
    """``(1,0,0) none (0,1,0)`` as vectors and None. Raises ValueError."""
    found = re.findall(r"none|\([^()]*\)", text.lower())
    return [None if one == "none" else tuple(float(part) for part in one[1:-1].split(",")) for one in found]


def _affine(fields: Mapping[str, str], axes: _Axes) -> Affine | None:
    """The file's unit in RAS; None where the file does not name an anatomical space or gives no directions in it."""
    signs = SPACES.get(fields.get("space", "").lower())
    directions = _vectors(fields.get("space directions", ""))
    spatial = [directions[axis] for axis in axes.spatial if axis < len(directions)]
    if signs is None or len(spatial) != 3 or any(one is None or len(one) != 3 for one in spatial):
        return None
    (origin, *_) = _vectors(fields.get("space origin", "(0,0,0)")) or [None]
    affine = np.eye(4)
    affine[:3, :3] = np.array(spatial, np.float64).T
    affine[:3, 3] = origin if origin is not None and len(origin) == 3 else (0, 0, 0)
    affine = np.diag([*signs, 1.0]) @ affine
    return affine if usable(affine) else None


def _unit(fields: Mapping[str, str]) -> float | None:
    """mm of the unit that the file measures space in, millimetres where it does not say; None for one unknown here."""
    named = set(re.findall(r'"([^"]*)"', fields.get("space units", ""))) or {"mm"}
    return UNITS.get(named.pop().lower()) if len(named) == 1 else None


def _plain_spacing(fields: Mapping[str, str], axes: _Axes) -> Spacing:
    """mm as (k, j, i), where only spacings are given."""
    texts = fields.get("spacings", "").split()
    values = [float(texts[axis]) for axis in axes.spatial if axis < len(texts)]
    if len(values) != len(axes.spatial) or not all(math.isfinite(one) and one > 0 for one in values):
        return NO_SPACING
    x, y, z = [*values, None][:3]
    return z, y, x


def _bytes(data: bytes, fields: Mapping[str, str], block: Block) -> bytearray | memoryview:
    if fields["encoding"].lower() != "raw":
        return inflated_range(data, block.start, block.size, block.total, "NRRD")
    if len(data) < block.total:
        raise truncated("NRRD")
    return memoryview(data)[block.start : block.start + block.size]
