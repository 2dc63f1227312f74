"""The body in an MRI phantom: chest with heart, liver, vessels and ribs, breasts with skin, fat, glands and vessels.

Each tissue is a share of every voxel, 0 to 1, so that edges are as soft as partial volumes make them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from training.phantoms.mri_grid import Grid, Point
from training.phantoms.texture import Field, drawn

Shares = Mapping[str, Field]
TISSUES = ("skin", "fat", "gland", "muscle", "lung", "heart", "liver", "vessel", "node", "cyst")
DENSITY = (0.04, 0.5)  # of a breast that is gland
SOFT = 0.7  # mm over which one tissue passes into the next


@dataclass(frozen=True)
class Ellipsoid:
    """Half axes and middle, mm."""

    centre: Point
    radii: Point

    def inward(self, at: tuple[Field, Field, Field]) -> Field:
        """About how many mm each point lies inside the surface, negative outside."""
        parts = [(line - middle) / radius for line, middle, radius in zip(at, self.centre, self.radii, strict=True)]
        norm = np.sqrt(parts[0] ** 2 + parts[1] ** 2 + parts[2] ** 2)
        steep = sum((part / radius) ** 2 for part, radius in zip(parts, self.radii, strict=True))
        slope = np.sqrt(steep) / np.maximum(norm, 1e-3)
        return np.asarray((1 - norm) / np.maximum(slope, 1 / max(self.radii)), np.float32)


@dataclass(frozen=True)
class Woman:
    """One body, whatever the grid it is imaged on; lengths in mm.

    Attributes:
        torso: skin of the chest.
        cage: outer surface of the chest wall's muscles.
        breasts: right and left; the nipple is at the front of each.
        heart, liver: organs.
        muscle: thickness of the chest wall.
        skin: thickness of the skin.
        density: share of each breast that is gland.
        slope: how far the chest lies further back for each mm towards the head.
    """

    torso: Ellipsoid
    cage: Ellipsoid
    breasts: tuple[Ellipsoid, Ellipsoid]
    heart: Ellipsoid
    liver: Ellipsoid
    muscle: float
    skin: float
    density: float
    slope: float

    def upright(self, grid: Grid) -> tuple[Field, Field, Field]:
        """Coordinates of the voxels in a body whose chest does not slope."""
        x, y, z = grid.coordinates()
        return x, np.asarray(y - self.slope * z, np.float32), z


def woman(rng: np.random.Generator) -> Woman:
    """Draw a body, prone: the breasts hang to the front."""
    wide, deep = drawn(rng, (160, 200)), drawn(rng, (112, 138))
    fat = drawn(rng, (6, 24))
    torso = Ellipsoid((0, deep, 0), (wide, deep, 700))
    cage = Ellipsoid((0, deep + fat * 0.3, 0), (wide - 1.3 * fat, deep - fat * 0.7, 700))
    apart, size = drawn(rng, (0.42, 0.56)) * wide, drawn(rng, (0.85, 1.15))
    length = drawn(rng, (60, 115))
    breasts = tuple(_breast(side * apart, size, length, torso, rng) for side in (-1, 1))
    base = drawn(rng, (-70, 10))
    heart = Ellipsoid((drawn(rng, (10, 35)), 0.85 * deep, base + 50), tuple(rng.uniform((42, 32, 40), (60, 46, 60))))
    liver = Ellipsoid((-0.4 * wide, 1.0 * deep, base - 55), (0.5 * wide, 0.62 * deep, drawn(rng, (60, 85))))
    return Woman(
        torso, cage, (breasts[0], breasts[1]), heart, liver, drawn(rng, (9, 18)), drawn(rng, (1.3, 2.4)),
        drawn(rng, DENSITY), drawn(rng, (0.02, 0.3)),
    )  # fmt: skip


def _breast(x: float, size: float, length: float, torso: Ellipsoid, rng: np.random.Generator) -> Ellipsoid:
    wide, deep = torso.radii[0], torso.radii[1]
    surface = torso.centre[1] - deep * np.sqrt(1 - (x / wide) ** 2)
    across, high = size * drawn(rng, (54, 70)), size * drawn(rng, (58, 76))
    reach = length * drawn(rng, (0.93, 1.07)) + 12
    return Ellipsoid((x, float(surface) + 12, drawn(rng, (-8, 8))), (across, reach, high))


@dataclass(frozen=True, eq=False)
class Body:
    """A woman on a grid.

    Attributes:
        shares: of each of `TISSUES` in every voxel; what is missing to 1 is air.
        depth: mm below the skin, negative in air.
        breast: mm inside the nearer breast and in front of the chest wall, negative elsewhere.
        pulse: where blood pulsates, 0 to 1.
    """

    shares: Shares
    depth: Field
    breast: Field
    pulse: Field


def body(subject: Woman, grid: Grid, rng: np.random.Generator) -> Body:
    """Fill the grid with what there is of the woman."""
    at = subject.upright(grid)
    each = [_mound(one, at) for one in subject.breasts]
    mounds = np.maximum(each[0], each[1])
    wander = 1.6 * grid.noise(rng, 14.0)
    depth = joined(subject.torso.inward(at), mounds, 14.0) + wander
    cage = subject.cage.inward(at) + 1.5 * grid.noise(rng, 18.0) + _pectoral(at)
    breast = np.asarray(np.minimum(np.minimum(mounds + wander, depth), -cage - 2), np.float32)
    layers = _layers(subject, (depth, cage, breast), grid, rng)
    organs = _organs(subject, cage, grid, rng)
    shares = _stacked(depth, layers, organs)
    return Body(shares, depth, breast, np.asarray(shares["heart"] + 0.5 * organs["vessel"] * (cage > 0), np.float32))


def _pectoral(at: tuple[Field, Field, Field]) -> Field:
    """How many mm further forward the chest wall's muscles reach: more towards the armpits."""
    beside = np.exp(-(((np.abs(at[0]) - 95) / 55) ** 2) / 2)
    return np.asarray(0.16 * np.clip(at[2] + 10, 0, 80) * beside, np.float32)


def _mound(one: Ellipsoid, at: tuple[Field, Field, Field]) -> Field:
    """mm inside a breast with its nipple: rounder below, running out flatter towards the collar bone."""
    x, y, z = one.centre
    across, reach, high = one.radii
    above = Ellipsoid((x, y, z + 0.55 * high), (0.8 * across, 0.55 * reach, 0.85 * high))
    return joined(one.inward(at) + _nipple(one, at), above.inward(at), 14.0)


def _nipple(one: Ellipsoid, at: tuple[Field, Field, Field]) -> Field:
    """A bump at the front of a breast, mm."""
    tip = one.centre[1] - one.radii[1]
    away = (at[0] - one.centre[0]) ** 2 + (at[1] - tip) ** 2 + (at[2] - one.centre[2]) ** 2
    return np.asarray(6 * np.exp(-away / (2 * 5.0**2)), np.float32)


def joined(one: Field, other: Field, round_off: float) -> Field:
    """Inside of either, the crease between them rounded off over some mm."""
    mixed = np.clip(0.5 + 0.5 * (one - other) / round_off, 0, 1)
    return np.asarray(other + (one - other) * mixed + round_off * mixed * (1 - mixed) * 0.6, np.float32)


def step(inward: Field, soft: float = SOFT) -> Field:
    """0 outside, 1 inside, smooth over ``soft`` mm."""
    return np.asarray(1 / (1 + np.exp(np.clip(-inward / soft, -30, 30))), np.float32)


def _layers(
    subject: Woman, inward: tuple[Field, Field, Field], grid: Grid, rng: np.random.Generator
) -> dict[str, Field]:
    depth, cage, breast = inward
    muscle = step(cage) * step(subject.muscle - cage + 2 * grid.noise(rng, 8.0), 1.5)
    return {
        "skin": 1 - step(depth - subject.skin, 0.5),
        "muscle": muscle,
        "lung": step(cage - subject.muscle - 1, 1.5),
        "gland": _gland(subject, depth, breast, (grid, rng)),
        "cyst": _balls(subject, breast, (grid, rng), int(rng.integers(0, 4))),
    }


def _gland(subject: Woman, depth: Field, breast: Field, drawing: tuple[Grid, np.random.Generator]) -> Field:
    """Cones behind the nipples, frayed into strands, some mm of fat over them; of the wanted density."""
    grid, rng = drawing
    x, y, z = subject.upright(grid)
    score = np.full(grid.shape, -9, np.float32)
    for one in subject.breasts:
        across, along, up = (part - middle for part, middle in zip((x, y, z), one.centre, strict=True))
        front = (along + 0.62 * one.radii[1]) / (0.55 * one.radii[1])
        out = ((across / (0.62 * one.radii[0])) ** 2 + (up / (0.6 * one.radii[2])) ** 2) + front**2
        np.maximum(score, -np.sqrt(out), out=score)
    # Strands run from front to back, so noise is longer along y.
    for strength, width in (((0.3, 0.55), 7.0), ((0.2, 0.45), 2.8), ((0.08, 0.3), 1.4)):
        score += drawn(rng, strength) * grid.noise(rng, (width, 1.9 * width, width))
    score -= 2.0 * np.exp(-np.clip(depth, 0, None) / rng.uniform(3, 8))
    room = breast > 2
    limit = np.quantile(score[room][::7], 1 - subject.density) if room.any() else np.inf
    return np.asarray(step(score - np.float32(limit), 0.12) * step(breast - 2, 1.0), np.float32)


def _balls(subject: Woman, breast: Field, drawing: tuple[Grid, np.random.Generator], count: int) -> Field:
    """Cysts: round, sharp, anywhere in the breasts."""
    grid, rng = drawing
    total = np.zeros(grid.shape, np.float32)
    deep = np.flatnonzero(breast > 8)
    for _ in range(count if deep.size else 0):
        middle = np.unravel_index(int(rng.choice(deep)), grid.shape)
        radius = drawn(rng, (2.5, 7.0))
        lines = [
            (np.arange(side) - start) * mm for side, start, mm in zip(grid.shape, middle, grid.spacing, strict=True)
        ]
        near = np.sqrt(lines[0][:, None, None] ** 2 + lines[1][:, None] ** 2 + lines[2] ** 2)
        np.maximum(total, step(np.asarray(radius - near, np.float32)), out=total)
    return total


def _organs(subject: Woman, cage: Field, grid: Grid, rng: np.random.Generator) -> dict[str, Field]:
    """Heart, liver, large vessels, small ones of chest and breasts, lymph nodes of the armpit."""
    at = subject.upright(grid)
    inside = step(cage - subject.muscle, 1.0)
    rough = 3 * grid.noise(rng, 12.0)
    heart = step(subject.heart.inward(at) + rough, 1.2) * inside
    deep = subject.torso.centre[1]
    aorta = Ellipsoid((drawn(rng, (14, 28)), deep + 45, 0), (11, 11, 700))
    liver = step(subject.liver.inward(at) + rough, 1.2) * inside * (1 - heart)
    vessels = np.maximum(step(aorta.inward(at)) * inside, _tubes(subject, grid, rng))
    return {"heart": heart, "liver": liver, "vessel": vessels, "node": _nodes(subject, grid, rng)}


def _nodes(subject: Woman, grid: Grid, rng: np.random.Generator) -> Field:
    """Beans with a fatty hilum beside the chest wall: they enhance and are no tumour."""
    at = subject.upright(grid)
    total = np.zeros(grid.shape, np.float32)
    for _ in range(rng.integers(0, 4)):
        side = int(rng.choice([-1, 1]))
        wide, deep = subject.torso.radii[0], subject.torso.radii[1]
        x = side * wide * rng.uniform(0.72, 0.86)
        y = deep - deep * np.sqrt(1 - (x / wide) ** 2) + rng.uniform(9, 16)
        place = (x, float(y), drawn(rng, (20, 70)))
        one = Ellipsoid(place, tuple(rng.uniform((3, 3, 4), (5, 5, 8)))).inward(at)
        total = np.maximum(total, step(one) * step(2.6 - one, 0.5))
    return total


def _tubes(subject: Woman, grid: Grid, rng: np.random.Generator) -> Field:
    """Winding vessels: internal mammary ones along the breastbone, others from the chest into the breasts."""
    total = np.zeros(grid.shape, np.float32)
    for radius in (0.6, 1.1):
        lines = [_into_breast(one, rng) for one in subject.breasts for _ in range(rng.integers(2, 6))]
        lines += [_beside_breastbone(subject, side, rng) for side in (-1, 1) if radius > 1]
        points = np.concatenate(lines)
        points[:, 1] += subject.slope * points[:, 2]
        total = np.maximum(total, _traced(points, radius, grid))
    return total


def _into_breast(one: Ellipsoid, rng: np.random.Generator) -> NDArray[np.float64]:
    """Points (x, y, z) from the side of a breast's base towards its front."""
    angle = rng.uniform(0, 2 * np.pi)
    away = np.array([np.cos(angle), 0, np.sin(angle)]) * one.radii * rng.uniform(0.5, 0.95)
    start = np.asarray(one.centre) + away
    end = np.asarray(one.centre) + away * rng.uniform(0.1, 0.5) - [0, one.radii[1] * rng.uniform(0.5, 0.85), 0]
    steps = np.linspace(0, 1, 320)[:, None]
    bow = np.sin(np.pi * steps) * rng.normal(0, 12, 3)
    swing = sum(np.sin(np.pi * steps * k + rng.uniform(0, 6, 3)) * rng.normal(0, 12 / k, 3) for k in (3, 5, 8, 13))
    return np.asarray(start + (end - start) * steps + bow + swing)


def _beside_breastbone(subject: Woman, side: int, rng: np.random.Generator) -> NDArray[np.float64]:
    front = subject.cage.centre[1] - subject.cage.radii[1] + subject.muscle
    steps = np.linspace(-120, 120, 480)
    wave = 2 * np.sin(steps / 17 + rng.uniform(0, 6))
    return np.stack([side * (15 + wave), np.full_like(steps, front + 2), steps], axis=1)


def _traced(points: NDArray[np.float64], radius: float, grid: Grid) -> Field:
    """A tube of ``radius`` mm around points that lie closer together than that; thinner than a voxel is fainter."""
    index = np.stack(grid.index(points.T), axis=1).round().astype(int)
    index = index[((index >= 0) & (index < grid.shape)).all(axis=1)]
    mark = np.zeros(grid.shape, np.float32)
    mark[tuple(index.T)] = 1
    sigma = [max(radius / mm, 0.35) for mm in grid.spacing]
    spread = gaussian_filter(mark, sigma, truncate=2.5)
    # A straight line of marks, one a voxel, blurred across has this height.
    peak = min(1.0, radius / grid.spacing[1]) / (2 * np.pi * sigma[1] * sigma[2])
    return np.asarray(np.clip(spread / peak * min(1.0, 1.6 * radius / grid.spacing[1]), 0, 1), np.float32)


def _stacked(depth: Field, layers: Mapping[str, Field], organs: Mapping[str, Field]) -> dict[str, Field]:
    """Shares that sum to no more than 1: what comes later lies over what came before."""
    inside, under_skin = step(depth, 0.5), step(depth - 4, 0.7)
    order = ("gland", "cyst", "muscle", "lung", "node", "liver", "heart", "vessel", "skin")
    shares: dict[str, Field] = {"fat": inside.copy()}
    for name in order:
        cover = organs[name] * under_skin if name in organs else layers[name]
        for under in shares.values():
            under *= 1 - cover
        shares[name] = np.asarray(inside * cover, np.float32)
    return shares
