"""Breasts of a photograph phantom: size, ptosis, asymmetry, areola and nipple, and what treatment leaves of one.

Coordinates are those of `training.phantoms.photo_view`; a breast's own go from the middle of its base. Ranges are
plausible ones for pictures taken after breast-conserving therapy; nobody was measured.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from training.phantoms.photo_body import Build
from training.phantoms.photo_view import Plane, View

# Of all phantoms: one side treated, and of these without the nipple.
TREATED, WITHOUT_NIPPLE = 0.6, 0.05


@dataclass(frozen=True)
class Scar:
    """What surgery left: a line at (x, y) from the breast's middle, cm.

    Attributes:
        x, y, length, turn: of the line; ``turn`` in radians.
        dent: how deep the breast is drawn in there, over ``reach`` cm.
        fresh: 0 old and pale to 1 red.
        burnt: how far radiation changed the skin, 0 to 1.
    """

    x: float
    y: float
    length: float
    turn: float
    dent: float
    reach: float
    fresh: float
    burnt: float


@dataclass(frozen=True)
class Breast:
    """One breast.

    Attributes:
        side: 1 the patient's left, at the viewer's right; -1 her right.
        x, y: of the base's middle, from the sternal notch, cm.
        across, up, low: radii of the base, sideways, upwards and downwards.
        projection: height of the mound.
        lean: how far its lower part hangs outwards, per cm.
        wave: how irregular its outline is, and where.
        nipple: (x, y) from the middle, None where there is none.
        areola, tip: radii of areola and nipple.
        scar: None for an untreated side.
    """

    side: int
    x: float
    y: float
    across: float
    up: float
    low: float
    projection: float
    lean: float
    wave: tuple[float, float]
    nipple: tuple[float, float] | None
    areola: float
    tip: float
    scar: Scar | None = None


@dataclass(frozen=True, eq=False)
class Mound:
    """A breast seen: ``height`` above the chest wall in cm, ``rim`` as in `photo_view.Surface`."""

    height: Plane
    rim: Plane


def drawn_pair(build: Build, rng: np.random.Generator) -> tuple[Breast, Breast]:
    """The patient's left breast and her right one: alike, but never the same; often one was treated."""
    one = _typical(build, rng)
    left, right = _varied(one, 1, rng), _varied(one, -1, rng)
    if rng.random() >= TREATED:
        return left, right
    return (_treated(left, rng), right) if rng.random() < 0.5 else (left, _treated(right, rng))


def _typical(build: Build, rng: np.random.Generator) -> Breast:
    volume = float(np.clip(0.8 * rng.random() + 0.3 * build.weight, 0, 1))
    ptosis = float(np.clip(rng.beta(1.4, 1.4) * (0.45 + 0.75 * volume), 0, 1))
    across = min(5.0 + 4.2 * volume, 0.64 * build.chest)
    low = (4.0 + 3.2 * volume) * rng.uniform(0.92, 1.08)
    raised = 1.0 if build.pose == "up" else 0.0
    bottom = rng.uniform(20.5, 23.5) + 7.0 * ptosis - 2.6 * raised
    return Breast(
        side=1,
        x=across + rng.uniform(0.4, 2.0) - 0.6 * build.weight,
        y=bottom - low,
        across=across,
        up=(5.2 + 3.4 * volume + 3.5 * ptosis) * (1 - 0.1 * raised),
        low=low * (1 - 0.06 * raised),
        projection=(1.6 + 5.4 * volume) * (1 - 0.2 * raised),
        lean=0.22 * ptosis * rng.uniform(0.4, 1.2),
        wave=(0.0, 0.0),
        nipple=(across * rng.uniform(0.0, 0.28), low * (-0.22 + 0.85 * ptosis)),
        areola=rng.uniform(1.3, 2.1) + 0.8 * volume,
        tip=rng.uniform(0.4, 0.65),
    )


def _varied(one: Breast, side: int, rng: np.random.Generator) -> Breast:
    """A side of its own: a few per cent of size, up to a centimetre of place."""
    size = 1 + float(rng.normal(0, 0.035))
    nipple = one.nipple or (0.0, 0.0)
    return replace(
        one,
        side=side,
        x=side * (one.x + rng.normal(0, 0.25)),
        y=one.y + rng.normal(0, 0.4),
        across=one.across * size,
        up=one.up * size,
        low=one.low * size,
        projection=one.projection * size,
        lean=side * one.lean,
        wave=(rng.uniform(0.0, 0.04), rng.uniform(0, 2 * np.pi)),
        nipple=(side * nipple[0] + rng.normal(0, 0.3), nipple[1] + rng.normal(0, 0.35)),
        areola=one.areola * (1 + rng.normal(0, 0.04)),
        tip=one.tip * (1 + rng.normal(0, 0.05)),
    )


def _treated(one: Breast, rng: np.random.Generator) -> Breast:
    """Smaller, drawn upwards, the nipple towards the scar."""
    shrunk, lifted = rng.uniform(0.74, 0.98), rng.uniform(0.0, 2.6)
    angle, away = rng.uniform(0, 2 * np.pi), rng.uniform(0.35, 0.8)
    x, y = away * one.across * np.cos(angle), away * (one.low if np.sin(angle) > 0 else one.up) * np.sin(angle)
    pull = rng.uniform(0.0, 0.35)
    nipple = one.nipple or (0.0, 0.0)
    moved = nipple[0] * shrunk + pull * (x - nipple[0]), nipple[1] * shrunk + pull * (y - nipple[1])
    scar = Scar(
        x=float(x),
        y=float(y),
        length=rng.uniform(2.5, 6.5),
        turn=float(angle + np.pi / 2 + rng.normal(0, 0.5)),
        dent=rng.uniform(0.1, 1.0) * min(1.4, 0.3 * one.projection),
        reach=rng.uniform(1.2, 3.2),
        fresh=float(rng.beta(1, 2)),
        burnt=float(rng.beta(1, 2)),
    )
    return replace(
        one,
        y=one.y - lifted,
        across=one.across * (0.4 + 0.6 * shrunk),
        up=one.up * shrunk,
        low=one.low * shrunk,
        projection=one.projection * shrunk,
        nipple=None if rng.random() < WITHOUT_NIPPLE else (float(moved[0]), float(moved[1])),
        areola=one.areola * (0.6 + 0.4 * shrunk),
        scar=scar,
    )


def local(breast: Breast, view: View) -> tuple[Plane, Plane]:
    """(x, y) of each pixel from the breast's middle, its outward lean undone."""
    y = view.y - np.float32(breast.y)
    return view.x - np.float32(breast.x) - np.float32(breast.lean) * np.maximum(y, 0), y


def mound(breast: Breast, view: View) -> Mound:
    """Its height over the chest wall: steep above the fold, running out gently towards the collar bone."""
    x, y = local(breast, view)
    reach = np.where(y > 0, np.float32(breast.low), np.float32(breast.up))
    across, down = x / np.float32(breast.across), y / reach
    radius, angle = cv2.cartToPolar(across, down)
    amplitude, phase = breast.wave
    share = radius * (1 + np.float32(amplitude) * np.cos(3 * angle + np.float32(phase))) + _drawn_in(breast, x, y)
    inside = np.clip(1 - share, 0, 1)
    below = np.clip((down + 0.75) / 1.3, 0, 1)
    below = below * below * (3 - 2 * below)
    lower = np.sqrt(inside * (2 - inside))
    upper = inside * inside * (3 - 2 * inside)
    height = np.float32(breast.projection) * (below * lower + (1 - below) * upper)
    height -= _dent(breast, x, y) * np.minimum(1, 4 * inside)
    rim = (1 - share) * np.float32(min(breast.across, breast.low))
    return Mound(np.asarray(height + _tip(breast, view), np.float32), np.asarray(rim, np.float32))


def _drawn_in(breast: Breast, x: Plane, y: Plane) -> Plane | np.float32:
    """How far a scar near the edge pulls the outline in, as a share of the radius."""
    scar = breast.scar
    if scar is None:
        return np.float32(0)
    return np.float32(0.12 * scar.dent) * _around(scar, x, y, 1.6)


def _dent(breast: Breast, x: Plane, y: Plane) -> Plane | np.float32:
    scar = breast.scar
    if scar is None:
        return np.float32(0)
    line = scar_line(scar, x, y)
    return np.float32(scar.dent) * _around(scar, x, y, 1.0) + np.float32(0.16 * (0.3 + scar.dent)) * line


def _around(scar: Scar, x: Plane, y: Plane, wide: float) -> Plane:
    squared = (x - np.float32(scar.x)) ** 2 + (y - np.float32(scar.y)) ** 2
    return np.asarray(np.exp(-squared / np.float32((wide * scar.reach) ** 2)), np.float32)


def scar_line(scar: Scar, x: Plane, y: Plane) -> Plane:
    """1 on the scar, which bends a little, 0 elsewhere."""
    dx, dy = x - np.float32(scar.x), y - np.float32(scar.y)
    along = dx * np.float32(np.cos(scar.turn)) + dy * np.float32(np.sin(scar.turn))
    apart = dy * np.float32(np.cos(scar.turn)) - dx * np.float32(np.sin(scar.turn)) + np.float32(0.05) * along**2
    ends = np.clip((np.float32(scar.length / 2) - np.abs(along)) / 0.5, 0, 1)
    return np.asarray(np.exp(-((apart / np.float32(0.16)) ** 2)) * ends, np.float32)


def areola_distance(breast: Breast, view: View) -> Plane:
    """Distance from the nipple over the areola's radius, 1 on its edge; far away where there is no nipple.

    The areola is seen from its side where the breast falls away from the camera: an ellipse, flatter below.
    """
    if breast.nipple is None:
        return np.full(view.size, 99, np.float32)
    x, y = local(breast, view)
    dx, dy = x - np.float32(breast.nipple[0]), y - np.float32(breast.nipple[1])
    away = breast.nipple[1] / breast.low, breast.nipple[0] / breast.across
    flat = 1 - 0.45 * max(away[0], 0.0) ** 2, 1 - 0.3 * away[1] ** 2
    distance, angle = cv2.cartToPolar(dx / np.float32(flat[1]), dy / np.float32(flat[0]))
    uneven = 1 + 0.05 * np.cos(2 * angle + np.float32(breast.wave[1])) + 0.02 * np.cos(5 * angle)
    return np.asarray(distance * uneven / np.float32(breast.areola), np.float32)


def _tip(breast: Breast, view: View) -> Plane | np.float32:
    """The nipple's own height, and the areola's slight one."""
    if breast.nipple is None:
        return np.float32(0)
    distance = areola_distance(breast, view) * np.float32(breast.areola)
    tip = np.exp(-((distance / np.float32(breast.tip)) ** 4))
    return np.asarray(0.75 * breast.tip * tip + 0.12 * np.clip(1 - distance / breast.areola, 0, 0.3), np.float32)
