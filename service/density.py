"""How much of the breast is dense, from a mammogram's tissue mask: a share and areas, never a BI-RADS category."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from service.image import Image, Mask
from service.measurement import Measure, Measurement

ADIPOSE, DENSE = "adipose", "fibroglandular"
SHARE = (
    "Share of the breast that is fibroglandular tissue; pectoral muscle and background are left out. Measured on the "
    "area of one view: it is no BI-RADS category and no volumetric density."
)
NO_BREAST = "No breast tissue was outlined, so that there is nothing to take a share of."
SEVERAL = "Measured on single pictures: the image has several slices. Ask for one with the parameter slice."
DENSE_AREA = "Area of fibroglandular tissue; it is no BI-RADS category."
BREAST_AREA = "Area of adipose and fibroglandular tissue together, without pectoral muscle."
NO_SPACING = "Not known in millimetres: the file tells no pixel spacing."


def density(mask: Mask, image: Image) -> Sequence[Measurement]:
    """Percent density, and dense and breast area in pixels and mm2 (None without a spacing), of one slice."""
    field = image.field
    if field.depth > 1:
        return (Measurement("percent_density", None, "percent", SEVERAL),)
    counts = np.bincount(mask.labels[field.z0].ravel(), minlength=256)
    pixels = {name: int(counts[id_]) for id_, name in mask.names.items()}
    dense, breast = pixels[DENSE], pixels[DENSE] + pixels[ADIPOSE]
    share = 100 * dense / breast if breast else None
    return (
        Measurement("percent_density", share, "percent", SHARE if breast else f"{NO_BREAST} {SHARE}"),
        *_areas("dense_area", dense, image, DENSE_AREA),
        *_areas("breast_area", breast, image, BREAST_AREA),
    )


def _areas(name: str, pixels: int, image: Image, text: str) -> tuple[Measurement, Measurement]:
    _, y, x = image.spacing
    known = None if y is None or x is None else pixels * y * x
    in_mm2 = Measurement(f"{name}_mm2", known, "mm2", text if known is not None else f"{NO_SPACING} {text}")
    return Measurement(f"{name}_px", float(pixels), "px", text), in_mm2


DENSITY = Measure(frozenset({ADIPOSE, DENSE}), density)
