"""Enhancing lesions of an MRI phantom: where, what shape, and how they take up and give back contrast medium.

Words and limits of kinetic curves are BI-RADS's: within the first minutes slow is less than 50 %, medium up to 100 %,
fast more than 100 % above the signal before contrast; after that persistent rises by 10 % or more of what was reached,
a plateau stays within 10 %, washout falls by 10 % or more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from training.phantoms.mri_grid import Grid
from training.phantoms.texture import Field, drawn

Kind = Literal["benign", "malignant", "non_mass"]
KINDS: tuple[Kind, ...] = ("benign", "malignant", "non_mass")
Curve = Literal["persistent", "plateau", "washout"]
Span = tuple[float, float]
Box = tuple[slice, slice, slice]
# Change from the first to the last time point after contrast, as a share of the signal at the first.
LATER: Mapping[Curve, Span] = {"persistent": (0.1, 0.35), "plateau": (-0.09, 0.09), "washout": (-0.35, -0.1)}
WAVES = 36


@dataclass(frozen=True)
class Look:
    """How a kind of lesion is drawn.

    Attributes:
        radius: mean of the half axes, mm.
        aspect: longest over shortest half axis.
        roughness: of the surface, share of the radius.
        waves: highest number of waves around it.
        first: enhancement at the first time point over the signal before, share of it.
        curves: how likely each of `LATER` is, in its order.
        rim: how much weaker the core enhances than the rim, share.
        patchy: deviation of the enhancement inside, share of it.
    """

    radius: Span
    aspect: Span
    roughness: Span
    waves: float
    first: Span
    curves: tuple[float, float, float]
    rim: Span
    patchy: Span


LOOKS: Mapping[Kind, Look] = {
    "benign": Look((3.5, 12), (1.0, 1.7), (0.0, 0.06), 3, (0.5, 1.3), (0.8, 0.17, 0.03), (0.0, 0.1), (0.03, 0.08)),
    "malignant": Look((4, 18), (1.0, 1.7), (0.1, 0.32), 9, (1.0, 2.6), (0.1, 0.35, 0.55), (0.0, 0.75), (0.06, 0.2)),
    "non_mass": Look((8, 22), (1.4, 2.4), (0.1, 0.28), 6, (0.6, 1.6), (0.35, 0.4, 0.25), (0.0, 0.1), (0.25, 0.4)),
}


@dataclass(frozen=True, eq=False)
class Lesion:
    """One lesion on the grid.

    Attributes:
        kind: of `KINDS`.
        curve: of `LATER`.
        first: enhancement at the first time point after contrast, share of the signal before.
        later: change from the first to the last time point, share of the signal at the first.
        box: the voxels that the arrays below cover.
        mask: bool, its exact extent.
        share: 0 to 1, how much of each voxel it fills.
        strength: how much each place takes up, 1 on average over ``mask``.
        centre: (depth, row, column).
    """

    kind: Kind
    curve: Curve
    first: float
    later: float
    box: Box
    mask: NDArray[np.bool_]
    share: Field
    strength: Field
    centre: tuple[int, int, int]


def placed(breast: Field, free: NDArray[np.bool_], grid: Grid, kind: Kind, rng: np.random.Generator) -> Lesion | None:
    """A lesion of ``kind`` in the breast, clear of what is not ``free``; None where there is no room for one.

    ``breast`` is mm from the breast's edge, negative outside. A lesion keeps within it but for its outermost roughness.
    """
    look = LOOKS[kind]
    radius = min(drawn(rng, look.radius), 0.8 * float(breast.max()))
    candidates = np.flatnonzero((breast > 0.9 * radius) & free)
    if radius < look.radius[0] or not candidates.size:
        return None
    for _ in range(8):
        centre = np.unravel_index(int(rng.choice(candidates)), grid.shape)
        lesion = _drawn(kind, radius, (int(centre[0]), int(centre[1]), int(centre[2])), (grid, rng))
        inside = lesion.mask & (breast[lesion.box] > 0)
        if inside.sum() >= 6 and (free[lesion.box] | ~lesion.mask).all():
            return _kept(lesion, inside)
    return None


def _kept(lesion: Lesion, inside: NDArray[np.bool_]) -> Lesion:
    strength = lesion.strength / max(float(lesion.strength[inside].mean()), 1e-6)
    share = np.where(inside, lesion.share, lesion.share * ~lesion.mask)
    return Lesion(
        lesion.kind, lesion.curve, lesion.first, lesion.later, lesion.box, inside, np.asarray(share, np.float32),
        np.asarray(strength, np.float32), lesion.centre,
    )  # fmt: skip


def _drawn(
    kind: Kind, radius: float, centre: tuple[int, int, int], drawing: tuple[Grid, np.random.Generator]
) -> Lesion:
    grid, rng = drawing
    look = LOOKS[kind]
    stretch = _half_axes(look, rng)
    box, away = _around(centre, radius * 1.75 * stretch.max(), grid)
    turned = np.tensordot(_rotation(rng) / stretch[:, None], np.stack(away), axes=1) / radius
    distance = np.sqrt((turned**2).sum(axis=0))
    surface = _surface(turned / np.maximum(distance, 1e-3), drawn(rng, look.roughness), look.waves, rng)
    inward = (surface - distance) * radius
    strength = _uptake(distance / surface, look, turned, rng)
    if kind == "non_mass":
        inward = np.minimum(inward, _clumps(turned, rng) * radius / 3)
    share = 1 / (1 + np.exp(np.clip(-inward / 0.6, -30, 30)))
    share = np.asarray(np.where(share < 0.02, 0, share), np.float32)
    curve = tuple(LATER)[rng.choice(3, p=look.curves)]
    first, later = drawn(rng, look.first), drawn(rng, LATER[curve])
    return Lesion(kind, curve, first, later, box, share >= 0.5, share, strength, centre)


def _half_axes(look: Look, rng: np.random.Generator) -> NDArray[np.float64]:
    """Three half axes around 1, whose product is 1."""
    longest = drawn(rng, look.aspect)
    axes = np.array([1.0, longest ** rng.uniform(0, 1), longest])
    return np.asarray(axes / np.prod(axes) ** (1 / 3))


def _rotation(rng: np.random.Generator) -> NDArray[np.float64]:
    return np.asarray(np.linalg.qr(rng.standard_normal((3, 3)))[0])


def _around(centre: tuple[int, int, int], reach: float, grid: Grid) -> tuple[Box, tuple[Field, ...]]:
    """The box of ``reach`` mm around a voxel, cut at the grid's edge, and mm from the centre along each axis."""
    parts, lines = [], []
    for middle, side, mm in zip(centre, grid.shape, grid.spacing, strict=True):
        half = int(np.ceil(reach / mm)) + 1
        parts.append(slice(max(middle - half, 0), min(middle + half + 1, side)))
        lines.append((np.arange(parts[-1].start, parts[-1].stop) - middle) * mm)
    grids = np.meshgrid(*lines, indexing="ij")
    return (parts[0], parts[1], parts[2]), tuple(np.asarray(one, np.float32) for one in grids)


def _surface(direction: Field, roughness: float, waves: float, rng: np.random.Generator) -> Field:
    """Radius in each direction, about 1: many plane waves on the sphere."""
    total = np.zeros(direction.shape[1:], np.float32)
    for _ in range(WAVES):
        pitch = rng.uniform(1.5, waves)
        along = rng.standard_normal(3)
        wave = np.tensordot(along / np.linalg.norm(along) * pitch, direction, axes=1)
        total += np.cos(wave + rng.uniform(0, 2 * np.pi)) / np.sqrt(pitch)
    return np.asarray(np.clip(1 + roughness * 1.6 * total / np.sqrt(WAVES), 0.45, 1.6), np.float32)


def _uptake(out: Field, look: Look, turned: Field, rng: np.random.Generator) -> Field:
    """More at the rim where there is one, patchy all over; 1 on average follows when it is placed."""
    core = 1 - drawn(rng, look.rim) / (1 + np.exp(np.clip((out - rng.uniform(0.35, 0.7)) / 0.07, -30, 30)))
    return np.asarray(core * np.clip(1 + drawn(rng, look.patchy) * _waves(turned, 6, rng), 0.2, 2), np.float32)


def _clumps(turned: Field, rng: np.random.Generator) -> Field:
    """1 in clumps, less than 0 between them: non-mass enhancement is no one lump."""
    return np.asarray(np.clip(0.55 + 1.1 * _waves(turned, 7, rng), -1, 1), np.float32)


def _waves(turned: Field, pitch: float, rng: np.random.Generator) -> Field:
    """Noise of about unit deviation inside a lesion of radius 1."""
    total = np.zeros(turned.shape[1:], np.float32)
    for _ in range(WAVES):
        total += np.cos(np.tensordot(rng.normal(0, pitch, 3), turned, axes=1) + rng.uniform(0, 2 * np.pi))
    return np.asarray(total * np.sqrt(2 / WAVES), np.float32)


def enhancement(lesion: Lesion, progress: float) -> float:
    """Signal over that before contrast, less 1, averaged over the lesion; ``progress`` is 0 at the first, 1 at the last
    time point after contrast."""
    return (1 + lesion.first) * (1 + lesion.later * progress) - 1
