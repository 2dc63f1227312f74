"""Pillow's modes as arrays: one way each, nothing clipped, every choice noted.

`pixels_of` gives (height, width, channels) as the file stores it; the notes are short, stable strings.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import TiffImagePlugin

from service.errors import UnusableImage
from service.formats.header import bare_png

Pixels = NDArray[Any]
Noted = tuple[Pixels, tuple[str, ...]]

BITS_PER_SAMPLE, PHOTOMETRIC, SAMPLE_FORMAT = 258, 262, 339
WHITE_IS_ZERO, UNSIGNED = 0, 1
# Pixels whose channels are compared at a time.
AT_ONCE = 1 << 16


# Bytes a pixel that a mode comes to, where it is not one for each of its bands.
BYTES = {"P": 3, "PA": 4, "I": 4, "F": 4, **dict.fromkeys(("I;16", "I;16B", "I;16L", "I;16N"), 2)}


def decoded_bytes(picture: Pillow.Image, content: bytes) -> int:
    """Bytes that the pixels of a ``picture`` will take, by its header."""
    each = BYTES.get(picture.mode, len(picture.getbands())) * (2 if _is_deep_colour(picture, content) else 1)
    return picture.width * picture.height * each


def pixels_of(picture: Pillow.Image, content: bytes) -> Noted:
    """Pixels of a loaded ``picture`` whose file is ``content``. Raises UnusableImage."""
    if _is_deep_colour(picture, content):
        return _deep_colour(picture, content)
    if picture.mode not in READERS:
        raise UnusableImage(
            f"pixels of the kind {picture.mode}",
            "grey, RGB or CMYK",
            "Convert the picture to grey or RGB.",
            "colour_space",
        )
    pixels, notes = READERS[picture.mode](picture)
    return (pixels if pixels.ndim == 3 else pixels[..., np.newaxis]), notes


def _is_deep_colour(picture: Pillow.Image, content: bytes) -> bool:
    """Whether the file holds 16-bit colour (or grey with alpha), which Pillow would cut to 8 bit."""
    return picture.mode in ("RGB", "RGBA") and _bits_per_sample(picture, content) == 16


def _bits_per_sample(picture: Pillow.Image, content: bytes) -> int:
    """Bits of one sample as the file declares them; 8 for formats that have no choice."""
    if isinstance(picture, TiffImagePlugin.TiffImageFile):
        return int(max(picture.tag_v2.get(BITS_PER_SAMPLE, (1,))))
    # IHDR is the first chunk of every PNG: byte 24 is the bit depth.
    return content[24] if picture.format == "PNG" else 8


def _deep_colour(picture: Pillow.Image, content: bytes) -> Noted:
    file = bare_png(content) if picture.format == "PNG" else content
    stored = cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_UNCHANGED)
    bands = len(picture.getbands())
    if stored is None or stored.dtype != np.uint16 or stored.ndim != 3 or stored.shape[2] < bands:
        raise UnusableImage(
            "16-bit colour in an unusual layout",
            "16-bit RGB or RGBA",
            "Save the picture as plain 16-bit PNG.",
            "malformed",
        )
    rows = max(1, AT_ONCE // stored.shape[1])
    for top in range(0, len(stored), rows):
        # OpenCV has blue first; all at once would take the picture's memory again.
        stored[top : top + rows, :, :3] = stored[top : top + rows, :, 2::-1].copy()
    pixels, notes = _without_alpha(np.ascontiguousarray(stored[..., :bands]))
    return pixels, ("16-bit kept", *notes, *_ignored_key(picture))


def _array(picture: Pillow.Image, mode: str | None = None) -> Pixels:
    """Pixels, in another mode where one is named, strip by strip: on their way Pillow holds them two times more."""
    rows = max(1, AT_ONCE // picture.width)
    pixels: Pixels | None = None
    for top in range(0, picture.height, rows):
        strip = picture.crop((0, top, picture.width, min(top + rows, picture.height)))
        part = np.asarray(strip.convert(mode) if mode else strip)
        if pixels is None:
            pixels = np.empty((picture.height, *part.shape[1:]), part.dtype)
        pixels[top : top + len(part)] = part
    return np.asarray(pixels)


def _plain(picture: Pillow.Image) -> Noted:
    if picture.has_transparency_data:
        return _transparent(picture)
    return _array(picture), ()


def _bilevel(picture: Pillow.Image) -> Noted:
    pixels, notes = _plain(picture if picture.has_transparency_data else picture.convert("L"))
    return pixels, ("1-bit scaled to 0 and 255", *notes)


def _palette(picture: Pillow.Image) -> Noted:
    pixels, notes = _plain(picture) if picture.has_transparency_data else (_array(picture, "RGB"), ())
    return pixels, ("palette expanded", *notes)


def _converted(picture: Pillow.Image) -> Noted:
    return _array(picture, "RGB"), (f"{picture.mode.lower()} converted to rgb",)


def _transparent(picture: Pillow.Image) -> Noted:
    grey = picture.mode in ("1", "L", "LA", "La")
    return _without_alpha(_array(picture, "LA" if grey else "RGBA"))


def _without_alpha(pixels: Pixels) -> Noted:
    """(height, width, 1 or 3) of (height, width, 2 or 4); 3 channels pass."""
    if pixels.shape[2] == 3:
        return pixels, ()
    alpha, top = np.ascontiguousarray(pixels[..., -1]), np.iinfo(pixels.dtype).max
    if int(alpha.min()) == top:
        return pixels[..., :-1], ("alpha opaque, dropped",)
    # One channel at a time: a wide product of the whole picture would need several times its memory.
    blended = np.empty((*pixels.shape[:2], pixels.shape[2] - 1), pixels.dtype)
    for c in range(blended.shape[2]):
        blended[..., c] = cv2.multiply(np.ascontiguousarray(pixels[..., c]), alpha, scale=1 / top)
    return blended, ("alpha composited on black",)


def _sixteen_bit(picture: Pillow.Image) -> Noted:
    pixels = _array(picture).astype(np.uint16, copy=False)
    notes = ["16-bit kept"]
    if _tag(picture, PHOTOMETRIC, None) == WHITE_IS_ZERO:
        # Pillow turns 8-bit files of this kind itself, 16-bit ones not.
        pixels = np.uint16(_declared_top(picture)) - pixels
        notes.append("white-is-zero inverted")
    return pixels, (*notes, *_ignored_key(picture))


def _ignored_key(picture: Pillow.Image) -> tuple[str, ...]:
    """PNG may name one colour as transparent; in 16 bit that is a pixel value like any other."""
    return ("transparent colour ignored",) if "transparency" in picture.info else ()


def _declared_top(picture: Pillow.Image) -> int:
    return (1 << int(max(_tag(picture, BITS_PER_SAMPLE, (16,))))) - 1


def _integers(picture: Pillow.Image) -> Noted:
    pixels = _array(picture)
    declared = (max(_tag(picture, BITS_PER_SAMPLE, (16,))), _tag(picture, SAMPLE_FORMAT, (UNSIGNED,))[0])
    # Pillow has no unsigned 32-bit mode; the bits are right, only their reading is not.
    unsigned = declared == (32, UNSIGNED)
    return (pixels.view(np.uint32) if unsigned else pixels), ("integers kept",)


def _floats(picture: Pillow.Image) -> Noted:
    pixels = _array(picture)
    if not np.isfinite(pixels).all():
        raise UnusableImage(
            "values that are not finite", "finite values", "Replace NaN and infinite values.", "not_finite"
        )
    return pixels, ("32-bit float kept",)


def _tag(picture: Pillow.Image, tag: int, default: Any) -> Any:
    """A TIFF tag, or ``default`` for other formats and files without it."""
    if isinstance(picture, TiffImagePlugin.TiffImageFile):
        return picture.tag_v2.get(tag, default)
    return default


READERS: dict[str, Callable[[Pillow.Image], Noted]] = {
    "1": _bilevel,
    **dict.fromkeys(("L", "LA", "La", "RGB", "RGBA", "RGBa"), _plain),
    **dict.fromkeys(("P", "PA"), _palette),
    **dict.fromkeys(("CMYK", "YCbCr", "RGBX"), _converted),
    **dict.fromkeys(("I;16", "I;16B", "I;16L", "I;16N"), _sixteen_bit),
    "I": _integers,
    "F": _floats,
}


def one_grey(pixels: Pixels) -> Noted:
    """Three equal channels as one; anything else unchanged."""
    if pixels.shape[2] != 3 or not _equal_channels(pixels):
        return pixels, ()
    return np.ascontiguousarray(pixels[..., :1]), ("equal channels kept as one",)


def _equal_channels(pixels: Pixels) -> bool:
    # By rows, as long as there is no colour: nearly every colour picture has some in its first ones.
    rows = max(1, AT_ONCE // pixels.shape[1])
    return all(_equal_in(pixels[at : at + rows]) for at in range(0, len(pixels), rows))


def _equal_in(rows: Pixels) -> bool:
    first = rows[..., 0]
    return bool(np.array_equal(first, rows[..., 1]) and np.array_equal(first, rows[..., 2]))


def upright(pixels: Pixels, orientation: int) -> Pixels:
    """Pixels turned as EXIF ``orientation`` (1 to 8) asks; other values leave them. EXIF 2.32, tag 0x0112."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)
