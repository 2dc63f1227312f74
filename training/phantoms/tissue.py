"""The breast before the lesion: skin, fat with its septa, fibroglandular tissue, fascia and muscle, as echo levels."""

from __future__ import annotations

import cv2
import numpy as np

from training.phantoms.acoustics import Field, smooth_noise

# Depth of each lower boundary, fraction of the height: (mean, how far it wanders)
BOUNDARIES = {
    "skin": (0.04, 0.004),
    "fat": (0.22, 0.055),
    "gland": (0.60, 0.05),
    "retro": (0.70, 0.03),
    "muscle": (0.9, 0.02),
}
# Echo level in dB of each layer and of what lies behind the muscle
LEVELS = {"skin": -11.0, "fat": -26.0, "gland": -17.0, "muscle": -29.0, "deep": -42.0}
FEATHER = 2.0  # pixels over which one layer passes into the next


def breast_levels(size: tuple[int, int], rng: np.random.Generator) -> Field:
    """Echo levels in dB, float32 (height, width), of a breast without lesion."""
    depths = _boundary_depths(size, rng)
    level = _skin(size, rng)
    below = (_fat(size, rng), _gland(size, rng), _fat(size, rng) - 1, _muscle(size, rng), _deep(size, rng))
    for depth, texture in zip(depths.values(), below, strict=True):
        share = _below(size, depth, rng)
        level = (1 - share) * level + share * texture
    for name, strength in (("skin", 8.0), ("fat", 4.0), ("gland", 5.0), ("retro", 15.0), ("muscle", 9.0)):
        level += strength * _interface(size, depths[name], rng)
    return level + _contact(size, rng)


def _boundary_depths(size: tuple[int, int], rng: np.random.Generator) -> dict[str, Field]:
    """Depth in pixels of each boundary, one value per column."""
    height, width = size
    return {
        name: np.asarray(height * (mean + wander * smooth_noise(rng, (1, width), (1, width / 7))[0]), np.float32)
        for name, (mean, wander) in BOUNDARIES.items()
    }


def _below(size: tuple[int, int], depth: Field, rng: np.random.Generator) -> Field:
    """0 above a boundary, 1 below it, frayed by a few pixels as tissue is."""
    rows = np.arange(size[0], dtype=np.float32)[:, None]
    frayed = depth[None, :] + 2.5 * smooth_noise(rng, size, (5, 16))
    return np.asarray(1 / (1 + np.exp(np.clip((frayed - rows) / FEATHER, -30, 30))), np.float32)


def _skin(size: tuple[int, int], rng: np.random.Generator) -> Field:
    """Two bright bands: the probe's own echo and the dermis."""
    rows = np.arange(size[0], dtype=np.float32)[:, None] / (size[0] * BOUNDARIES["skin"][0])
    bands = 6 * np.cos(2 * np.pi * rows * 1.6)
    return np.asarray(LEVELS["skin"] + bands + 1.5 * smooth_noise(rng, size, (1.5, 25)), np.float32)


def _fat(size: tuple[int, int], rng: np.random.Generator) -> Field:
    """Dark lobules between thin bright septa, which run where a smooth field changes its sign."""
    lobules = smooth_noise(rng, size, (size[0] / 30, size[1] / 11))
    broken = np.clip(smooth_noise(rng, size, (10, 30)) + 0.6, 0, 1.6)
    septa = np.exp(-((lobules / 0.1) ** 2)) * broken
    return np.asarray(LEVELS["fat"] + 2 * smooth_noise(rng, size, (9, 26)) + lobules + 8 * septa, np.float32)


def _gland(size: tuple[int, int], rng: np.random.Generator) -> Field:
    """Bright and mottled: tilted strands with darker lobules and ducts between them."""
    strands = np.clip(_tilted(smooth_noise(rng, size, (2.4, 26)), rng), -1.2, 2.5)
    mottle = smooth_noise(rng, size, (6, 13))
    islands = np.clip(smooth_noise(rng, size, (13, 36)) - 0.5, 0, 1.4)
    return np.asarray(LEVELS["gland"] + 3.6 * strands + 2.8 * mottle - 6 * islands, np.float32)


def _muscle(size: tuple[int, int], rng: np.random.Generator) -> Field:
    """Dark with long bright fibres."""
    fibres = np.clip(_tilted(smooth_noise(rng, size, (1.6, 40)), rng) - 0.4, 0, 2.5)
    return np.asarray(LEVELS["muscle"] + 7 * fibres + 2.5 * smooth_noise(rng, size, (8, 40)), np.float32)


def _deep(size: tuple[int, int], rng: np.random.Generator) -> Field:
    """Behind the muscle hardly anything comes back."""
    return np.asarray(LEVELS["deep"] + 4 * smooth_noise(rng, size, (6, 30)), np.float32)


def _tilted(texture: Field, rng: np.random.Generator) -> Field:
    """The texture bent up and down by a smooth wave, so that its strands do not all run level."""
    height, width = texture.shape
    rise = height * 0.05 * smooth_noise(rng, (1, width), (1, width / 6))
    rows = np.arange(height, dtype=np.float32)[:, None] + rise
    columns = np.broadcast_to(np.arange(width, dtype=np.float32)[None, :], texture.shape)
    return np.asarray(
        cv2.remap(texture, columns.copy(), rows.astype(np.float32), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT),
        np.float32,
    )


def _interface(size: tuple[int, int], depth: Field, rng: np.random.Generator) -> Field:
    """A bright line along a boundary, here strong and there weak, as it meets the beam. 0 to about 1."""
    rows = np.arange(size[0], dtype=np.float32)[:, None]
    line = np.exp(-(((rows - depth[None, :]) / 2.2) ** 2))
    return np.asarray(line * np.clip(0.6 + 0.5 * smooth_noise(rng, size, (40, 35)), 0, 1.3), np.float32)


def _contact(size: tuple[int, int], rng: np.random.Generator) -> Field:
    """Loss with depth that the time gain does not make good, and columns where the probe touches badly."""
    rows = np.linspace(0, 1, size[0], dtype=np.float32)[:, None]
    columns = smooth_noise(rng, (1, size[1]), (1, size[1] / 14))
    edges = np.linspace(-1, 1, size[1], dtype=np.float32)[None, :] ** 8
    return np.asarray(-9 * rows**2 - rows * (2.0 * np.clip(columns, 0, 3) + 5 * edges), np.float32)
