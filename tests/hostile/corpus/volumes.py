"""NIfTI and NRRD: headers that lie about shape, place and kind, compressed bombs, values that are no numbers."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.hostile.corpus.common import CANARY, MEBIBYTE, Files, truncations, zeros

SHAPE = (32, 24, 3)
NAN, INFINITY = float("nan"), float("inf")
INT16, FLOAT32, COMPLEX64, RGBA32, BITS = 4, 16, 32, 2304, 1
WIDTHS = {INT16: 16, FLOAT32: 32, COMPLEX64: 64, RGBA32: 32, BITS: 1}


@dataclass(frozen=True)
class Nifti:
    """A NIfTI-1 file by what its header says, however wrong it is; ``scale`` is slope and intercept."""

    shape: tuple[int, ...] = SHAPE
    kind: int = INT16
    data: bytes = b"\1\0" * int(np.prod(SHAPE))
    scale: tuple[float, float] = (1, 0)
    offset: float = 352
    magic: bytes = b"n+1\0"
    axes: int | None = None
    corner: float = 1.0

    def file(self) -> bytes:
        """The file, header and voxels."""
        header = bytearray(352)
        struct.pack_into("<i", header, 0, 348)
        axes = len(self.shape) if self.axes is None else self.axes
        sizes = [axes, *self.shape, *[1] * (7 - len(self.shape))]
        struct.pack_into("<8h", header, 40, *(max(-32_768, min(32_767, size)) for size in sizes))
        struct.pack_into("<hh", header, 70, self.kind, WIDTHS.get(self.kind, 16))
        struct.pack_into("<8f", header, 76, 1, *[0.5] * 7)
        struct.pack_into("<fff", header, 108, self.offset, *self.scale)
        header[123] = 2
        header[148:228] = CANARY.encode().ljust(80, b"\0")
        header[228:252] = CANARY.encode().ljust(24, b"\0")
        struct.pack_into("<hh", header, 252, 0, 1)
        struct.pack_into("<12f", header, 280, self.corner, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0)
        header[328:344] = CANARY.encode().ljust(16, b"\0")
        header[344:348] = self.magic
        return bytes(header) + self.data


def _nifti_2(shape: tuple[int, ...]) -> bytes:
    header = bytearray(544)
    struct.pack_into("<i8s", header, 0, 540, b"n+2\0\r\n\x1a\n")
    struct.pack_into("<hh", header, 12, INT16, 16)
    struct.pack_into("<8q", header, 16, len(shape), *shape, *[1] * (7 - len(shape)))
    struct.pack_into("<q", header, 168, 544)
    return bytes(header) + b"\0" * 100


def _floats(value: float) -> bytes:
    data = np.ones(SHAPE, np.float32)
    data[3, 4, 1] = value
    return Nifti(kind=FLOAT32, data=data.tobytes(order="F")).file()


def _packed(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)


def _is(**changes: Any) -> Callable[[], bytes]:
    return Nifti(**changes).file


NIFTI: Files = {
    **truncations("nifti", Nifti().file),
    **truncations("nifti.gz", lambda: _packed(Nifti().file())),
    "nifti of 32000 x 32000 x 4": _is(shape=(32_000, 32_000, 4)),
    "nifti.gz of 32000 x 32000 x 4": lambda: _packed(Nifti((32_000, 32_000, 4), data=b"\0" * 4 * MEBIBYTE).file()),
    "nifti whose size overflows": _is(shape=(32_767,) * 7),
    "nifti of 7000 x 7000 x 4 without voxels": _is(shape=(7000, 7000, 4)),
    "nifti.gz that inflates to 256 MiB of nothing": lambda: (
        _packed(Nifti((16_000, 16_000, 1), data=b"").file()) + zeros(256 * MEBIBYTE, 31)
    ),
    "gzip that inflates to 256 MiB of nothing": lambda: zeros(256 * MEBIBYTE, 31),
    "nifti of 0 slices": _is(shape=(32, 24, 0)),
    "nifti of -5 slices": _is(shape=(32, 24, -5)),
    "nifti of 0 axes": _is(axes=0),
    "nifti of 8 axes": _is(axes=8),
    "nifti of -1 axes": _is(axes=-1),
    "nifti of 5 axes": _is(shape=(16, 12, 3, 2, 2)),
    "nifti of one voxel": _is(shape=(1, 1, 1)),
    "nifti of complex numbers": _is(kind=COMPLEX64),
    "nifti of bits": _is(kind=BITS),
    "nifti of a kind of number that is none": _is(kind=4711),
    "nifti whose voxels begin at NaN": _is(offset=NAN),
    "nifti whose voxels begin at infinity": _is(offset=INFINITY),
    "nifti whose voxels begin before the file": _is(offset=-1000),
    "nifti whose voxels begin within the header": _is(offset=10),
    "nifti whose voxels begin beyond the end": _is(offset=1e9),
    "nifti of infinite slope": _is(scale=(INFINITY, 0)),
    "nifti of an intercept that is no number": _is(scale=(1, NAN)),
    "nifti of a slope too steep": _is(scale=(3e38, 0), data=b"\xff\x7f" * 2304),
    "nifti with NaN": lambda: _floats(NAN),
    "nifti with infinity": lambda: _floats(INFINITY),
    "nifti in two files": _is(magic=b"ni1\0"),
    "nifti without magic": _is(magic=b"\0\0\0\0"),
    "nifti 2 of 2^62 slices": lambda: _nifti_2((64, 64, 1 << 62)),
    "nifti 2 of negative sides": lambda: _nifti_2((-64, -64, 1)),
    "nifti header alone": lambda: Nifti().file()[:352],
}
NIFTI_ODD: Files = {
    "nifti.gz with a second member": lambda: _packed(Nifti().file()) + _packed(b"\0" * MEBIBYTE),
    "nifti.gz with noise behind it": lambda: _packed(Nifti().file()) + CANARY.encode(),
    "nifti of an affine that is no number": _is(corner=NAN),
    "nifti of an affine without volume": _is(corner=0),
    "nifti of red, green, blue and alpha": _is(kind=RGBA32, data=b"\1" * 4 * 2304),
}

FIELDS = {
    "type": "short", "dimension": "3", "space": "left-posterior-superior", "sizes": "32 24 3",
    "space directions": "(0.5,0,0) (0,0.5,0) (0,0,0.5)", "kinds": "domain domain domain", "endian": "little",
    "encoding": "raw", "space origin": "(0,0,0)", "content": CANARY,
}  # fmt: skip


def nrrd(data: bytes | None = None, **fields: str | None) -> bytes:
    """A NRRD file; fields are named with _ for a blank, and left out where None."""
    texts = {**FIELDS, **{name.replace("_", " "): text for name, text in fields.items()}}
    header = "NRRD0004\n" + "".join(f"{name}: {text}\n" for name, text in texts.items() if text is not None)
    header += f"patient:={CANARY}\n\n"
    return header.encode() + (b"\1\0" * int(np.prod(SHAPE)) if data is None else data)


def _has(data: bytes | None = None, **fields: str | None) -> Callable[[], bytes]:
    return lambda: nrrd(data, **fields)


NRRD: Files = {
    **truncations("nrrd", nrrd),
    **{
        f"nrrd {name}": build
        for name, build in {
            "whose voxels are another file": _has(data_file="../../../etc/passwd"),
            "whose voxels are a list of files": _has(datafile="LIST"),
            "of 32000 x 32000 x 4": _has(sizes="32000 32000 4"),
            "whose size overflows": _has(sizes="4294967296 4294967296 4294967296"),
            "of a size of a million digits": _has(sizes="9" * 60_000 + " 24 3"),
            "of negative sides": _has(sizes="-32 -24 3"),
            "of 0 slices": _has(sizes="32 24 0"),
            "of sides in letters": _has(sizes="many 24 3"),
            "of two sides": _has(sizes="32 24"),
            "without sides": _has(sizes=None),
            "of 17 axes": _has(dimension="17", sizes=" ".join(["2"] * 17)),
            "of blocks": _has(type="block", block_size="100000"),
            "of a kind of number that is none": _has(type=CANARY),
            "without a kind of number": _has(type=None),
            "in bzip2": _has(encoding="bzip2"),
            "in text": _has(encoding="ascii"),
            "in an encoding that is none": _has(encoding=CANARY),
            "in gzip that is none": _has(encoding="gzip"),
            "in gzip that inflates to 256 MiB": lambda: nrrd(
                zeros(256 * MEBIBYTE, 31), encoding="gzip", sizes="16000 16000 4"
            ),
            "that skips lines": _has(line_skip="1000000000000"),
            "that skips bytes": _has(byte_skip="1000000000000"),
            "with NaN": lambda: nrrd(np.full(SHAPE, NAN, np.float32).tobytes(), type="float"),
            "with infinity": lambda: nrrd(np.full(SHAPE, INFINITY, np.float32).tobytes(), type="float"),
            "whose header never ends": lambda: b"NRRD0004\n" + b"# " + b"a" * 2 * MEBIBYTE,
            "of a million fields": lambda: b"NRRD0004\n" + b"a: b\n" * 300_000,
            "of version 9": lambda: b"NRRD0009\n" + nrrd()[9:],
        }.items()
    },
}
NRRD_ODD: Files = {
    "nrrd of directions that are no numbers": _has(space_directions="(nan,0,0) (0,nan,0) (0,0,nan)"),
    "nrrd of directions without volume": _has(space_directions="(1,0,0) (1,0,0) (1,0,0)"),
    "nrrd of half its directions": _has(space_directions="(1,0,0) none none"),
}

REFUSED: Files = {**NIFTI, **NRRD}
ODD: Files = {**NIFTI_ODD, **NRRD_ODD}
