"""What is around the body in a photograph phantom: backdrop or clutter, hair over the shoulders, trousers or shorts.

Colours are linear reflectances 0 to 1; ``z`` as in `training.phantoms.photo_view`, behind the body below 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from training.phantoms.photo_arms import Node, limb
from training.phantoms.photo_body import Build, midline
from training.phantoms.photo_skin import Colour, mottle
from training.phantoms.photo_view import Plane, Surface, View

# Of all phantoms.
CLUTTERED, CURTAINED, HAIRY, DRESSED = 0.4, 0.12, 0.25, 0.75
BACKDROPS = ((0.05, 0.12, 0.35), (0.10, 0.30, 0.45), (0.08, 0.25, 0.12), (0.5, 0.5, 0.5), (0.02, 0.02, 0.02))
CLOTHS = ((0.02, 0.02, 0.03), (0.03, 0.05, 0.14), (0.5, 0.5, 0.5), (0.15, 0.03, 0.04), (0.25, 0.22, 0.18))


@dataclass(frozen=True, eq=False)
class Layer:
    """Something seen: its surface and its colour."""

    surface: Surface
    colour: Colour


def drawn_colour(rng: np.random.Generator) -> Colour:
    """Any colour, dull ones more often."""
    grey = rng.uniform(0.02, 0.75)
    return np.asarray(np.clip(grey * np.exp(rng.normal(0, 0.35, 3)), 0.01, 0.9), np.float32)


def background(view: View, rng: np.random.Generator) -> Layer:
    """The room behind: a plain backdrop, a curtain, or a wall with things on it and before it."""
    size, wall = view.size, -float(rng.uniform(18, 160))
    kind = rng.random()
    colour = np.full((*size, 3), _wall_colour(kind, rng), np.float32)
    z = np.full(size, wall, np.float32)
    if kind < CLUTTERED:
        _furnish(colour, z, view, rng)
    elif kind < CLUTTERED + CURTAINED:
        folds = np.sin(view.x / np.float32(rng.uniform(0.8, 2.5)) + mottle(size, 12 * view.scale, rng))
        z += 1.5 * folds
        colour = colour * (1 + 0.25 * folds)[..., None]
    colour = colour * (1 + np.float32(0.05) * mottle(size, 0.4 * max(size), rng))[..., None]
    colour *= 1 + np.float32(rng.uniform(0, 0.03)) * mottle(size, 2.0, rng)[..., None]
    return Layer(Surface(z, np.full(size, 1e3, np.float32)), np.clip(colour, 0, 1).astype(np.float32))


def _wall_colour(kind: float, rng: np.random.Generator) -> Colour:
    if kind >= CLUTTERED + CURTAINED and rng.random() < 0.6:
        backdrop = np.array(BACKDROPS[int(rng.integers(len(BACKDROPS)))], np.float32)
        return np.asarray(backdrop * np.exp(rng.normal(0, 0.25)), np.float32)
    return drawn_colour(rng)


def _furnish(colour: Colour, z: Plane, view: View, rng: np.random.Generator) -> None:
    """Rectangles in front of the wall: doors, shelves, frames, switches; some in a colour like skin."""
    height, width = view.size
    for _ in range(int(rng.integers(3, 14))):
        wide, tall = (rng.uniform(0.03, 0.5, 2) * (width, height)).astype(int)
        left, top = int(rng.uniform(-0.2, 1) * width), int(rng.uniform(-0.2, 1) * height)
        rows, columns = slice(max(0, top), max(0, top + tall)), slice(max(0, left), max(0, left + wide))
        tone = np.array([0.45, 0.27, 0.18], np.float32) * rng.uniform(0.3, 1.5) if rng.random() < 0.2 else None
        shade = np.linspace(1, rng.uniform(0.6, 1.2), max(1, colour[rows, columns].shape[1]), dtype=np.float32)
        patch = colour[rows, columns]
        patch[:] = (drawn_colour(rng) if tone is None else tone) * shade[:, None]
        z[rows, columns] = np.minimum(z[rows, columns] + np.float32(rng.uniform(0, 25)), -14)
        if rng.random() < 0.5 and patch.size:
            frame = tuple(map(float, drawn_colour(rng)))
            corner = int(left + wide), int(top + tall)
            cv2.rectangle(colour, (left, top), corner, frame, max(1, round(rng.uniform(0.2, 1.2) * view.scale)))


def hair(build: Build, view: View, rng: np.random.Generator) -> Layer | None:
    """Long hair before one shoulder or both, if there is any."""
    if rng.random() >= HAIRY:
        return None
    z, rim = np.full(view.size, -60, np.float32), np.full(view.size, -60, np.float32)
    for side in (-1, 1) if rng.random() < 0.5 else (int(rng.choice((-1, 1))),):
        end, out = rng.uniform(0, 13), rng.uniform(6.5, 10.5)
        for _ in range(5):
            lock = limb(_strand(side, build, end, out, rng), view)
            z, rim = np.maximum(z, lock.z), np.maximum(rim, lock.rim)
    wisps = mottle((max(2, view.size[0] // 12), view.size[1]), 1.6, rng)
    wisps = cv2.resize(wisps, view.size[::-1], interpolation=cv2.INTER_CUBIC)
    shade = np.array([0.12, 0.08, 0.05], np.float32) * np.float32(np.exp(rng.normal(-0.6, 0.9)))
    return Layer(
        Surface(z + np.float32(0.3) * wisps, rim),
        np.clip(shade * np.exp(0.3 * wisps)[..., None], 0, 0.8).astype(np.float32),
    )


def _strand(side: int, build: Build, end: float, out: float, rng: np.random.Generator) -> list[Node]:
    """One lock of hair from beside the neck to the chest."""
    tip, apart = end + rng.normal(0, 1.5), rng.normal(0, 0.9)
    return [
        (side * (build.neck + 0.5 * apart), -16.0, 5.0, 2.2),
        (side * (build.neck + 1.0 + 0.7 * apart), -4.0, 6.0, 1.7),
        (side * (0.5 * (build.neck + 1 + out) + 1.3 * apart), 0.5 * (tip - 4), 0.7 * build.depth, 1.2),
        (side * (out + apart), max(tip, -3.0), 0.85 * build.depth, 0.35),
    ]


def trousers(build: Build, body: Surface, view: View, rng: np.random.Generator) -> Layer | None:
    """Trousers, shorts or underwear on the torso ``body`` below a waistband, if there are any."""
    if rng.random() >= DRESSED:
        return None
    size, across = view.size, midline(build, view)
    top = rng.uniform(44, 55) + np.float32(rng.uniform(-0.006, 0.006)) * across**2
    below = view.y - top
    cloth = np.array(CLOTHS[int(rng.integers(len(CLOTHS)))], np.float32) if rng.random() < 0.6 else drawn_colour(rng)
    folds = mottle(size, 2.2 * view.scale, rng)
    band = np.where((below > 0) & (below < rng.uniform(1.5, 4)), np.float32(rng.uniform(0.6, 1.5)), np.float32(1))
    colour = cloth * (band * (1 + 0.05 * folds + 0.04 * mottle(size, 2.0, rng)))[..., None]
    z = body.z + np.float32(0.4) + np.float32(0.25) * folds
    rim = np.minimum(below, body.rim + np.float32(0.5))
    return Layer(Surface(np.asarray(z, np.float32), np.asarray(rim, np.float32)), np.clip(colour, 0, 1))
