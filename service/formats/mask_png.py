"""The mask as an indexed PNG: pixel value = label id, palette = the manifest's colours."""

from __future__ import annotations

import io

from PIL import Image as Pillow

from service.formats.palette import colour_table
from service.formats.plane import only_slice
from service.image import Mask
from service.manifest import Label


def encode_mask(mask: Mask, labels: tuple[Label, ...]) -> bytes:
    """PNG of 8 bit per pixel on the source grid. Raises BadParameter for more than one slice."""
    picture = Pillow.fromarray(only_slice(mask.labels))
    # All 256 entries: with fewer Pillow would pack pixels into 1, 2 or 4 bit, which some readers cannot index.
    picture.putpalette(colour_table(labels).tobytes())
    stream = io.BytesIO()
    picture.save(stream, "PNG", compress_level=1)
    return stream.getvalue()
