"""Which format a file has, by its first bytes and never by its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from service.formats.archive import HEAD, is_zip
from service.formats.dicom_parse import is_dicom
from service.formats.header import PNG_MAGIC
from service.formats.nifti import is_nifti
from service.formats.nrrd import is_nrrd

# Sizes a BMP's second header may have; "BM" alone also starts many a text.
BMP_HEADERS = (12, 16, 40, 52, 56, 64, 108, 124)
GIF_MAGIC = (b"GIF87a", b"GIF89a")
# Enough for every format, a NIfTI header included that is gzipped under a file name as long as a path may be.
HEAD_BYTES = HEAD
# DICOM first: its preamble is free, and some writers put the start of another format there.
VOLUMES: Mapping[str, Callable[[bytes], bool]] = {
    "dicom": is_dicom,
    "nifti": is_nifti,
    "nrrd": is_nrrd,
    "zip": is_zip,
}
TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def sniff(content: bytes) -> str | None:
    """``dicom nifti nrrd zip png jpeg tiff bmp webp`` or None.

    Needs the first `HEAD_BYTES` only; says nothing about what follows them.
    """
    for kind, begins in VOLUMES.items():
        if begins(content[:HEAD_BYTES]):
            return kind
    return _raster(content)


def _raster(content: bytes) -> str | None:
    if content.startswith(PNG_MAGIC):
        return "png"
    if content.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if content.startswith(TIFF_MAGIC):
        return "tiff"
    if content.startswith(b"RIFF") and content[8:12] == b"WEBP":
        return "webp"
    return "bmp" if _is_bmp(content) else None


def known_but_not_read(content: bytes) -> str | None:
    """The name of a picture format that is told by its start and yet not read here, or None."""
    return "GIF" if content.startswith(GIF_MAGIC) else None


def _is_bmp(content: bytes) -> bool:
    return content.startswith(b"BM") and int.from_bytes(content[14:18], "little") in BMP_HEADERS
