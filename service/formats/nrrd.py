"""NRRD in, in one file, raw or gzipped: a strict reader of the fields that place a volume.

https://teem.sourceforge.net/nrrd/format.html
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from service.errors import UnusableImage
from service.formats.dicom_geometry import check_phase
from service.formats.guard import decoding, malformed, truncated
from service.formats.inflate import inflated_range
from service.formats.limits import check_growth
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
# Kinds of axes: what is shown as RGB, what is chosen from, what lies in space, what says nothing.
COLOURS, CHANNELS = ("rgb-color", "3-color"), 3
IN_ORDER, IN_SPACE, UNSAID = ("list", "time"), ("domain", "space"), ("none", "???")
UNITS = {"mm": 1.0, "millimeter": 1.0, "millimeters": 1.0, "cm": 10.0, "m": 1000.0, "um": 0.001}
READ = ("raw", "gzip", "gz")


@dataclass(frozen=True)
class _Axes:
    """Sizes of the spatial axes and where they stand among all; channels before, phases before or after them."""

    shape: tuple[int, int, int]
    spatial: tuple[int, ...]
    channels: int
    phases: int
    interleaved: bool


def is_nrrd(head: bytes) -> bool:
    """Whether a file begins like NRRD. Needs 10 bytes."""
    return MAGIC.match(head) is not None


def read_nrrd(content: bytes, options: Options) -> Image:
    """One volume of an NRRD file, turned to how it is looked at. Raises as `service.formats.nifti.read_nifti` does."""
    with decoding("NRRD"):
        fields, start = _fields(content)
        _check_layout(fields)
        axes = _axes(fields)
        block = _block(fields, axes, options)
        read = _interleaved if axes.interleaved else _bytes
        return image_of("nrrd", block, lambda: read(memoryview(content)[start:], fields, block), options)


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


def _block(fields: Mapping[str, str], axes: _Axes, options: Options) -> Block:
    check_phase(options.phase, axes.phases)
    stored = _affine(fields, axes)
    unit = _unit(fields)
    affine = None if stored is None or unit is None else np.diag([unit, unit, unit, 1.0]) @ stored
    block = Block(
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
    if axes.interleaved:
        # Its numbers lie among those of the others, so all are held for a while.
        options.limits.check_volume(block.total)
    return block


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
    other = _other_axis(fields, len(sizes))
    channels, phases = _beside_space(fields, sizes, other)
    spatial = tuple(axis for axis in range(len(sizes)) if axis != other)
    shape = [*(sizes[axis] for axis in spatial), 1][:3]
    return _Axes((shape[0], shape[1], shape[2]), spatial, channels, phases, interleaved=phases > 1 and other == 0)


def _kinds(fields: Mapping[str, str], count: int) -> list[str]:
    """What each axis holds, empty where the file does not say. Raises UnusableImage."""
    kinds = fields.get("kinds", "").lower().split() or [""] * count
    if len(kinds) != count:
        raise malformed("NRRD", f"that names {len(kinds)} kinds for {count} axes")
    return ["" if kind in UNSAID else kind for kind in kinds]


def _other_axis(fields: Mapping[str, str], count: int) -> int | None:
    """The axis that is none of space, by its kind or for want of a direction; the last of four where nothing says so.

    Raises UnusableImage where there are several, or it stands between those of space.
    """
    kinds, directions = _kinds(fields, count), _vectors(fields.get("space directions", ""))
    turned = [*directions, *[()] * count]
    others = [axis for axis in range(count) if kinds[axis] not in ("", *IN_SPACE) or turned[axis] is None]
    if not others and count == 4:
        others = [3]
    if not others:
        return None
    if len(others) > 1 or others[0] not in (0, count - 1) or count < 3:
        raise _unknown_axis()
    return others[0]


def _beside_space(fields: Mapping[str, str], sizes: Sequence[int], axis: int | None) -> tuple[int, int]:
    """Channels and phases. Raises UnusableImage for an axis that holds neither, or does not say which."""
    if axis is None or sizes[axis] == 1:
        return 1, 1
    kind = _kinds(fields, len(sizes))[axis]
    if axis == 0 and kind in COLOURS and sizes[0] == CHANNELS:
        return CHANNELS, 1
    if kind in IN_ORDER or (axis > 0 and kind in ("", *IN_SPACE)):
        return 1, sizes[axis]
    raise _unknown_axis()


def _unknown_axis() -> UnusableImage:
    return UnusableImage(
        "an axis that is not in space and neither red, green and blue nor a list",
        "two or three axes in space, and before or behind them one of phases (list or time), or before them RGB-color",
        "Name what it holds in the field kinds, or save one volume as a file of its own.",
        "dimensions",
    )


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


def _bytes(data: memoryview, fields: Mapping[str, str], block: Block) -> bytearray | memoryview:
    if fields["encoding"].lower() != "raw":
        check_growth(block.total, len(data))
        return inflated_range(data, block.start, block.size, block.total, "NRRD")
    if len(data) < block.total:
        raise truncated("NRRD")
    return data[block.start : block.start + block.size]


def _interleaved(data: memoryview, fields: Mapping[str, str], block: Block) -> bytes:
    """The chosen phase, where the file has all phases of a voxel together."""
    every = _bytes(data, fields, replace(block, phase=None, phases=1, channels=block.channels * block.phases))
    return np.frombuffer(every, block.dtype)[block.phase or 0 :: block.phases].tobytes()
