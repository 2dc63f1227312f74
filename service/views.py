"""What a stage looks at: which slices of which regions, and how many of them at once."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import numpy as np
from numpy.typing import NDArray

from service.frame import planes
from service.image import Image, Region
from service.network import BATCH
from service.stages import Classify, Detect, Found, Prompt, Segment

# One slice of a region, and what was found there; None for the whole image.
View = tuple[Region, Found | None]
Looking = Detect | Segment | Prompt | Classify


def empty_slices(image: Image) -> frozenset[int]:
    """Slices whose pixels are all equal where the image is looked at: there is nothing to see in them."""
    field = image.field
    _, rows, columns = field.slices
    return frozenset(z for z in range(field.z0, field.z1) if _flat(image.slab(z, z + 1)[0, rows, columns]))


def _flat(plane: NDArray[np.generic]) -> bool:
    first = plane[:1, :1]
    # A row through the middle tells nearly every slice that is not flat, at a fraction of the cost.
    return bool((plane[len(plane) // 2] == first[0]).all() and (plane == first).all())


def views_of(regions: Iterable[View], empty: Collection[int]) -> list[View]:
    """Each region slice by slice, but for ``empty`` ones; all regions of a slice before those of the next."""
    views = [(view, one) for region, one in regions for view in planes(region) if view.z0 not in empty]
    return sorted(views, key=lambda pair: pair[0].z0)


def next_batch(stage: Looking, views: list[View]) -> list[View]:
    """As many as the network takes; of the rest as many as any network takes; of a prompt's those of one slice."""
    most = stage.encoder.batch if isinstance(stage, Prompt) else stage.network.batch
    batch = views[: most if len(views) >= most else BATCH]
    if isinstance(stage, Prompt):
        # Its encoder sees the slice once.
        batch = [pair for pair in batch if pair[0].z0 == batch[0][0].z0]
    return batch
