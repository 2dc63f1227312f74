"""Bombs that are whole: nothing in them is missing or lies, they are only empty, and large once they are decoded."""

from __future__ import annotations

import functools
import struct
import zlib
from typing import Any
from zipfile import ZIP_STORED

import numpy as np
from PIL import Image as Pillow
from pydicom.uid import JPEG2000Lossless, JPEGBaseline8Bit, RLELossless

from tests.hostile.corpus import dicoms
from tests.hostile.corpus.common import MEBIBYTE, Files, changed, zeros
from tests.hostile.corpus.rasters import END_OF_JPEG
from tests.hostile.corpus.volumes import Nifti, nrrd
from tests.hostile.corpus.zips import zipped
from tests.service.formats.pictures import chunk, gradient, saved, tiff

# 59 million pixels: as many as a picture may have.
WIDTH, HEIGHT = 7600, 7800
BYTES, LONGS = 2, 4


def _png(depth: int, colour: int) -> bytes:
    samples = {0: 1, 2: 3, 6: 4}[colour]
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, depth, colour, 0, 0, 0)
    data = zeros((1 + WIDTH * samples * depth // 8) * HEIGHT)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def _webp() -> bytes:
    """One colour takes as many bytes in any size: 34."""
    small = saved(Pillow.new("RGB", (64, 64)), "WEBP", lossless=True)
    bits = int.from_bytes(small[21:25], "little") >> 28 << 28 | (HEIGHT - 1) << 14 | (WIDTH - 1)
    return changed(small, 21, bits.to_bytes(4, "little"))


def _jpeg(mode: str, side: int, **options: Any) -> bytes:
    return saved(Pillow.new(mode, (side, side)), "JPEG", quality=5, **options)


def _tiff(data: bytes, width: int, height: int, **tags: int) -> bytes:
    """A TIFF of one strip that is compressed."""
    plain = tiff(gradient()[..., :1], t256=width, t257=height, t278=height, t279=len(data), **tags)
    (start,) = struct.unpack_from("<I", plain, 4)
    return b"II*\0" + struct.pack("<I", 8 + len(data)) + data + plain[start:]


def tile(width: int, height: int) -> bytes:
    """64 x 64 pixels in one tile of that size."""
    data = zlib.compress(bytes(1000))
    fields = {256: 64, 257: 64, 258: 8, 259: 8, 262: 1, 277: 1, 322: width, 323: height, 324: 134, 325: len(data)}
    directory = b"".join(struct.pack("<HHII", number, LONGS, 1, value) for number, value in fields.items())
    return b"II*\0" + struct.pack("<IH", 8, len(fields)) + directory + b"\0\0\0\0" + data


def _scans(count: int, side: int) -> bytes:
    whole = saved(Pillow.new("L", (side, side)), "JPEG", progressive=True)
    last = whole.rfind(b"\xff\xda")
    return whole[:last] + whole[last:-2] * count + END_OF_JPEG


def flat_jpeg_2000(side: int, kind: str = "L") -> bytes:
    return saved(Pillow.new(kind, (side, side)), "JPEG2000", no_jp2=True)


def _tiles(side: int, tile: int) -> bytes:
    whole = flat_jpeg_2000(side)
    return changed(whole, whole.index(b"\xff\x51") + 22, struct.pack(">II", tile, tile))


def dicom(frame: bytes, syntax: str, side: int, count: int = 1, **about: Any) -> bytes:
    """Frames that are all the same."""
    frames = {} if count == 1 else {"NumberOfFrames": count}
    made = dicoms.dataset(PixelData=dicoms.items(*[frame] * count), Rows=side, Columns=side, **frames, **about)
    return dicoms.written(made, syntax)


def _runs(side: int) -> bytes:
    """A blank frame in run lengths of 128."""
    return struct.pack("<16I", 1, 64, *[0] * 14) + b"\x81\0" * (side * side // 128)


def _placed(number: int) -> dict[str, Any]:
    return {
        "SOPInstanceUID": f"1.2.3.4.{10_000 + number}", "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        "ImagePositionPatient": [0, 0, number], "PixelSpacing": [0.5, 0.5],
    }  # fmt: skip


def _blank_slices(count: int, side: int) -> bytes:
    frame = flat_jpeg_2000(side)
    files = {str(z): dicom(frame, JPEG2000Lossless, side, **_placed(z)) for z in range(count)}
    return zipped(files, ZIP_STORED)


@functools.cache
def small_slices(count: int) -> bytes:
    """Slices of 8 x 8 pixels that differ in number and place."""
    about = {**_placed(0), "ImagePositionPatient": ["0", "0", "00000.5"], "Rows": 8, "Columns": 8}
    one = dicoms.written(dicoms.dataset(**about, PixelData=bytes(64)))
    named = ((z, one.replace(b"1.2.3.4.10000", b"1.2.3.4.%05d" % (10_000 + z))) for z in range(count))
    return zipped({str(z): file.replace(b"00000.5", b"%05d.5" % z) for z, file in named}, ZIP_STORED)


def nifti(shape: tuple[int, ...]) -> bytes:
    """Compressed in two members: the header, and nothing but zeros."""
    stream = zlib.compressobj(9, zlib.DEFLATED, 31)
    header = stream.compress(Nifti(shape, data=b"").file()) + stream.flush()
    return header + zeros(BYTES * int(np.prod(shape)), 31)


def _far_away(before: int) -> bytes:
    header = zlib.compressobj(9, zlib.DEFLATED, 31)
    return header.compress(Nifti(data=b"", offset=before).file()) + header.flush() + zeros(64 * MEBIBYTE, 31) * 31


REFUSED: Files = {
    "whole png of 59 million deep pixels with alpha": lambda: _png(16, 6),
    "whole png of 59 million colours": lambda: _png(8, 2),
    "whole png of 59 million deep greys": lambda: _png(16, 0),
    "whole webp of 59 million colours in 34 bytes": _webp,
    "whole jpeg of 36 million pixels of ink": lambda: _jpeg("CMYK", 6000),
    "whole progressive jpeg of 36 million colours": lambda: _jpeg("RGB", 6000, progressive=True),
    "whole tiff of 59 million real numbers": lambda: _tiff(
        zeros(4 * WIDTH * HEIGHT), WIDTH, HEIGHT, t258=32, t259=8, t339=3
    ),
    "tiff in one tile of 65520 x 20000": lambda: tile(65_520, 20_000),
    "tiff of a jpeg of 2000 scans": lambda: _tiff(_scans(2000, 1000), 1000, 1000, t259=7),
    "dicom of a jpeg of 2000 scans": lambda: dicom(_scans(2000, 1000), JPEGBaseline8Bit, 1000),
    "dicom of jpeg 2000 in tiles of 1 x 1": lambda: dicom(_tiles(255, 1), JPEG2000Lossless, 255),
    "dicom of jpeg 2000 in tiles that are not there": lambda: dicom(_tiles(255, 64), JPEG2000Lossless, 255),
    "dicom of jpeg 2000 in tiles of nothing": lambda: dicom(_tiles(255, 0), JPEG2000Lossless, 255),
    "whole dicom of jpeg 2000 of 36 million pixels": lambda: dicom(flat_jpeg_2000(6000), JPEG2000Lossless, 6000),
    "whole dicom of 250 frames of jpeg 2000": lambda: dicom(flat_jpeg_2000(1024), JPEG2000Lossless, 1024, 250),
    "whole dicom of 256 frames of run lengths": lambda: dicom(_runs(1024), RLELossless, 1024, 256),
    "whole zip of 9 blank slices of jpeg 2000": lambda: _blank_slices(9, 2048),
    "whole zip of 9900 slices": lambda: small_slices(9900),
    "whole nifti.gz of 1024 x 1024 x 120": lambda: nifti((1024, 1024, 120)),
    "nifti.gz whose voxels begin at 2 GiB": lambda: _far_away((1 << 31) - (64 << 20)),
    "whole nrrd in gzip of 1024 x 1024 x 120": lambda: nrrd(
        zeros(2 * 1024 * 1024 * 120, 31), sizes="1024 1024 120", encoding="gzip"
    ),
}
# As empty as they may be: below the size from which that counts.
ODD: Files = {
    "blank png of 33 million pixels": lambda: saved(Pillow.new("L", (5700, 5800)), "PNG"),
    "blank jpeg of 11 million colours": lambda: _jpeg("RGB", 3300),
    "blank dicom of jpeg 2000": lambda: dicom(flat_jpeg_2000(4000), JPEG2000Lossless, 4000),
    "zip of 900 small slices": lambda: small_slices(900),
}
