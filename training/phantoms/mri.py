"""Breast MRI phantoms: a dynamic series before and after contrast, drawn, seeded, with the exact truth of each lesion.

Both breasts axially or one sagittally. Heart, vessels, nodes, skin and glands enhance, too, and are no lesion. They are
no evidence of quality: a network that does well on them has shown nothing about patients.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from training.phantoms.mri_body import Body, body, woman
from training.phantoms.mri_grid import PLANES, Grid, Plane
from training.phantoms.mri_lesions import KINDS, Kind, Lesion, enhancement, placed
from training.phantoms.mri_scanner import Counts, measured, moved, scanner, unsaturated
from training.phantoms.texture import Field, check_choice, drawn

Span = tuple[float, float]
SMALLEST = 8  # voxels along any axis
THICKER = 1.2  # slices than pixels are wide, at least
REFERENCE = 1  # the time point on whose voxels lesions are outlined: the first after contrast
# Signal before contrast, and enhancement at the first and at the last time point after it, as shares of that.
SIGNALS: Mapping[str, tuple[Span, Span, Span]] = {
    "skin": ((0.28, 0.45), (0.1, 0.5), (0.2, 0.6)),
    "gland": ((0.26, 0.42), (0.03, 0.55), (0.1, 0.9)),
    "muscle": ((0.2, 0.32), (0.05, 0.2), (0.1, 0.25)),
    "lung": ((0.02, 0.06), (0.0, 0.1), (0.0, 0.1)),
    "heart": ((0.22, 0.34), (1.6, 3.0), (1.1, 2.0)),
    "liver": ((0.3, 0.45), (0.3, 0.8), (0.6, 1.0)),
    "vessel": ((0.22, 0.34), (1.4, 2.8), (1.0, 1.9)),
    "node": ((0.24, 0.34), (0.6, 1.5), (0.6, 1.5)),
    "cyst": ((0.08, 0.2), (0.0, 0.0), (0.0, 0.0)),
}
FAT_SATURATED, FAT_PLAIN, PLAIN = (0.06, 0.26), (0.7, 1.0), 0.12  # signal of fat; how likely it is not saturated
KIND_ODDS = (0.2, 0.6, 0.2)  # of KINDS
COUNT_ODDS = (0.1, 0.65, 0.18, 0.07)  # of 0, 1, 2, 3 lesions


@dataclass(frozen=True)
class Wish:
    """What a phantom shall be; what is left out is drawn.

    Attributes:
        plane: ``axial`` with both breasts or ``sagittal`` with one.
        shape: (depth, height, width) in voxels.
        spacing: mm between slices, rows and columns.
        lesions: how many, 0 to 4; there may be fewer where they have no room.
        kind: of all lesions.
        phases: time points after contrast, 1 to 8.
    """

    plane: Plane | None = None
    shape: tuple[int, int, int] = (64, 192, 192)
    spacing: tuple[float, float, float] | None = None
    lesions: int | None = None
    kind: Kind | None = None
    phases: int = 3


@dataclass(frozen=True, eq=False)
class Mri:
    """A drawn dynamic series and its truth.

    Attributes:
        phases: uint16 (depth, height, width) each, before contrast, then after it.
        labels: uint8 (depth, height, width), 0, then 1, 2, ... for each of ``lesions``; outlined on the first time
            point after contrast, from which the others may have moved by less than a voxel.
        lesions: what was drawn.
        grid: where the voxels lie.
        metadata: what it is and how it was drawn, as text; always holds ``phantom: yes``.
    """

    phases: tuple[Counts, ...]
    labels: NDArray[np.uint8]
    lesions: tuple[Lesion, ...]
    grid: Grid
    metadata: Mapping[str, str] = field(default_factory=dict)


def mri_phantom(seed: int, wish: Wish | None = None) -> Mri:
    """Draw one phantom; equal arguments give equal voxels.

    Raises:
        ValueError: for a shape, a spacing or a number of lesions or time points that cannot be drawn.
    """
    wish = wish or Wish()
    _check(wish)
    rng = np.random.default_rng(seed)
    plane = wish.plane or PLANES[rng.integers(len(PLANES))]
    subject = woman(rng)
    grid = _grid(wish, plane, subject.breasts[int(rng.integers(2))].centre[0], rng)
    within = body(subject, grid, rng)
    lesions = _lesions(wish, within, grid, rng)
    labels = _labels(lesions, grid)
    phases = _series(within, lesions, (grid, wish.phases), rng)
    facts = {"plane": plane, "seed": str(seed), "gland": f"{subject.density:.2f}"}
    return Mri(phases, labels, lesions, grid, _metadata(lesions, facts))


def _check(wish: Wish) -> None:
    check_choice("plane", wish.plane, PLANES)
    check_choice("kind", wish.kind, KINDS)
    if min(wish.shape) < SMALLEST:
        raise ValueError(f"Found shape {wish.shape}; wanted {SMALLEST} voxels each way or more. Give a larger one.")
    if wish.spacing is not None and min(wish.spacing) <= 0:
        raise ValueError(f"Found spacing {wish.spacing}; wanted mm above 0. Mend it.")
    if wish.lesions is not None and not 0 <= wish.lesions <= 4:
        raise ValueError(f"Found {wish.lesions} lesions; wanted 0 to 4. Give fewer.")
    if not 1 <= wish.phases <= 8:
        raise ValueError(f"Found {wish.phases} time points after contrast; wanted 1 to 8. Give another number.")


def _grid(wish: Wish, plane: Plane, breast: float, rng: np.random.Generator) -> Grid:
    """Both breasts and the chest, or one breast; slices thicker than pixels."""
    depth, height, width = wish.shape
    wide = drawn(rng, (320, 380)) if plane == "axial" else drawn(rng, (185, 230))
    thick = drawn(rng, (75, 150)) if plane == "axial" else drawn(rng, (95, 140))
    pixel = wide / width
    spacing = wish.spacing or (max(thick / depth, THICKER * pixel), pixel, pixel)
    front = drawn(rng, (-140, -125))
    x = 0.0 if plane == "axial" else breast
    y = front + (spacing[1] * height if plane == "axial" else spacing[2] * width) / 2
    return Grid(plane, wish.shape, spacing, (x, y, drawn(rng, (-12, 12))))


def _lesions(wish: Wish, within: Body, grid: Grid, rng: np.random.Generator) -> tuple[Lesion, ...]:
    """Lesions that neither overlap nor lie in cysts."""
    count = int(rng.choice(4, p=COUNT_ODDS)) if wish.lesions is None else wish.lesions
    free = within.shares["cyst"] < 0.02
    found: list[Lesion] = []
    for _ in range(count):
        kind = wish.kind or KINDS[rng.choice(len(KINDS), p=KIND_ODDS)]
        lesion = placed(within.breast, free, grid, kind, rng)
        if lesion is not None:
            found.append(lesion)
            free[lesion.box] &= lesion.share == 0
    return tuple(found)


def _labels(lesions: Sequence[Lesion], grid: Grid) -> NDArray[np.uint8]:
    labels = np.zeros(grid.shape, np.uint8)
    for number, lesion in enumerate(lesions, start=1):
        labels[lesion.box][lesion.mask] = number
    return labels


@dataclass(frozen=True, eq=False)
class _Tissue:
    """Signal before contrast and enhancement by tissue, and what makes them uneven."""

    before: Mapping[str, float]
    first: Mapping[str, float]
    last: Mapping[str, float]
    uneven: Mapping[str, Field]
    fat: Field
    uptake: Field


def _tissue(within: Body, grid: Grid, rng: np.random.Generator) -> _Tissue:
    levels = {name: tuple(drawn(rng, span) for span in spans) for name, spans in SIGNALS.items()}
    fine, coarse, broad = (grid.noise(rng, size) for size in (2.4, 6.0, 14.0))
    bright = drawn(rng, FAT_PLAIN if rng.random() < PLAIN else FAT_SATURATED)
    fat = (bright + 0.6 * unsaturated(within, grid, rng)) * (1 + 0.07 * fine + 0.05 * coarse)
    uneven = {
        "gland": 1 + 0.1 * np.roll(fine, 3, 0),
        "muscle": 1 + 0.16 * coarse + 0.1 * fine,
        "heart": 1 + 0.07 * coarse + 0.1 * broad,
        "liver": 1 + 0.05 * coarse,
        "lung": 1 + 5 * np.clip(fine - 1.1, 0, 2),
    }
    foci = np.clip(0.75 + drawn(rng, (0.2, 0.7)) * grid.noise(rng, 4.5), 0, 2.5)
    return _Tissue(
        {name: level[0] for name, level in levels.items()},
        {name: level[1] for name, level in levels.items()},
        {name: level[2] for name, level in levels.items()},
        {name: np.asarray(field, np.float32) for name, field in uneven.items()},
        np.asarray(fat, np.float32),
        np.asarray(foci, np.float32),
    )


def _series(
    within: Body, lesions: Sequence[Lesion], when: tuple[Grid, int], rng: np.random.Generator
) -> tuple[Counts, ...]:
    grid, phases = when
    tissue = _tissue(within, grid, rng)
    machine = scanner(within, grid, rng)
    found = []
    for phase in range(phases + 1):
        signal = _signal(within, lesions, tissue, None if phase == 0 else (phase - 1) / max(phases - 1, 1))
        still = phase == REFERENCE
        found.append(measured(signal if still else moved(signal, rng), within.pulse, grid, machine, rng))
    return tuple(found)


def _signal(within: Body, lesions: Sequence[Lesion], tissue: _Tissue, progress: float | None) -> Field:
    """Signal of every voxel before contrast, or ``progress`` (0 to 1) of the way from first to last time point."""
    total = within.shares["fat"] * tissue.fat
    for name, before in tissue.before.items():
        gain = 0.0 if progress is None else tissue.first[name] * (1 - progress) + tissue.last[name] * progress
        level = before * (1 + gain * tissue.uptake) if name == "gland" else np.float32(before * (1 + gain))
        total += within.shares[name] * level * tissue.uneven.get(name, np.float32(1))
    for lesion in lesions:
        gain = 0.0 if progress is None else enhancement(lesion, progress)
        inside = tissue.before["gland"] * (1 + gain * lesion.strength)
        total[lesion.box] += lesion.share * (inside - total[lesion.box])
    return np.asarray(total, np.float32)


def _metadata(lesions: Sequence[Lesion], facts: Mapping[str, str]) -> dict[str, str]:
    return {
        "phantom": "yes",
        "modality": "MR",
        "lesions": ", ".join(f"{one.kind} {one.curve}" for one in lesions) or "none",
        **facts,
        "note": "Drawn by Breast Cascade; no patient was ever imaged.",
    }
