"""Simulated masses and calcification clusters in given mammograms, with their exact extent.

What lies in the beam multiplies the exposure, hence adds to the attenuation: grey values are turned into attenuation
by the film's curve, the finding is added, and the sum is turned back. Contrast is thereby less where the film is nearly
black or white, the tissue behind stays visible, and the noise of the missing photons is added in the grain that the
picture itself has at this place. No pixel outside the finding's support changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from service.enhance import breast_mask
from training.phantoms.film import Response
from training.phantoms.mammogram_findings import ClusterRanges, Finding, MassRanges, cluster, mass
from training.phantoms.texture import Field, blurred, drawn, smooth

Picture = NDArray[Any]
Plane = NDArray[np.bool_]
Ranges = MassRanges | ClusterRanges
CLEARANCE = 1.04  # of a finding's radius, that fit between its centre and what is forbidden
FADE = 3.0  # pixels over which spicules and halo fade before what is forbidden
DISTANT = 0.1  # of the height: broad structure, which a mass hides less than fine structure
LARGEST = 2.2  # diameters, of the widest room there is: larger ones need not be tried
DEEPEST = 2.0  # grey levels of 255 beyond black and white at which the film's curve ends


@dataclass(frozen=True)
class Where:
    """Where a finding may lie.

    Attributes:
        breast: bool (height, width); found in the picture when left out, as the service does.
        forbidden: bool (height, width), never touched by anything that is drawn.
        spacing: mm of a pixel, for sizes in mm.
    """

    breast: NDArray[Any] | None = None
    forbidden: NDArray[Any] | None = None
    spacing: float | None = None


@dataclass(frozen=True, eq=False)
class Inserted:
    """A picture with a simulated finding.

    Attributes:
        image: like the given picture, changed inside ``support`` alone.
        mask: uint8 0 or 1 (height, width), the mass, or each calcification.
        region: uint8 0 or 1, the mass, or the convex hull of the cluster.
        support: bool, every pixel to which something was added.
        kind: margin of the mass, or ``calcifications``.
        contrast: peak attenuation that was added.
        centre: (x, y).
    """

    image: Picture
    mask: NDArray[np.uint8]
    region: NDArray[np.uint8]
    support: Plane
    kind: str
    contrast: float
    centre: tuple[int, int]


def insert(
    picture: Picture, rng: np.random.Generator, ranges: Ranges | None = None, where: Where | None = None
) -> Inserted:
    """The picture with one mass (or, for `ClusterRanges`, one cluster) drawn from ``ranges``.

    ``picture``: grey, uint8 or uint16 (height, width), air dark; 16-bit pictures are taken as stretching from 0 to
    their brightest pixel. A diameter that has no room in the breast is drawn again from what has.

    Raises:
        ValueError: another picture, a mask of another size, millimetres without spacing, or no room for the smallest.
    """
    ranges, where = ranges or MassRanges(), where or Where()
    _check(picture)
    allowed = _allowed(picture, where)
    room = _room(allowed)
    least, most = (side * _pixels(ranges, picture, where) for side in ranges.diameter)
    finding = _fitting((least, most), room, ranges, rng)
    return _added(picture, finding, allowed, _place(finding, room, rng), rng)


def _check(picture: Picture) -> None:
    if picture.ndim != 2 or picture.dtype not in (np.uint8, np.uint16):
        raise ValueError(
            f"Found {picture.dtype} of shape {picture.shape}; wanted uint8 or uint16 (height, width). Convert it."
        )


def _pixels(ranges: Ranges, picture: Picture, where: Where) -> float:
    if ranges.unit == "mm" and where.spacing is None:
        raise ValueError("Found diameters in mm and no spacing; wanted mm of a pixel. Give it, or diameters in px.")
    return {"height": float(len(picture)), "px": 1.0, "mm": 1 / (where.spacing or 1.0)}[ranges.unit]


def _allowed(picture: Picture, where: Where) -> Plane:
    grey = picture if picture.dtype == np.uint8 else (picture / max(int(picture.max()), 1) * 255).astype(np.uint8)
    breast = breast_mask(grey) if where.breast is None else where.breast
    forbidden = np.zeros(picture.shape, bool) if where.forbidden is None else where.forbidden
    for name, plane in (("breast", breast), ("forbidden", forbidden)):
        if plane.shape != picture.shape:
            raise ValueError(f"Found a {name} mask of {plane.shape}; wanted {picture.shape}. Give the picture's own.")
    return np.asarray((breast > 0) & (forbidden == 0))


def _room(allowed: Plane) -> Field:
    """Pixels from each allowed one to the nearest that is not; beyond the picture nothing is."""
    padded = np.pad(allowed, 1).astype(np.uint8)
    return np.asarray(cv2.distanceTransform(padded, cv2.DIST_L2, 5)[1:-1, 1:-1], np.float32)


def _fitting(span: tuple[float, float], room: Field, ranges: Ranges, rng: np.random.Generator) -> Finding:
    """A finding of a diameter from ``span``; smaller ones are tried while it has no room."""
    least, most = span[0], max(span[0], min(span[1], LARGEST * float(room.max())))
    for _ in range(12):
        diameter = drawn(rng, (least, most))
        if isinstance(ranges, MassRanges):
            finding = mass(diameter, ranges, rng)
        else:
            finding = cluster(diameter, len(room), ranges, rng)
        if finding.radius * CLEARANCE < room.max():
            return finding
        most = max(least, 0.7 * diameter)
    raise ValueError(
        f"Found room for {2 * room.max() / CLEARANCE:.0f} pixels in the breast; wanted {least:.0f} or more. "
        "Give smaller diameters, fewer forbidden pixels or another picture."
    )


def _place(finding: Finding, room: Field, rng: np.random.Generator) -> tuple[int, int]:
    """(x, y), each place with enough room as likely as the next."""
    fits = np.flatnonzero(room > finding.radius * CLEARANCE)
    y, x = divmod(int(rng.choice(fits)), room.shape[1])
    return x, y


def _added(
    picture: Picture, finding: Finding, allowed: Plane, at: tuple[int, int], rng: np.random.Generator
) -> Inserted:
    inner, outer = _windows(finding.share.shape, picture.shape, at)
    fade = np.clip(_room(allowed[outer]) / FADE, 0, 1) * allowed[outer]
    share = np.where(finding.mask[inner], finding.share[inner], finding.share[inner] * fade)
    image = picture.copy()
    image[outer] = np.where(
        share > 0, _exposed(picture, outer, np.asarray(share, np.float32), finding, rng), picture[outer]
    )
    planes = {}
    for name, plane in (("mask", finding.mask), ("region", finding.region), ("support", share > 0)):
        planes[name] = np.zeros(picture.shape, np.uint8)
        planes[name][outer] = plane if name == "support" else plane[inner]
    return Inserted(image, planes["mask"], planes["region"], planes["support"] > 0, finding.kind, finding.contrast, at)


def _windows(
    window: tuple[int, ...], size: tuple[int, ...], at: tuple[int, int]
) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Where a window around (x, y) lies: in itself and in the picture, without what is beyond it."""
    inner, outer = [], []
    for side, whole, centre in zip(window, size, reversed(at), strict=True):
        start = centre - side // 2
        low, high = max(start, 0), min(start + side, whole)
        inner.append(slice(low - start, high - start))
        outer.append(slice(low, high))
    return tuple(inner), tuple(outer)


def response_of(picture: Picture) -> Response:
    """The curve by which `insert` reads a picture's grey values."""
    top = 255 if picture.dtype == np.uint8 else max(int(picture.max()), 1)
    return Response(-DEEPEST * top / 255, top * (1 + DEEPEST / 255))


def _exposed(
    picture: Picture, outer: tuple[slice, ...], share: Field, finding: Finding, rng: np.random.Generator
) -> Picture:
    """Grey values with the finding in the beam."""
    response = response_of(picture)
    behind = response.attenuation(picture[outer])
    added = finding.contrast * share
    broad = blurred(behind, max(DISTANT * len(picture) / 4, 2.0))
    kept = broad + (behind - broad) * (1 - finding.displaced * share)
    grain = _grain(behind) * np.sqrt(np.expm1(added))
    noise = grain * smooth(rng, added.shape, (0.7, 0.7))
    grey = response.grey(np.asarray(kept + added + noise, np.float32))
    top = np.iinfo(picture.dtype).max
    return np.asarray(np.clip(np.round(grey), 0, min(top, response.white)), picture.dtype)


def _grain(attenuation: Field) -> Field:
    """Local deviation of the finest structure, robust against edges: the median of what a small blur takes away."""
    fine = np.abs(attenuation - blurred(attenuation, 1.0))
    return np.asarray(np.full_like(fine, 1.4826 * np.median(fine)), np.float32)
