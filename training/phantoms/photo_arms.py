"""Arms of a photograph phantom, and other round limbs: capsules between joints, in centimetres."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from training.phantoms.photo_body import Build
from training.phantoms.photo_view import FALL, Plane, Surface, View, along_and_apart, smooth_union

Node = tuple[float, float, float, float]


def with_arms(torso: Surface, build: Build, view: View, rng: np.random.Generator) -> tuple[Surface, NDArray[np.bool_]]:
    """Torso and arms in one, and where an arm is what is seen."""
    z, rim, before = torso.z, torso.rim, np.zeros(view.size, bool)
    blend = _blend(build, view.y)
    for side in (-1, 1):
        arm = limb(_arm(build, side, rng), view)
        before |= (arm.rim > 0) & ((arm.z > torso.z) | (torso.rim <= 0))
        # Skin runs smoothly over the shoulder; further down arm and flank only touch.
        z, rim = smooth_union(z, arm.z, blend), smooth_union(rim, arm.rim, blend)
    return Surface(z, rim), before


def _arm(build: Build, side: int, rng: np.random.Generator) -> list[Node]:
    """Joints as (x, y, z, radius) from the shoulder on."""
    wide, thick = build.shoulder, 0.85 + 0.35 * build.weight
    jitter = rng.normal(0, 1, 6)
    match build.pose:
        case "down":
            joints = [
                (wide - 3.2, 4.8, 0.0, 4.8),
                (wide + 1.6 + jitter[0], 28 + jitter[1], -1.0, 3.9),
                (max(wide + 2.5, build.hip + 2) + jitter[2], 51 + jitter[3], 1.5, 2.7),
                (max(wide + 2.0, build.hip + 1.5) + jitter[2], 58 + jitter[3], 2.0, 3.4),
            ]
        case "hips":
            joints = [
                (wide - 3.2, 4.6, 0.0, 4.8),
                (wide + 10.5 + 1.5 * jitter[0], 25.5 + 1.5 * jitter[1], -2.5, 3.8),
                (build.hip + 1.5 + 0.6 * jitter[2], 43 + jitter[3], -0.5, 2.7),
                (build.hip - 1.5, 47 + jitter[3], 1.0, 3.2),
            ]
        case "up":
            joints = [
                (wide - 3.5, 3.0, 0.0, 5.2),
                (wide + 8.0 + 2 * jitter[0], -17 + 2 * jitter[1], -2.0, 3.9),
                (8 + jitter[2], -30, -5.0, 2.8),
            ]
        case "back":
            joints = [
                (wide - 3.2, 4.8, -0.5, 4.8),
                (wide + 2.6 + jitter[0], 26 + jitter[1], -5.0, 3.9),
                (build.waist - 4.0, 38, -8.0, 3.0),
            ]
    return [(side * x, y, z, radius * thick) for x, y, z, radius in joints]


def _blend(build: Build, y: Plane) -> Plane:
    if build.pose == "up":
        return np.full_like(y, 4.0)
    return np.asarray(0.25 + 4.0 / (1 + np.exp((y - 9.5) * np.float32(0.9))), np.float32)


def limb(joints: Sequence[Node], view: View) -> Surface:
    """Round limbs between joints (x, y, z, radius)."""
    z = np.full(view.size, -60, np.float32)
    rim = np.full(view.size, -60, np.float32)
    for one, other in pairwise(joints):
        along, apart = along_and_apart(view, one[:2], other[:2])
        radius = one[3] + (other[3] - one[3]) * along
        base = one[2] + (other[2] - one[2]) * along
        round_ = np.sqrt(np.maximum(radius**2 - apart**2, 0)) - FALL * np.maximum(apart - radius, 0)
        z, rim = np.maximum(z, base + round_), np.maximum(rim, radius - apart)
    return Surface(np.asarray(z, np.float32), np.asarray(rim, np.float32))
