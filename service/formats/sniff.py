"""Which format a file has, by its first bytes and never by its name."""

from __future__ import annotations

from service.formats.header import PNG_MAGIC

# Sizes a BMP's second header may have; "BM" alone also starts many a text.
BMP_HEADERS = (12, 16, 40, 52, 56, 64, 108, 124)
GIF_MAGIC = (b"GIF87a", b"GIF89a")
TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def sniff(content: bytes) -> str | None:
    """``png jpeg tiff bmp webp`` or None. Needs the first 32 bytes only; says nothing about what follows them."""
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
