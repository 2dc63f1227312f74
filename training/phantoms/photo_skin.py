"""Skin of a photograph phantom: tone, areolae, moles, freckles, veins, scars and the marks of radiation.

Skin is two pigments over a light ground, melanin and blood, each of which takes its share of red, green and blue
(Beer and Lambert). Melanin 0 is the lightest skin and 1 the darkest. Colours are linear reflectances 0 to 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from training.phantoms.photo_body import NAVEL, Build, midline
from training.phantoms.photo_breast import Breast, areola_distance, local, scar_line
from training.phantoms.photo_view import Plane, View

Colour = NDArray[np.float32]
GROUND = np.array([0.80, 0.58, 0.46], np.float32)
MELANIN = np.array([2.35, 2.80, 3.10], np.float32)
BLOOD = np.array([0.10, 0.55, 0.42], np.float32)
PEN = np.array([0.03, 0.06, 0.25], np.float32)


@dataclass(frozen=True)
class Tone:
    """A person's skin: melanin and blood all over, how much more of both an areola has, and how uneven it is."""

    melanin: float
    blood: float
    areola: tuple[float, float]
    uneven: float
    tanned: bool


def drawn_tone(rng: np.random.Generator) -> Tone:
    """From the whole range of skin tones, each as likely as another."""
    melanin = rng.uniform(0.0, 0.92)
    areola = rng.uniform(0.08, 0.3) * (1.15 - 0.55 * melanin), rng.uniform(0.25, 1.1)
    return Tone(melanin, rng.uniform(0.02, 0.42), areola, rng.uniform(0.5, 1.6), rng.random() < 0.12)


def mottle(size: tuple[int, int], pixels: float, rng: np.random.Generator) -> Plane:
    """Smooth noise of deviation about 1 that varies over so many pixels."""
    height, width = (max(2, round(side / pixels) + 1) for side in size)
    coarse = rng.standard_normal((height, width)).astype(np.float32)
    return np.asarray(cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC), np.float32)


def skin(tone: Tone, build: Build, breasts: Sequence[Breast], view: View, rng: np.random.Generator) -> Colour:
    """Reflectance of skin wherever it may be seen, (height, width, 3)."""
    melanin, blood = _pigments(tone, build, view, rng)
    for breast in breasts:
        _areola(tone, breast, view, melanin, blood, rng)
        if breast.scar is not None:
            _treated(breast, view, melanin, blood)
    colour = GROUND * np.exp(-np.clip(melanin, 0, 1.25)[..., None] * MELANIN - np.maximum(blood, 0)[..., None] * BLOOD)
    if rng.random() < 0.5:
        colour *= 1 - _veins(view, rng)[..., None] * np.array([0.10, 0.05, 0.0], np.float32) * (1 - tone.melanin)
    if rng.random() < 0.1:
        _pen_marks(colour, breasts, view, rng)
    return np.asarray(colour, np.float32)


def _pigments(tone: Tone, build: Build, view: View, rng: np.random.Generator) -> tuple[Plane, Plane]:
    scale, size = view.scale, view.size
    melanin = np.full(size, tone.melanin, np.float32)
    blood = np.full(size, tone.blood, np.float32)
    for pixels, share in ((9 * scale, 0.02), (2.5 * scale, 0.012), (0.35 * scale, 0.006)):
        melanin += np.float32(tone.uneven * share) * mottle(size, pixels, rng)
        blood += np.float32(tone.uneven * 4 * share) * mottle(size, pixels, rng)
    # Sun on neck and forearms, and the linea alba below the navel.
    melanin += np.float32(rng.uniform(0, 0.08)) / (1 + np.exp(view.y - 4))
    blood += np.float32(rng.uniform(0, 0.25)) / (1 + np.exp((view.y - 3) / 1.5))
    across = midline(build, view)
    melanin += np.float32(0.03 * (0.3 + tone.melanin)) * np.exp(-((across / 0.5) ** 2)) * (view.y > NAVEL - 12)
    if tone.tanned:
        melanin += np.float32(rng.uniform(0.05, 0.14)) * _outside_bikini(view, rng)
    _spots(melanin, tone, view, rng)
    return melanin, blood


def _outside_bikini(view: View, rng: np.random.Generator) -> Plane:
    """1 where the sun came, 0 under two triangles and their straps."""
    covered = np.zeros(view.size, np.float32)
    x, y = np.abs(view.x), view.y
    apex, width, bottom = rng.uniform(7, 12), rng.uniform(6, 8), rng.uniform(24, 28)
    inside = np.minimum(width * (y - apex) / (bottom - apex) - np.abs(x - 8.5), bottom - y)
    covered = np.maximum(inside, 0.5 - np.abs(x - 8.5 + 0.3 * (apex - y)) - 50 * (y > bottom))
    return np.asarray(1 / (1 + np.exp(np.clip(covered * 6, -30, 30))), np.float32)


def _spots(melanin: Plane, tone: Tone, view: View, rng: np.random.Generator) -> None:
    """Moles, and freckles on light skin."""
    freckles = int(rng.integers(0, 250)) if tone.melanin < 0.3 and rng.random() < 0.35 else 0
    kinds = ((int(rng.integers(0, 22)), (0.08, 0.28), (0.15, 0.5)), (freckles, (0.05, 0.11), (0.03, 0.12)))
    for count, radii, depths in kinds:
        for _ in range(count):
            _spot(melanin, view, rng.uniform(*radii), rng.uniform(*depths), rng)


def _spot(melanin: Plane, view: View, radius: float, depth: float, rng: np.random.Generator) -> None:
    height, width = view.size
    x, y, reach = int(rng.integers(0, width)), int(rng.integers(0, height)), int(3 * radius * view.scale) + 2
    rows, columns = slice(max(0, y - reach), y + reach + 1), slice(max(0, x - reach), x + reach + 1)
    there = melanin[rows, columns]
    dy = np.arange(rows.start, rows.start + there.shape[0], dtype=np.float32)[:, None] - y
    dx = np.arange(columns.start, columns.start + there.shape[1], dtype=np.float32) - x
    squared = (dx * dx + dy * dy) / np.float32((radius * view.scale) ** 2)
    there += np.float32(depth) * np.exp(-squared * squared)


def _areola(tone: Tone, breast: Breast, view: View, melanin: Plane, blood: Plane, rng: np.random.Generator) -> None:
    """Darker and redder up to a soft edge, the nipple a little more so."""
    distance = areola_distance(breast, view)
    soft = np.float32(rng.uniform(9, 26))
    there = 1 / (1 + np.exp(np.clip((distance - 1) * soft, -30, 30)))
    tip = np.exp(-((distance * np.float32(breast.areola / breast.tip)) ** 4))
    melanin += np.float32(tone.areola[0]) * there * (1 + 0.35 * tip)
    blood += np.float32(tone.areola[1]) * there * (1 + 0.2 * tip)
    if breast.nipple is not None:
        blood += there * np.float32(0.12) * mottle(view.size, 0.25 * view.scale, rng)


def _treated(breast: Breast, view: View, melanin: Plane, blood: Plane) -> None:
    """The scar's line, red while fresh and pale later, and skin changed by radiation around it."""
    scar = breast.scar
    if scar is None:
        return
    x, y = local(breast, view)
    line = scar_line(scar, x, y)
    blood += line * np.float32(0.9 * scar.fresh - 0.1)
    melanin += line * np.float32(0.12 * scar.fresh - 0.08)
    field = np.exp(-((x / np.float32(1.2 * breast.across)) ** 4) - (y / np.float32(1.2 * breast.up)) ** 4)
    blood += np.float32(0.5 * scar.burnt**2) * field
    melanin += np.float32(0.10 * scar.burnt**2) * field


def _veins(view: View, rng: np.random.Generator) -> Plane:
    canvas = np.zeros(view.size, np.uint8)
    for _ in range(int(rng.integers(2, 8))):
        steps = np.cumsum(rng.normal(0, 0.35, 24)) + rng.uniform(0, 2 * np.pi)
        path = np.cumsum(np.stack([np.cos(steps), np.sin(steps)], axis=1) * (0.9 * view.scale), axis=0)
        path += rng.uniform(0.1, 0.9, 2) * view.size[::-1]
        cv2.polylines(canvas, [np.round(path).astype(np.int32)], False, 255, max(1, round(0.15 * view.scale)))
    return np.asarray(cv2.GaussianBlur(canvas, (0, 0), 0.16 * view.scale), np.float32) / np.float32(255)


def _pen_marks(colour: Colour, breasts: Sequence[Breast], view: View, rng: np.random.Generator) -> None:
    """Lines of a skin marker, as drawn before surgery."""
    ink = np.zeros(view.size, np.uint8)
    row, column = (np.argmin(np.abs(axis)) for axis in (view.y[:, 0] - 4, view.x[0]))
    cv2.line(ink, (int(column), int(row)), (int(column), int(row + 20 * view.scale)), 255, 1, cv2.LINE_AA)
    for breast in breasts:
        x, y = (np.argmin(np.abs(axis)) for axis in (view.x[0] - breast.x, view.y[:, 0] - breast.y))
        axes = round(breast.across * view.scale), round(breast.low * view.scale)
        cv2.ellipse(ink, (int(x), int(y)), axes, 0, float(rng.integers(5, 40)), 165, 255, 1, cv2.LINE_AA)
    share = np.float32(rng.uniform(0.4, 0.8)) * ink.astype(np.float32)[..., None] / 255
    colour *= 1 - share
    colour += share * PEN
