"""Lesions: where they lie, what outline they have, how they echo and what they do to the tissue behind them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from training.phantoms.acoustics import Field, Grey, blurred, cast_behind, smooth_noise

Kind = Literal["cyst", "benign", "malignant"]
KINDS: tuple[Kind, ...] = ("cyst", "benign", "malignant")
CORNERS = 360  # of the outline's polygon


@dataclass(frozen=True)
class Look:
    """How a kind of lesion looks.

    Attributes:
        level: echo level inside, dB.
        texture: deviation of that level inside, dB.
        aspect: range of width over height.
        roughness: amplitude of the outline's waves, fraction of the radius.
        waves: highest number of waves around the outline.
        edge: softness of the edge, pixels.
        rim: brightness of the rim, dB: a capsule, or the halo of a malignant lesion.
        behind: enhancement (positive) or shadow (negative) behind it, dB.
    """

    level: float
    texture: float
    aspect: tuple[float, float]
    roughness: float
    waves: int
    edge: float
    rim: float
    behind: float


LOOKS: dict[Kind, Look] = {
    "cyst": Look(-56, 1.0, (1.0, 1.5), 0.03, 3, 0.8, 5, 11),
    "benign": Look(-36, 1.8, (1.4, 1.9), 0.06, 4, 1.2, 4, 5),
    "malignant": Look(-42, 4.0, (0.8, 1.3), 0.34, 14, 2.2, 5, -20),
}


@dataclass(frozen=True)
class Lesion:
    """One lesion: its kind and its exact extent, a 0/1 mask (height, width)."""

    kind: Kind
    mask: Grey


def placed(size: tuple[int, int], kinds: list[Kind], rng: np.random.Generator) -> list[Lesion]:
    """One lesion of each of ``kinds``, side by side in strips of equal width, so that none overlaps another."""
    strips = np.linspace(0, size[1], len(kinds) + 1)
    order = rng.permutation(len(kinds))
    return [_in_strip(size, (strips[i], strips[i + 1]), kinds[k], rng) for i, k in enumerate(order)]


def _in_strip(size: tuple[int, int], strip: tuple[float, float], kind: Kind, rng: np.random.Generator) -> Lesion:
    aspect = rng.uniform(*LOOKS[kind].aspect)
    radius_y = rng.uniform(0.09, 0.15) * size[0]
    room = 0.5 * (strip[1] - strip[0]) / (1.35 * aspect)
    radius_y = min(radius_y, room)
    radius_x = radius_y * aspect
    slack = max(0.0, 0.5 * (strip[1] - strip[0]) - 1.35 * radius_x)
    x = 0.5 * (strip[0] + strip[1]) + rng.uniform(-0.9, 0.9) * slack
    y = rng.uniform(0.3, 0.46) * size[0]
    outline = _outline(LOOKS[kind], rng) * (radius_x, radius_y) + (x, y)
    mask = np.zeros(size, np.uint8)
    cv2.fillPoly(mask, [np.round(outline).astype(np.int32)], 1)
    return Lesion(kind, mask)


def _outline(look: Look, rng: np.random.Generator) -> NDArray[np.float64]:
    """Points (x, y) around the origin at a mean distance of 1; waves of falling height make it irregular."""
    angle = np.linspace(0, 2 * np.pi, CORNERS, endpoint=False)
    radius = np.ones(CORNERS)
    for wave in range(2, look.waves + 1):
        height = look.roughness * rng.uniform(0.2, 1.0) / wave**0.9
        radius += height * np.cos(wave * angle + rng.uniform(0, 2 * np.pi))
    radius = np.clip(radius, 0.55, 1.35)
    tilt = rng.uniform(-0.25, 0.25)
    x, y = radius * np.cos(angle), radius * np.sin(angle)
    return np.stack([x * np.cos(tilt) - y * np.sin(tilt), x * np.sin(tilt) + y * np.cos(tilt)], axis=1)


def insert(level: Field, lesion: Lesion, rng: np.random.Generator) -> Field:
    """The echo levels with ``lesion`` in them: shadow or enhancement behind, rim around, its own echoes inside."""
    look = LOOKS[lesion.kind]
    share = blurred(lesion.mask.astype(np.float32), (look.edge, look.edge))
    inside = look.level + look.texture * smooth_noise(rng, level.shape, (4, 7))
    around = level + cast_behind(lesion.mask, look.behind) + look.rim * _rim(lesion.mask, look)
    return np.asarray(share * inside + (1 - share) * around, np.float32)


def _rim(mask: Grey, look: Look) -> Field:
    """0 to about 1 in a band just outside the lesion, thin where the edge is sharp."""
    width = 1.5 + 3 * look.edge
    band = np.exp(-((cv2.distanceTransform(1 - mask, cv2.DIST_L2, 5) / width) ** 2))
    return np.asarray(band * (1 - mask), np.float32)
