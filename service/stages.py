"""The five kinds of stage."""

from __future__ import annotations

from service.image import Region
from service.manifest import Look


def looked_at(box: Region, look: Look, grid: Region) -> Region:
    """The region a stage sees when an earlier one found ``box``; it lies on ``grid``."""
    return (box.squared() if look.square else box).grown(look.margin, grid, look.minimum)
