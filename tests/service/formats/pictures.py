"""Small picture files made by code, for the tests of formats."""

import io
import struct
import zlib
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.image import Mask
from service.manifest import Label

LABELS = (Label(id=1, name="lesion", color=(230, 30, 40)), Label(id=3, name="pectoral", color=(0, 90, 200)))


def gradient(height: int = 24, width: int = 40) -> NDArray[np.uint8]:
    """RGB of (height, width, 3) without any symmetry, so that every turn of it shows."""
    y, x = np.mgrid[:height, :width]
    return np.stack((x * 5, y * 8, (x + 2 * y) * 2), axis=-1).astype(np.uint8)


def deep(height: int = 24, width: int = 40, channels: int = 3) -> NDArray[np.uint16]:
    """Random 16-bit pixels."""
    return np.random.default_rng(7).integers(0, 65536, (height, width, channels), np.uint16)


def saved(pixels: NDArray[Any] | Image.Image, kind: str, **options: Any) -> bytes:
    """File of ``pixels`` as Pillow writes it."""
    picture = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def saved_deep(pixels: NDArray[np.uint16], suffix: str) -> bytes:
    """File of 16-bit RGB or RGBA pixels, which Pillow cannot write."""
    order = cv2.COLOR_RGB2BGR if pixels.shape[2] == 3 else cv2.COLOR_RGBA2BGRA
    return bytes(cv2.imencode(suffix, cv2.cvtColor(pixels, order))[1].tobytes())


def png(header: tuple[int, int, int, int], rows: bytes = b"", extra: bytes = b"") -> bytes:
    """PNG by hand, whatever the rows hold; ``header`` is any width, height, depth and type of colour."""
    parts = (
        chunk(b"IHDR", struct.pack(">IIBBBBB", *header, 0, 0, 0)),
        extra,
        chunk(b"IDAT", zlib.compress(rows)),
        chunk(b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def chunk(name: bytes, payload: bytes) -> bytes:
    """One PNG chunk."""
    return struct.pack(">I", len(payload)) + name + payload + struct.pack(">I", zlib.crc32(name + payload))


def tiff(pixels: NDArray[Any], **tags: int) -> bytes:
    """Uncompressed little-endian TIFF of (height, width, channels), with more or other tags by number (``t274=6``)."""
    height, width, channels = pixels.shape
    body = pixels.tobytes()
    entries = {
        256: width, 257: height, 258: pixels.itemsize * 8, 259: 1, 262: 2 if channels >= 3 else 1,
        273: 8, 277: channels, 278: height, 279: len(body), 339: 1,
    }  # fmt: skip
    entries |= {int(name[1:]): value for name, value in tags.items()}
    start = 8 + len(body)
    after = start + 2 + 12 * len(entries) + 4
    directory, overflow = b"", b""
    for number, value in sorted(entries.items()):
        per_channel = number in (258, 339)
        if per_channel and channels > 2:
            directory += struct.pack("<HHII", number, 3, channels, after + len(overflow))
            overflow += struct.pack(f"<{channels}H", *[value] * channels)
        elif per_channel:
            directory += struct.pack("<HHI2H", number, 3, channels, value, value if channels == 2 else 0)
        else:
            directory += struct.pack("<HHII", number, 4, 1, value)
    head = b"II*\0" + struct.pack("<I", start)
    return head + body + struct.pack("<H", len(entries)) + directory + b"\0\0\0\0" + overflow


def mask_of(labels: NDArray[np.uint8]) -> Mask:
    """One-slice mask of (height, width) label ids."""
    return Mask(labels[None], {label.id: label.name for label in LABELS})


def opened(content: bytes) -> Image.Image:
    """An encoded picture read back by Pillow."""
    picture = Image.open(io.BytesIO(content))
    picture.load()
    return picture
