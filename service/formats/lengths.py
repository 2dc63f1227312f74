"""The distances that are believed: those of a file are checked here once, before anything is measured with them.

A pixel of less than a millionth of a millimetre or more than ten metres, or a slice over a kilometre away, is a broken
header. It counts as unknown and is flagged, as a spacing of zero is: everything behind this may square, cube and round
lengths, in single precision too, without looking at them again.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from service.image import Image
from service.source import Affine, Flag

LEAST_MM, MOST_MM = 1e-6, 1e4
# From the origin of the patient, mm.
FARTHEST_MM = 1e6
SPACING_UNUSABLE = Flag(
    "spacing_unusable",
    f"A spacing in the file is not a number from {LEAST_MM:f} to {MOST_MM:.0f} mm, or its place is not within"
    f" {FARTHEST_MM / 1e6:.0f} km: it counts as unknown.",
)


def plausible(length: float) -> bool:
    """Whether a distance between pixels in mm is believed."""
    return LEAST_MM <= length <= MOST_MM


def bounded(image: Image) -> Image:
    """The image without spacings and places that are not believed; a flag says so where there was one."""
    z, y, x = (one if one is None or plausible(one) else None for one in image.spacing)
    if x is None or y is None:
        x = y = None
    affine = image.source.affine if image.source else None
    placed = affine is None or _placeable(affine)
    if (z, y, x) == image.spacing and placed:
        return image
    kept = replace(image.source, affine=affine if placed else None) if image.source else None
    said = image.spacing_source if x is not None else "none"
    flags = tuple(dict.fromkeys((*image.flags, SPACING_UNUSABLE)))
    return replace(image, spacing=(z, y, x), spacing_source=said, source=kept, flags=flags)


def _placeable(affine: Affine) -> bool:
    with np.errstate(over="ignore", invalid="ignore"):
        sides = np.linalg.norm(affine[:3, :3], axis=0)
    return bool(np.abs(affine[:3, 3]).max() <= FARTHEST_MM) and all(map(plausible, sides))
