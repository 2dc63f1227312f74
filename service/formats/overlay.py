"""The picture with its labels drawn over it, for human eyes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from service.errors import BadParameter
from service.formats.palette import colour_table
from service.formats.plane import only_slice
from service.image import Image, Mask, Region
from service.manifest import Label, Window
from service.preprocess import limits, scaled, windowed

Picture = NDArray[np.uint8]

NOTICE = "RESEARCH USE ONLY"
FONT = cv2.FONT_HERSHEY_SIMPLEX
# From this longer side in pixels on, a line of one pixel is lost when the picture is shown on a screen.
FINE_LINE_UP_TO = 1024
# Pixels that are looked up at a time: an index costs eight bytes each while it is used.
PIECE = 1 << 20
# One filter for all rows: to choose one for each takes as long as to compress them, and saves a few per cent.
FAST = (cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_SUB)


@dataclass(frozen=True)
class Style:
    """How labels are drawn: ``opacity`` 0 to 1, with or without outlines, and a caption."""

    opacity: float = 0.35
    contour: bool = True
    caption: str = ""


PLAIN = Style()


def encode_overlay(
    image: Image, mask: Mask, labels: tuple[Label, ...], *, opacity: float = 0.35, contour: bool = True
) -> bytes:
    """RGB PNG of the image's own size: labels tinted by ``opacity`` (0 to 1), outlined, and the notice in a corner.

    Of a volume it is the one slice that was asked for. Raises BadParameter for another opacity, more than one slice, or
    a mask that is not on the image's grid.
    """
    only_slice(mask.labels[image.field.z0 : image.field.z1])
    return _png(overlay_picture(image, mask, labels, image.field.z0, Style(opacity, contour)))


def overlay_picture(image: Image, mask: Mask, labels: tuple[Label, ...], z: int = 0, style: Style = PLAIN) -> Picture:
    """Slice ``z`` as RGB (height, width, 3) with its labels, the notice, and a caption in the upper left corner.

    Raises BadParameter as `encode_overlay`.
    """
    if not 0 <= style.opacity <= 1:
        raise BadParameter(f"opacity {style.opacity}", "0 to 1", "Give the opacity as a fraction.")
    if mask.labels.shape != image.region.shape:
        raise BadParameter(
            f"a mask of shape {mask.labels.shape}", f"the image's {image.region.shape}", "Give the mask of this image."
        )
    plane, colours = mask.labels[z], colour_table(labels)
    picture = tinted(shown(image.slab(z, z + 1)[0]), plane, colours, style.opacity)
    if style.contour:
        _outline(picture, plane, colours)
    _write(picture[-max(1, picture.shape[0] // 7) :], NOTICE, picture.shape)
    if style.caption:
        _write(picture[: max(1, picture.shape[0] // 7)], style.caption, picture.shape)
    return picture


def shown(pixels: NDArray[Any]) -> Picture:
    """(height, width, 1 or 3) as 8-bit RGB of its own. 8-bit pixels stay, others are windowed by percentile."""
    if pixels.dtype != np.uint8:
        pixels = _looked_up(pixels) if pixels.dtype == np.uint16 else _eight_bit(windowed(pixels, Window()))
    return np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels.copy()


def _eight_bit(unit: NDArray[np.float32]) -> Picture:
    return np.asarray(np.rint(unit * 255).astype(np.uint8))


def _looked_up(pixels: NDArray[np.uint16]) -> Picture:
    """The same of 16 bits: each level is computed once, and looked up a piece at a time."""
    low, high = limits(pixels, Window())
    if high <= low:
        return np.zeros(pixels.shape, np.uint8)
    table = _eight_bit(scaled(np.arange(1 << 16, dtype=np.uint16), low, high))
    flat, seen = pixels.reshape(-1), np.empty(pixels.size, np.uint8)
    for start in range(0, flat.size, PIECE):
        np.take(table, flat[start : start + PIECE], out=seen[start : start + PIECE], mode="wrap")
    return seen.reshape(pixels.shape)


def tinted(picture: Picture, plane: Picture, colours: Picture, opacity: float) -> Picture:
    """The picture, changed in place: labels (height, width) mixed into it by ``opacity``.

    Each of the 256 levels is mixed with each colour once, and looked up where there are labels.
    """
    tight = Region.around(plane[np.newaxis])
    if tight is None:
        return picture
    _, *box = tight.slices
    here, labels, levels = picture[*box], plane[*box], np.arange(256)[:, None]
    before = here.copy()
    for label in np.flatnonzero(np.bincount(labels.ravel(), minlength=2)[1:]) + 1:
        mixed = np.rint(levels * (1 - opacity) + colours[label] * opacity).astype(np.uint8)
        np.copyto(here, cv2.LUT(before, mixed[np.newaxis]), where=(labels == label)[..., None])
    return picture


def _outline(picture: Picture, plane: Picture, colours: Picture) -> None:
    thickness = 1 if max(plane.shape) <= FINE_LINE_UP_TO else 2
    for label in np.unique(plane[plane > 0]):
        lines, _ = cv2.findContours((plane == label).astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
        cv2.drawContours(picture, lines, -1, colours[label].tolist(), thickness)


def _write(strip: Picture, text: str, size: tuple[int, ...]) -> None:
    """White on a black rim at the strip's lower left, about a third of the picture wide, at most a tenth of it high."""
    height, width = size[:2]
    (length, tall), _ = cv2.getTextSize(text, FONT, 1, 1)
    scale = min(width / 3 / length, height / 10 / tall)
    glyphs = np.zeros(strip.shape[:2], np.uint8)
    at = max(2, width // 100), strip.shape[0] - max(2, height // 100)
    cv2.putText(glyphs, text, at, FONT, scale, 255, max(1, round(scale)), cv2.LINE_AA)
    # The rim grows from the glyphs themselves: OpenCV 5 sets wider strokes further apart, so they would not lie behind.
    rim = cv2.dilate(glyphs, np.ones((3, 3), np.uint8))
    written = Region.around(rim[np.newaxis])
    if written is not None:
        _, *box = written.slices
        dark = strip[*box] * (1 - rim[*box][..., None] / 255)
        strip[*box] = np.maximum(dark, glyphs[*box][..., None]).astype(np.uint8)


def _png(picture: Picture) -> bytes:
    _, encoded = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), FAST)
    return encoded.tobytes()
