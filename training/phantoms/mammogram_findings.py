"""Masses and clusters of calcifications as an X-ray sees them: projected thickness on a small window, and exact extent.

What is drawn at random stays within `MassRanges` and `ClusterRanges`. Lengths are pixels, contrasts are attenuation as
`training.phantoms.film` has it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from training.phantoms.texture import Field, blurred, drawn, smooth

Span = tuple[float, float]
Margin = Literal["circumscribed", "lobulated", "ill_defined", "spiculated"]
MARGINS: tuple[Margin, ...] = ("circumscribed", "lobulated", "ill_defined", "spiculated")
Unit = Literal["height", "px", "mm"]
Plane = NDArray[np.bool_]
VISIBLE = 0.25  # of the peak: what is thicker belongs to the mask
FAINTEST = 0.004  # of the peak: what is thinner is not drawn


@dataclass(frozen=True)
class MassRanges:
    """From what a mass is drawn; each pair is (least, most), each value between as likely as the next.

    Attributes:
        diameter: of a circle of the same area, in ``unit``.
        unit: ``height`` (shares of the picture's height), ``px`` or ``mm``. The default spans the middle 95 % of the
            boxes in CBIS-DDSM's training part.
        contrast: peak attenuation over its surroundings.
        aspect: longer over shorter axis.
        thickness: exponent of the profile, 0.5 for a ball, less for a flat disc.
        texture: deviation of the thickness inside, share of it.
        displaced: share of the tissue in the beam that the mass took the place of.
        margins: kinds of margin, one is picked.
    """

    diameter: Span = (0.028, 0.12)
    unit: Unit = "height"
    contrast: Span = (0.2, 0.9)
    aspect: Span = (1.0, 1.6)
    thickness: Span = (0.35, 0.75)
    texture: Span = (0.03, 0.14)
    displaced: Span = (0.0, 0.45)
    margins: tuple[Margin, ...] = MARGINS


@dataclass(frozen=True)
class MarginLook:
    """How a kind of margin looks.

    Attributes:
        waves: lowest and highest number of waves around the outline.
        roughness: amplitude of a wave, share of the radius.
        fall: how fast amplitudes fall with the number of waves.
        blur: softness of the edge, share of the radius.
        spicules: how many.
        length: of a spicule beyond the edge, shares of the radius.
    """

    waves: tuple[int, int]
    roughness: Span
    fall: float
    blur: Span
    spicules: tuple[int, int] = (0, 0)
    length: Span = (0.0, 0.0)


LOOKS: Mapping[Margin, MarginLook] = {
    "circumscribed": MarginLook((2, 4), (0.02, 0.06), 1.0, (0.03, 0.09)),
    "lobulated": MarginLook((3, 7), (0.12, 0.28), 0.9, (0.04, 0.12)),
    "ill_defined": MarginLook((2, 9), (0.08, 0.2), 0.8, (0.16, 0.36)),
    "spiculated": MarginLook((2, 12), (0.12, 0.3), 0.7, (0.06, 0.16), (12, 40), (0.35, 1.3)),
}


@dataclass(frozen=True)
class ClusterRanges:
    """From what a cluster of calcifications is drawn; pairs as in `MassRanges`.

    Attributes:
        diameter: of the cluster, in ``unit``.
        unit: ``height``, ``px`` or ``mm``.
        count: calcifications.
        size: diameter of one, share of the picture's height; never less than one pixel.
        contrast: peak attenuation of one over its surroundings.
        irregular: 0 for round grains of one size, 1 for pleomorphic ones.
    """

    diameter: Span = (0.02, 0.09)
    unit: Unit = "height"
    count: tuple[int, int] = (5, 36)
    size: Span = (0.0009, 0.0035)
    contrast: Span = (0.35, 1.6)
    irregular: Span = (0.0, 1.0)


@dataclass(frozen=True, eq=False)
class Finding:
    """A mass or cluster on a square window whose middle pixel is its centre.

    Attributes:
        share: float32 (side, side), projected thickness, 0 to 1, 0 where nothing is drawn.
        mask: bool (side, side), its extent.
        region: bool (side, side), the same for a mass; the convex hull of a cluster.
        contrast: attenuation where ``share`` is 1.
        displaced: share of the tissue in the beam that it took the place of.
        radius: of ``region``, pixels from the centre to its furthest point.
        kind: the margin of a mass, or ``calcifications``.
    """

    share: Field
    mask: Plane
    region: Plane
    contrast: float
    displaced: float
    radius: float
    kind: str


def mass(diameter: float, ranges: MassRanges, rng: np.random.Generator) -> Finding:
    """A mass of about ``diameter`` pixels."""
    margin = ranges.margins[rng.integers(len(ranges.margins))]
    look, radius = LOOKS[margin], diameter / 2
    half = int(np.ceil(radius * (2.0 + look.length[1]) + 4))
    share = blurred(_body((half, radius), ranges, look, rng), max(radius * drawn(rng, look.blur), 0.5))
    if look.spicules[1]:
        share = np.maximum(share, blurred(_spicules((half, radius), look, rng), 0.7))
    share = share * (1 + drawn(rng, ranges.texture) * smooth(rng, share.shape, (radius / 4 + 0.5,) * 2))
    share = _cut(share)
    mask = _connected(share >= VISIBLE, half)
    return Finding(share, mask, mask, drawn(rng, ranges.contrast), drawn(rng, ranges.displaced), _radius(mask), margin)


def _body(size: tuple[int, float], ranges: MassRanges, look: MarginLook, rng: np.random.Generator) -> Field:
    """Thickness of a lump of ``size`` (half the window's side, radius), highest in the middle."""
    half, radius = size
    steps = np.arange(-half, half + 1, dtype=np.float32)
    tilt, stretch = rng.uniform(0, np.pi), np.sqrt(drawn(rng, ranges.aspect))
    along = (steps * np.cos(tilt) + steps[:, None] * np.sin(tilt)) / stretch
    beside = (steps[:, None] * np.cos(tilt) - steps * np.sin(tilt)) * stretch
    edge = _edge(np.arctan2(beside, along), look, rng)
    out = np.hypot(along, beside) / (radius * edge)
    return np.asarray(np.clip(1 - out**2, 0, 1) ** drawn(rng, ranges.thickness), np.float32)


def _edge(angle: Field, look: MarginLook, rng: np.random.Generator) -> Field:
    """Radius of the outline by angle, about 1."""
    edge = np.ones_like(angle)
    roughness = drawn(rng, look.roughness)
    for wave in range(look.waves[0], look.waves[1] + 1):
        height = roughness * rng.uniform(0.3, 1.0) / (wave - look.waves[0] + 1) ** look.fall
        edge += height * np.cos(wave * angle + rng.uniform(0, 2 * np.pi))
    return np.asarray(np.clip(edge, 0.5, 1.6), np.float32)


def _spicules(size: tuple[int, float], look: MarginLook, rng: np.random.Generator) -> Field:
    """Thin strands that run out of the body and fade, 0 to about 0.7."""
    half, radius = size
    total = np.zeros((2 * half + 1, 2 * half + 1), np.float32)
    for _ in range(rng.integers(look.spicules[0], look.spicules[1] + 1)):
        strength, width = rng.uniform(0.25, 0.7), max(radius * rng.uniform(0.025, 0.09), 0.5)
        reach = radius * (0.8 + drawn(rng, look.length))
        steps = np.linspace(0.4 * radius, reach, max(3, round(reach / 3)))
        angle = rng.uniform(0, 2 * np.pi) + rng.uniform(-0.3, 0.3) * (steps / reach) ** 2
        points = np.stack([half + steps * np.cos(angle), half + steps * np.sin(angle)], axis=1)
        for start, (one, two) in enumerate(pairwise(points)):
            left = 1 - start / len(steps)
            _segment(total, (one, two), strength * left**0.7, 2 * width * (0.35 + 0.65 * left))
    return total


def _segment(total: Field, ends: tuple[NDArray[np.float64], ...], strength: float, width: float) -> None:
    """Brighten ``total`` to ``strength`` along a line; thinner than a pixel is fainter instead."""
    one, two = (tuple(int(v) for v in np.round(end * 16)) for end in ends)
    value = strength * min(width, 1.0)
    low = np.minimum(one, two) // 16 - 3
    high = np.maximum(one, two) // 16 + 4
    window = total[max(low[1], 0) : high[1], max(low[0], 0) : high[0]]
    canvas = np.zeros(window.shape, np.uint8)
    shift = np.maximum(low, 0) * 16
    cv2.line(canvas, tuple(one - shift), tuple(two - shift), 255, max(1, round(width)), cv2.LINE_AA, 4)
    np.maximum(window, canvas * np.float32(value / 255), out=window)


def cluster(diameter: float, height: int, ranges: ClusterRanges, rng: np.random.Generator) -> Finding:
    """Calcifications scattered over about ``diameter`` pixels of a picture of ``height``."""
    half = int(np.ceil(diameter * 0.75 + 0.01 * height + 4))
    share = np.zeros((2 * half + 1, 2 * half + 1), np.float32)
    mask = np.zeros(share.shape, bool)
    irregular, tilt, flat = drawn(rng, ranges.irregular), rng.uniform(0, np.pi), rng.uniform(0.4, 1)
    for number in range(rng.integers(ranges.count[0], ranges.count[1] + 1)):
        away, angle = 0.0 if number == 0 else diameter / 2 * np.sqrt(rng.random()), rng.uniform(0, 2 * np.pi)
        along, beside = away * np.cos(angle), away * np.sin(angle) * flat
        x = half + along * np.cos(tilt) - beside * np.sin(tilt)
        y = half + along * np.sin(tilt) + beside * np.cos(tilt)
        grain = _grain((x, y), max(drawn(rng, ranges.size) * height, 1.0), irregular, (share.shape, rng))
        mask |= grain >= VISIBLE * grain.max()
        np.maximum(share, grain, out=share)
    share = _cut(share)
    region = _hull(mask)
    return Finding(share, mask, region, drawn(rng, ranges.contrast), 0.0, _radius(region), "calcifications")


def _grain(
    at: tuple[float, float],
    diameter: float,
    irregular: float,
    on: tuple[tuple[int, ...], np.random.Generator],
) -> Field:
    """One calcification: a spot, longer and of uneven strength the more irregular it is."""
    shape, rng = on
    tilt, stretch = rng.uniform(0, np.pi), 1 + irregular * rng.uniform(0, 1.6)
    x = np.arange(shape[1], dtype=np.float32) - at[0]
    y = np.arange(shape[0], dtype=np.float32)[:, None] - at[1]
    along, beside = x * np.cos(tilt) + y * np.sin(tilt), y * np.cos(tilt) - x * np.sin(tilt)
    bend = 0.25 * irregular * rng.uniform(-1, 1) * along**2 / diameter
    out = (along / stretch) ** 2 + (beside - bend) ** 2
    spot = np.exp(-out / (2 * (diameter / 2.6) ** 2)) * (1 - irregular * rng.uniform(0, 0.6))
    return np.asarray(np.where(spot < FAINTEST, 0, spot), np.float32)


def _cut(share: Field) -> Field:
    """Peak 1, and 0 where it is too faint to draw or at the window's rim."""
    share = np.clip(share, 0, None) / max(float(share.max()), 1e-6)
    share[share < FAINTEST] = 0
    share[[0, -1]] = 0
    share[:, [0, -1]] = 0
    return np.asarray(share, np.float32)


def _connected(mask: Plane, half: int) -> Plane:
    """The part of ``mask`` that holds the centre, else its largest part; without holes."""
    _, parts, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    part = parts[half, half] or 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    outlines, _ = cv2.findContours((parts == part).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return np.asarray(cv2.fillPoly(np.zeros(mask.shape, np.uint8), outlines, 1) > 0)


def _hull(mask: Plane) -> Plane:
    points = np.argwhere(mask)[:, ::-1].astype(np.int32)
    filled = cv2.fillConvexPoly(np.zeros(mask.shape, np.uint8), cv2.convexHull(points), 1)
    return np.asarray((filled > 0) | mask)


def _radius(mask: Plane) -> float:
    """Pixels from the window's middle to the furthest pixel of the mask."""
    return float(np.hypot(*(np.argwhere(mask) - (len(mask) - 1) / 2).T).max())
