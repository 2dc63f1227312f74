"""Where in the breast a finding lies, as a reader would say it: quadrant and clock face, or why neither can be told.

Both need three things: which way the image lies in the patient, which breast it shows, and where the nipple is. A
single mammographic view tells only one of the two directions, and ultrasound depends on how the transducer was held.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from service.image import Image

Place = tuple[float, float, float]
Quadrant = Literal["upper_outer", "upper_inner", "lower_outer", "lower_inner"]

HOURS = 12
# Nearer to the nipple than this (mm, seen from the front) a direction means nothing.
CENTRAL_MM = 5.0
NO_ORIENTATION = "The image does not say how it lies in the patient."
ONE_VIEW = "One mammographic view tells inner from outer or upper from lower, never both: a quadrant needs two."
NO_NIPPLE = "The position of the nipple is not known."
NO_LATERALITY = "The image does not say which breast it shows."
TOO_CENTRAL = f"The finding lies behind the nipple, less than {CENTRAL_MM:g} mm off its axis."


@dataclass(frozen=True)
class Location:
    """Quadrant of the breast and hour (1 to 12, the reader facing the patient), or None with the reason."""

    quadrant: Quadrant | None = None
    clock_face: int | None = None
    reason: str | None = None


def locate(place: Place | None, image: Image, nipples: Sequence[Place] = ()) -> Location:
    """Location of a finding whose centre is at ``place``; ``nipples`` are centres of nipples, all in mm LPS.

    Of several nipples the nearest counts. Without a laterality of the image that of two nipples is told by their sides.
    """
    if image.modality == "MG":
        return Location(reason=ONE_VIEW)
    if place is None:
        return Location(reason=NO_ORIENTATION)
    if not nipples:
        return Location(reason=NO_NIPPLE)
    nipple = min(nipples, key=lambda one: math.dist(one, place))
    side = _side(image, nipple, nipples)
    if side is None:
        return Location(reason=NO_LATERALITY)
    to_left, up = place[0] - nipple[0], place[2] - nipple[2]
    if math.hypot(to_left, up) < CENTRAL_MM:
        return Location(reason=TOO_CENTRAL)
    return Location(_quadrant(to_left, up, side), _hour(to_left, up))


def _side(image: Image, nipple: Place, nipples: Sequence[Place]) -> str | None:
    if image.laterality in ("L", "R"):
        return image.laterality
    others = [one for one in nipples if one is not nipple]
    # LPS: the left breast has the greater x.
    return ("L" if nipple[0] > others[0][0] else "R") if len(others) == 1 else None


def _quadrant(to_left: float, up: float, side: str) -> Quadrant:
    outer = to_left > 0 if side == "L" else to_left < 0
    if up > 0:
        return "upper_outer" if outer else "upper_inner"
    return "lower_outer" if outer else "lower_inner"


def _hour(to_left: float, up: float) -> int:
    """The patient's left is at the reader's right, at three o'clock."""
    hour = round(math.atan2(to_left, up) / (2 * math.pi) * HOURS) % HOURS
    return hour or HOURS
