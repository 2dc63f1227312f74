"""Reading a picture as the service does."""

from __future__ import annotations

from typing import Any

import numpy as np

from service.formats.raster import read_raster


def read(content: bytes) -> tuple[np.ndarray[Any, Any], tuple[str, ...]]:
    """(height, width, channels) and the notes."""
    image = read_raster(content)
    assert image.depth == 1
    return image.slab(0, 1)[0], image.notes
