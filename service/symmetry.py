"""How alike both breasts of a frontal photograph are, and how plausible the outlined shapes: figures of a mask alone.

Differences between the sides as in the objective assessment of breast-conserving therapy (Pezner et al. 1985, breast
retraction assessment; Cardoso and Cardoso 2007, BCCT.core). Midline and sternal notch are those of `service.torso`,
estimates; where one cannot be made its figures are None with the reason.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from service.image import Image, Mask
from service.measurement import Measure, Measurement
from service.solidity import mean_solidity
from service.torso import NO_MIDLINE, REGIONS, SIDES, Outlines, Place

ESTIMATE = "The midline is estimated from the outline of the body."
NOTCH = "Midline and sternal notch are estimated from the outline of the body."
SEVERAL = "Measured on single pictures: the image has several slices. Ask for one with the parameter slice."


NIPPLES = (
    "nipple_to_midline_difference",
    "nipple_height_difference",
    "breast_retraction",
    "nipple_to_notch_difference",
)
BREASTS = ("breast_area_difference", "breast_area_difference_share", "lower_contour_difference")
TEXTS = {
    NIPPLES[0]: f"How much farther one nipple is from the midline. {ESTIMATE}",
    NIPPLES[1]: f"How much higher one nipple is, along the midline. {ESTIMATE}",
    NIPPLES[2]: f"Breast retraction assessment: distance and height, both differences together. {ESTIMATE}",
    NIPPLES[3]: f"How much farther one nipple is from the sternal notch. {NOTCH}",
    BREASTS[0]: "Area by which one breast is larger, nipple included, as seen from the front.",
    BREASTS[1]: "The difference of the areas as a share of the larger breast.",
    BREASTS[2]: f"How much lower one breast ends, along the midline. {ESTIMATE}",
}
SOLIDITY = "Share of its convex hull that a region fills, 0 to 1; 1 is convex. Its parts are weighted by area."


@dataclass(frozen=True)
class Units:
    """What lengths and areas are told in."""

    length: str
    area: str

    def of(self, name: str) -> str:
        """The unit of one of the figures."""
        return {BREASTS[0]: self.area, BREASTS[1]: "percent"}.get(name, self.length)

    def told(self, name: str, value: float) -> Measurement:
        return Measurement(name, value, self.of(name), TEXTS[name])

    def untold(self, names: Sequence[str], reason: str) -> Iterator[Measurement]:
        """Figures that there are none of."""
        return (Measurement(name, None, self.of(name), f"{reason} {TEXTS[name]}") for name in names)


def symmetry(mask: Mask, image: Image) -> Sequence[Measurement]:
    """Differences between both sides, and solidity of each region, of one slice.

    Lengths and areas are in mm and mm2 where the image has a spacing, else in px.
    """
    field = image.field
    if field.depth > 1:
        return (Measurement(BREASTS[0], None, "px", SEVERAL),)
    ids, labels = {name: id_ for id_, name in mask.names.items()}, mask.labels[field.z0]
    _, y, x = image.spacing
    known = x is not None and y is not None
    seen = Outlines({name: labels == ids[name] for name in REGIONS}, (x, y) if x and y else (1.0, 1.0))
    units = Units("mm", "mm2") if known else Units("px", "px")
    return (*_nipples(seen, units), *_breasts(seen, units), *_shapes(seen))


def _nipples(seen: Outlines, units: Units) -> Iterator[Measurement]:
    left, right = (seen.centre(seen.planes[f"{side}_nipple"]) for side in SIDES)
    if left is None or right is None:
        yield from units.untold(NIPPLES, _missing("nipple", left is None, right is None))
        return
    yield from _about_midline(seen, left, right, units)
    if isinstance(seen.notch, str):
        yield from units.untold(NIPPLES[3:], seen.notch)
    else:
        yield units.told(NIPPLES[3], abs(math.dist(left, seen.notch) - math.dist(right, seen.notch)))


def _about_midline(seen: Outlines, left: Place, right: Place, units: Units) -> Iterator[Measurement]:
    line = seen.midline
    if line is None:
        yield from units.untold(NIPPLES[:3], NO_MIDLINE)
        return
    aside = abs(abs(line.across(*left)) - abs(line.across(*right)))
    height = abs(line.down(*left) - line.down(*right))
    for name, value in zip(NIPPLES[:3], (aside, height, math.hypot(aside, height)), strict=True):
        yield units.told(name, value)


def _breasts(seen: Outlines, units: Units) -> Iterator[Measurement]:
    x, y = seen.spacing
    left, right = (float(seen.breast(side).sum()) * x * y for side in SIDES)
    if not left or not right:
        yield from units.untold(BREASTS, _missing("breast", not left, not right))
        return
    yield units.told(BREASTS[0], abs(left - right))
    yield units.told(BREASTS[1], 100 * abs(left - right) / max(left, right))
    if seen.midline is None:
        yield from units.untold(BREASTS[2:], NO_MIDLINE)
    else:
        one, other = (seen.midline.lowest(seen.breast(side), seen.spacing) for side in SIDES)
        yield units.told(BREASTS[2], abs(one - other))


def _missing(what: str, *sides: bool) -> str:
    names = " and ".join(name for name, gone in zip(SIDES, sides, strict=True) if gone)
    return f"No {names} {what} was outlined."


def _shapes(seen: Outlines) -> Iterator[Measurement]:
    for name in REGIONS:
        value = mean_solidity(seen.region(name))
        text = SOLIDITY if value is not None else f"No {name.replace('_', ' ')} was outlined. {SOLIDITY}"
        yield Measurement(f"solidity_{name}", value, "", text)


SYMMETRY = Measure(frozenset(REGIONS), symmetry)
