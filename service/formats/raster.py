"""Pictures in: PNG, JPEG, TIFF, BMP and WebP in 8 and 16 bit, from memory to memory.

The format is found by content. Bytes and declared pixels are checked before anything is decoded. Nothing is clipped,
guessed or dropped without a note in `Image.notes`, and no text of a decoder reaches an error: it may quote the file.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from PIL import (
    BmpImagePlugin,
    ExifTags,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from service.errors import InputError, UnknownFormat, UnusableImage
from service.formats.codestream import MAX_SCANS, jpeg_scans
from service.formats.header import cut_short, jpeg_too_small, png_rows_cut, webp_canvas
from service.formats.limits import DEFAULT_LIMITS, GROWTH, GROWTH_OF_COLOUR, Limits, check_growth
from service.formats.pixels import Pixels, decoded_bytes, one_grey, pixels_of, upright
from service.formats.sniff import known_but_not_read, sniff
from service.formats.tiff_header import most_scans, tile_area
from service.image import Image

__all__ = ["DEFAULT_LIMITS", "Limits", "read_raster"]

ACCEPTED = "PNG, JPEG, TIFF, BMP or WebP"
ORIENTATION = int(ExifTags.Base.Orientation)
BMP_RUN_LENGTHS = (1, 2)
COMPRESSION, JPEG_IN_TIFF = 259, (6, 7)
# A tile may reach beyond a small picture, to so many pixels or to so many times the picture.
TILE_OVER, TILE_UP_TO = 4, 1 << 22

# The plugins themselves and not Pillow's open(): that one warns about sizes by its own rule, and takes a telephone's
# JPEG with a depth map behind it for an animation.
PLUGINS: dict[str, type[ImageFile.ImageFile]] = {
    "png": PngImagePlugin.PngImageFile,
    "jpeg": JpegImagePlugin.JpegImageFile,
    "tiff": TiffImagePlugin.TiffImageFile,
    "bmp": BmpImagePlugin.BmpImageFile,
    "webp": WebPImagePlugin.WebPImageFile,
}


def read_raster(content: bytes, limits: Limits = DEFAULT_LIMITS) -> Image:
    """One picture, voxels (1, height, width, 1 or 3) in the depth the file has, upright.

    Raises TooLarge (before decoding), UnknownFormat, and UnusableImage with code ``empty_body``, ``truncated``,
    ``malformed``, ``animated``, ``too_small``, ``colour_space`` or ``not_finite``.
    """
    kind = _kind(content, limits)
    with _decoding(content, kind):
        pixels, notes = _decoded(content, kind, limits)
    pixels, merged = one_grey(pixels)
    return Image(pixels[None], notes=(*notes, *merged))


def _kind(content: bytes, limits: Limits) -> str:
    limits.check_bytes(len(content))
    if not content:
        raise UnusableImage("an empty body", f"a {ACCEPTED} file", "Send the file's content.", "empty_body")
    kind = sniff(content)
    if kind not in PLUGINS:
        known = known_but_not_read(content)
        found = (
            f"a {known} picture, a format known but not read here" if known else "content of no known picture format"
        )
        raise UnknownFormat(found, ACCEPTED, f"Save the picture as {ACCEPTED}.")
    return kind


@contextmanager
def _decoding(content: bytes, kind: str) -> Iterator[None]:
    """Whatever a decoder throws becomes UnusableImage.

    Decoders meet hostile bytes with more kinds of exception than they document (struct.error, OverflowError,
    zlib.error, SyntaxError, ...), so all are caught here and only here.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        raise _broken(kind, cut_short(content, kind) or _says_cut(error)) from None


def _says_cut(error: Exception) -> bool:
    return isinstance(error, EOFError) or "truncated" in str(error).lower()


def _broken(kind: str, truncated: bool) -> UnusableImage:
    if truncated:
        return UnusableImage(f"a {kind} file that ends early", "a whole file", "Send the file again.", "truncated")
    return UnusableImage(
        f"a {kind} file that cannot be decoded",
        "a well-formed file",
        "Open and save it anew, then send it.",
        "malformed",
    )


def _opened(content: bytes, kind: str, limits: Limits) -> ImageFile.ImageFile:
    """The picture with its header read and checked, nothing decoded."""
    if kind == "webp":
        width, height = webp_canvas(content)
        limits.check_pixels(width, height)
        # Opening it sets the whole canvas aside.
        check_growth(width * height * 3, len(content), GROWTH_OF_COLOUR)
    picture = PLUGINS[kind](io.BytesIO(content))
    _check_header(picture, limits)
    limits.check_picture(decoded_bytes(picture, content))
    if kind == "tiff":
        _check_tiff(picture, content)
    if _incomplete(picture, content, kind):
        raise _broken(kind, truncated=True)
    if kind == "jpeg":
        _check_scans(kind, jpeg_scans(content))
    colour = {"G", "P", "Cb"} & {*picture.getbands()}
    check_growth(decoded_bytes(picture, content), len(content), GROWTH_OF_COLOUR if colour else GROWTH)
    return picture


def _check_scans(kind: str, count: int) -> None:
    """Each scan goes over the whole picture, and may take no more than a few bytes."""
    if count > MAX_SCANS:
        raise UnusableImage(
            f"a {kind} file of {count} scans",
            f"at most {MAX_SCANS}",
            "Open and save it anew, then send it.",
            "malformed",
        )


def _check_tiff(picture: ImageFile.ImageFile, content: bytes) -> None:
    """A tile is set aside whole, however little of it the picture needs; and each may be a JPEG of its own."""
    tags = getattr(picture, "tag_v2", {})
    area = tile_area(tags)
    if area > max(TILE_OVER * picture.width * picture.height, TILE_UP_TO):
        raise UnusableImage(
            f"a tiff file of {picture.width} x {picture.height} pixels in tiles of {area}",
            "tiles no larger than the picture",
            "Open and save it anew, then send it.",
            "malformed",
        )
    if tags.get(COMPRESSION) in JPEG_IN_TIFF:
        _check_scans("tiff", most_scans(content, tags))


def _incomplete(picture: ImageFile.ImageFile, content: bytes, kind: str) -> bool:
    """Whether something is missing where Pillow would leave rows black, or not look once the last row is there."""
    if kind == "tiff":
        return _lacks_strips(picture)
    if kind == "jpeg":
        return jpeg_too_small(content, *picture.size)
    return (kind == "png" or picture.info.get("compression") in BMP_RUN_LENGTHS) and cut_short(content, kind)


def _ends_black(picture: ImageFile.ImageFile) -> bool:
    """Whether one of the last two rows, of which an interlaced picture's last pass has one, may not have come."""
    rows = np.asarray(picture.crop((0, max(0, picture.height - 2), *picture.size)))
    return not rows.reshape(len(rows), -1).any(axis=1).all()


def _lacks_strips(picture: ImageFile.ImageFile) -> bool:
    """Whether the strips or tiles of a TIFF cover less than it declares. Planes of one place count once."""
    places = {tile.extents for tile in picture.tile if tile.extents is not None}
    covered = sum((right - left) * (bottom - top) for left, top, right, bottom in places)
    return covered < picture.width * picture.height


def _decoded(content: bytes, kind: str, limits: Limits) -> tuple[Pixels, tuple[str, ...]]:
    picture = _opened(content, kind, limits)
    stored = _tiff_orientation(picture)
    picture.load()
    if kind == "png" and _ends_black(picture) and png_rows_cut(content):
        raise _broken(kind, truncated=True)
    pixels, notes = pixels_of(picture, content)
    if kind == "tiff":
        # Both decoders turn a TIFF while reading it; for the other formats neither does.
        return pixels, (*notes, *_turned(stored))
    orientation, read = _exif_orientation(picture)
    return upright(pixels, orientation), (*_aside(picture), *notes, *read)


def _check_header(picture: ImageFile.ImageFile, limits: Limits) -> None:
    limits.check_pixels(*picture.size)
    limits.check_sides(*picture.size)
    if getattr(picture, "is_animated", False):
        raise UnusableImage(
            "a file of several frames or pages", "one picture", "Send one frame as a file of its own.", "animated"
        )


def _tiff_orientation(picture: ImageFile.ImageFile) -> int:
    """Read before loading: Pillow turns the pixels and forgets the tag."""
    if not isinstance(picture, TiffImagePlugin.TiffImageFile):
        return 1
    return _valid(picture.tag_v2.get(ORIENTATION))


def _exif_orientation(picture: ImageFile.ImageFile) -> tuple[int, tuple[str, ...]]:
    try:
        orientation = _valid(picture.getexif().get(ORIENTATION))
    except Exception:  # broken metadata around whole pixels is no reason to refuse them
        return 1, ("exif unreadable, ignored",)
    return orientation, _turned(orientation)


def _valid(orientation: object) -> int:
    return orientation if isinstance(orientation, int) and 2 <= orientation <= 8 else 1


def _turned(orientation: int) -> tuple[str, ...]:
    return (f"exif_orientation={orientation} applied",) if orientation != 1 else ()


def _aside(picture: ImageFile.ImageFile) -> tuple[str, ...]:
    return ("first picture of a multi-picture jpeg",) if "mpoffset" in picture.info else ()
