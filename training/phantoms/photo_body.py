"""The body of a photograph phantom: torso and neck as a height field in centimetres.

Coordinates are those of `training.phantoms.photo_view`. Proportions are round figures of adult
women, drawn from ranges that hold slender and heavy builds; nobody was measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from training.phantoms.photo_view import FALL, Plane, Surface, View, along_and_apart, profile

Pose = Literal["down", "hips", "up", "back"]
POSES: tuple[Pose, ...] = ("down", "hips", "up", "back")
NAVEL = 42.0  # y, cm


@dataclass(frozen=True)
class Build:
    """Half widths and depths of a body in cm.

    Attributes:
        weight: 0 slender to 1 heavy.
        neck, shoulder, chest, waist, hip: half widths.
        depth, belly: how far chest and belly stand out.
        pose: of the arms.
        lean: x of the midline for each cm down.
        folds: of the belly: y, depth, and how far it bends upwards at the sides, per cm².
    """

    weight: float
    neck: float
    shoulder: float
    chest: float
    waist: float
    hip: float
    depth: float
    belly: float
    pose: Pose
    lean: float
    folds: tuple[tuple[float, float, float], ...] = ()


def drawn_build(rng: np.random.Generator) -> Build:
    """A build from ranges; widths grow with weight."""
    weight = float(rng.beta(1.6, 2.0))
    spread = rng.normal(0, 0.6, 5)
    return Build(
        weight=weight,
        neck=5.2 + 1.4 * weight + 0.3 * float(spread[0]),
        shoulder=16.2 + 2.6 * weight + float(spread[1]),
        chest=13.2 + 4.0 * weight + 0.8 * float(spread[2]),
        waist=10.6 + 8.0 * weight + float(spread[3]),
        hip=16.2 + 5.5 * weight + float(spread[4]),
        depth=9.5 + 3.0 * weight,
        belly=7.5 + 8.0 * weight,
        pose=POSES[int(rng.choice(len(POSES), p=(0.4, 0.22, 0.28, 0.1)))],
        lean=float(rng.normal(0, 0.008)),
        folds=_folds(weight, rng),
    )


def _folds(weight: float, rng: np.random.Generator) -> tuple[tuple[float, float, float], ...]:
    """None on slender bodies, up to two on heavy ones."""
    count = int(rng.binomial(2, max(0.0, weight - 0.35)))
    heights = 32.5 + 5 * np.arange(count) + rng.normal(0, 1.5, count)
    return tuple((float(one), rng.uniform(0.15, 0.8), rng.uniform(0.0, 0.02)) for one in heights)


def torso_surface(build: Build, view: View) -> Surface:
    """Neck and torso without breasts and arms."""
    torso = _torso(build, view)
    return Surface(torso.z + _relief(build, view), torso.rim)


def midline(build: Build, view: View) -> Plane:
    """Distance from the body's midline in cm, positive to the viewer's right."""
    return np.asarray(view.x - np.float32(build.lean) * view.y, np.float32)


def half_width(build: Build, view: View) -> Plane:
    """Half width of the torso at the height of each pixel."""
    neck, wide, lift = build.neck, build.shoulder, 2.5 if build.pose == "up" else 0.0
    return profile(
        view,
        (
            (-30, neck * 1.05),
            (-8.5 - lift, neck),
            (-5.5 - lift, neck + 0.1 * (wide - neck)),
            (-3.3 - lift, neck + 0.36 * (wide - neck)),
            (-1.3 - lift, neck + 0.7 * (wide - neck)),
            (2 - lift, 0.93 * wide),
            (7, 0.5 * wide + 0.48 * build.chest),
            (12, build.chest),
            (20, build.chest),
            (28, 0.5 * build.chest + 0.5 * build.waist),
            (36, build.waist),
            (47, 0.35 * build.waist + 0.65 * build.hip),
            (56, build.hip),
            (75, build.hip),
        ),
    )


def depth_of(build: Build, view: View) -> Plane:
    """How far the torso stands out at the midline."""
    return profile(
        view,
        (
            (-30, 5.5),
            (-5, 5.5),
            (0, 6.0),
            (6, 0.8 * build.depth),
            (15, build.depth),
            (27, 0.93 * build.depth),
            (33, 0.5 * (0.9 * build.depth + build.belly)),
            (43, build.belly),
            (56, 0.85 * build.belly),
            (75, 0.8 * build.belly),
        ),
    )


def chest_wall(build: Build, view: View) -> Plane:
    """What breasts lie on: the torso without its flanks, going on beyond its outline."""
    share = np.abs(midline(build, view)) / half_width(build, view)
    return np.asarray(depth_of(build, view) * (1 - np.float32(0.55) * np.minimum(share, 1.3) ** 2.6), np.float32)


def _torso(build: Build, view: View) -> Surface:
    wide, across = half_width(build, view), np.abs(midline(build, view))
    share = np.minimum(across / wide, 1)
    dome = (1 - share**2.3) ** (1 / 2.3)
    outside = np.maximum(across - wide, 0)
    z = depth_of(build, view) * dome - FALL * outside
    # The outline leans at the shoulders: distance to it is shorter than the distance along x.
    slope = cv2.blur(np.gradient(wide, axis=0), (5, 5)) * np.float32(view.scale)
    return Surface(np.asarray(z, np.float32), np.asarray((wide - across) / np.sqrt(1 + slope**2), np.float32))


def _relief(build: Build, view: View) -> Plane:
    """Bones, tendons and folds under the skin: less of the first and more of the last with weight."""
    lean, x, y = 1.15 - build.weight, midline(build, view), view.y
    lift = 3.0 if build.pose == "up" else 0.0
    bumps = np.zeros(view.size, np.float32)
    for side in (-1, 1):
        clavicle = (side * 1.8, 0.4), (side * 0.74 * build.shoulder, -1.0 - lift)
        tendon = (side * 1.1, -0.6), (side * 0.9 * build.neck, -13.0)
        bumps += np.float32(0.75 * lean) * _ridge(view, clavicle, 0.85)
        bumps -= np.float32(0.45 * lean) * _ridge(view, ((side * 4.5, -1.6), (side * 8.5, -2.2 - lift)), 1.3)
        bumps += np.float32(0.5 * lean) * _ridge(view, tendon, 0.9)
        bumps += np.float32(0.45 * lean) * _ridge(view, ((side * 1.0, 24.0), (side * 11.0, 35.0)), 1.4)
    bumps -= np.float32(1.1 * (0.4 + 0.6 * lean)) * np.exp(-((x / 1.3) ** 2) - ((y + 0.3) / 1.2) ** 2)
    bumps -= np.float32(0.22 * lean) * np.exp(-((x / 1.2) ** 2)) * _between(y, 25, 46)
    bumps -= np.float32(0.2 * lean) * np.exp(-((x / 1.2) ** 2)) * _between(y, 3, 20)
    bumps -= _navel(x, y)
    for height, deep, bend in build.folds:
        bumps -= np.float32(deep) * np.exp(-(((y - np.float32(height) + np.float32(bend) * x * x) / 0.6) ** 2))
    return np.asarray(bumps, np.float32)


def _navel(x: Plane, y: Plane) -> Plane:
    distance = np.sqrt((x / 1.0) ** 2 + ((y - NAVEL) / 0.75) ** 2)
    return np.asarray(1.3 * np.exp(-(distance**4)) - 0.1 * np.exp(-(((distance - 1.7) / 0.5) ** 2)), np.float32)


def _between(y: Plane, low: float, high: float) -> Plane:
    return np.asarray(1 / (1 + np.exp(low - y)) / (1 + np.exp(y - high)), np.float32)


def _ridge(view: View, line: tuple[Sequence[float], Sequence[float]], wide: float) -> Plane:
    """1 on a line, falling off over ``wide`` cm, weaker towards its ends."""
    along, apart = along_and_apart(view, *line)
    return np.asarray(np.exp(-((apart / np.float32(wide)) ** 2)) * (0.35 + 2.6 * along * (1 - along)), np.float32)
