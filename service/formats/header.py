"""What raster headers say that Pillow would tell too late or not at all."""

from __future__ import annotations

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"


def webp_canvas(content: bytes) -> tuple[int, int]:
    """(width, height) a WebP file declares, (0, 0) where it declares none.

    Pillow sets aside the whole canvas when it opens the file, so the size must be known before. The layout is that of
    RFC 9649, sections 2.5 to 2.7.
    """
    chunk = content[12:16]
    if chunk == b"VP8X":
        return _little(content[24:27]) + 1, _little(content[27:30]) + 1
    if chunk == b"VP8L":
        bits = _little(content[21:25])
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if chunk == b"VP8 ":
        return _little(content[26:28]) & 0x3FFF, _little(content[28:30]) & 0x3FFF
    return 0, 0


def png_chunks(content: bytes) -> list[bytes]:
    """Chunks of a PNG with length, name and checksum, up to IEND or to the first that is not whole."""
    chunks: list[bytes] = []
    at, name = len(PNG_MAGIC), b""
    while name != b"IEND" and at < len(content):
        end = at + 12 + int.from_bytes(content[at : at + 4], "big")
        if end > len(content):
            break
        name = content[at + 4 : at + 8]
        chunks.append(content[at:end])
        at = end
    return chunks


def bare_png(content: bytes) -> bytes:
    """The same PNG with nothing but its pixels.

    For decoders that trust what other chunks declare: OpenCV sets aside the length a chunk claims, up to 4 GiB.
    """
    kept = (chunk for chunk in png_chunks(content) if chunk[4:8] in (b"IHDR", b"IDAT", b"IEND"))
    return PNG_MAGIC + b"".join(kept)


def cut_short(content: bytes, kind: str) -> bool:
    """Whether the end of a file of that kind is missing, as far as its frame shows."""
    if kind == "png":
        return not any(chunk[4:8] == b"IEND" for chunk in png_chunks(content)[-1:])
    if kind == "jpeg":
        return content.rfind(b"\xff\xd9") < 0
    if kind == "webp":
        return _little(content[4:8]) + 8 > len(content)
    if kind == "bmp":
        return _little(content[2:6]) > len(content)
    order = "little" if content.startswith(b"II") else "big"
    return int.from_bytes(content[4:8], order) >= len(content)  # type: ignore[arg-type]


def _little(field: bytes) -> int:
    return int.from_bytes(field, "little")
