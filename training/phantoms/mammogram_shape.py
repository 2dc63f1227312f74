"""The compressed breast seen from the side or from above: skin line, nipple, thickness, pectoral muscle.

Here the chest wall is always the left edge; `training.phantoms.mammogram` turns the finished picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

from training.phantoms.texture import Field, blurred, drawn, smooth, smoothstep

View = Literal["CC", "MLO"]
VIEWS: tuple[View, ...] = ("CC", "MLO")
Points = NDArray[np.float64]
Plane = NDArray[np.bool_]

# All as shares of the picture's width (across) or height (down).
REACH = {"CC": (0.5, 0.9), "MLO": (0.6, 0.95)}  # of the nipple, across
NIPPLE = {"CC": (0.42, 0.58), "MLO": (0.52, 0.76)}  # down
EDGE = (0.08, 0.22)  # of the height, over which the thickness falls towards the skin
PECTORAL_WIDTH, PECTORAL_HEIGHT = (0.22, 0.62), (0.28, 0.68)  # of the muscle's triangle at the top and at the left


@dataclass(frozen=True, eq=False)
class Shape:
    """Outline and thickness of a compressed breast.

    Attributes:
        inside: bool (height, width), breast with pectoral muscle.
        pectoral: bool (height, width).
        nipple: (x, y) in pixels.
        thickness: 0 at the skin to 1, tissue that the beam passes.
        muscle: 0 to 1, share of it that is muscle.
        skin: 0 to 1, how much skin the beam passes: most where it grazes it.
    """

    inside: Plane
    pectoral: Plane
    nipple: tuple[float, float]
    thickness: Field
    muscle: Field
    skin: Field


def breast_shape(size: tuple[int, int], view: View, rng: np.random.Generator) -> Shape:
    """Draw a breast in ``view`` on a picture of ``size`` (height, width)."""
    line = _cranio_caudal(rng) if view == "CC" else _oblique(rng)
    outline = _smooth_curve(line) * (size[1], size[0])
    nipple = outline[int(outline[:, 0].argmax())]
    inside = _filled(outline, nipple, size, rng)
    depth = _depth(inside)
    muscle, pectoral = _pectoral(size, view, rng)
    return Shape(
        inside=inside,
        pectoral=pectoral & inside,
        nipple=(float(nipple[0]), float(nipple[1])),
        thickness=_thickness(depth, rng),
        muscle=np.asarray(muscle * inside, np.float32),
        skin=_skin(depth),
    )


def _cranio_caudal(rng: np.random.Generator) -> Points:
    """Points (x, y) of the skin line, shares of the size: about half an ellipse."""
    reach, nipple = drawn(rng, REACH["CC"]), drawn(rng, NIPPLE["CC"])
    top, bottom = nipple - rng.uniform(0.3, 0.44), nipple + rng.uniform(0.3, 0.44)
    power = rng.uniform(1.9, 2.6)
    steps = np.linspace(-1, 1, 9)
    across = reach * (1 - np.abs(steps) ** power) ** 0.5
    down = np.where(steps < 0, nipple + steps * (nipple - top), nipple + steps * (bottom - nipple))
    return np.stack([across, down], axis=1)


def _oblique(rng: np.random.Generator) -> Points:
    """Points (x, y) of the skin line from the axilla past the nipple to the fold below, with a bit of belly or not."""
    reach, nipple = drawn(rng, REACH["MLO"]), drawn(rng, NIPPLE["MLO"])
    waist = reach * rng.uniform(0.55, 0.82)
    top = np.clip(waist * rng.uniform(0.85, 1.15), 0.25, 0.98)
    bottom = min(nipple + rng.uniform(0.2, 0.34), 1.0)
    under = nipple + (bottom - nipple) * rng.uniform(0.6, 0.72)
    points = [(top, -0.02), (waist, nipple * rng.uniform(0.28, 0.45)), (reach * 0.92, nipple - 0.13)]
    points += [(reach, nipple), (reach * rng.uniform(0.72, 0.82), under), (reach * rng.uniform(0.28, 0.42), bottom)]
    fold = bottom + rng.uniform(0.01, 0.03)
    belly = rng.uniform(0.04, 0.14)
    ends = [(0.03, fold), (belly, 1.04)] if rng.random() < 0.5 else [(-0.02, fold)]
    return np.array(points + ends)


def _smooth_curve(points: Points) -> Points:
    lengths = np.hypot(*np.diff(points, axis=0).T)
    along = np.concatenate([[0], np.cumsum(lengths)])
    return np.asarray(PchipInterpolator(along, points)(np.linspace(0, along[-1], 240)))


def _filled(outline: Points, nipple: Points, size: tuple[int, int], rng: np.random.Generator) -> Plane:
    height = size[0]
    wobble = height * 0.004 * smooth(rng, (len(outline),), (14,))
    polygon = np.concatenate([[[-9.0, outline[0, 1]]], outline + wobble[:, None], [[-9.0, outline[-1, 1]]]])
    canvas = np.zeros(size, np.uint8)
    cv2.fillPoly(canvas, [np.round(polygon).astype(np.int32)], 255)
    if rng.random() < 0.7:  # the nipple is not always in profile
        radius = height * rng.uniform(0.007, 0.013)
        centre = (round(nipple[0] + 0.15 * radius), round(nipple[1]))
        cv2.ellipse(canvas, centre, (round(radius), round(radius * 1.5)), 0, 0, 360, 255, -1)
    return np.asarray(cv2.GaussianBlur(canvas, (0, 0), 0.004 * height) > 127)


def _depth(inside: Plane) -> Field:
    """Pixels from the skin as a share of the height; the picture's own edges are no skin."""
    distance = cv2.distanceTransform(inside.astype(np.uint8), cv2.DIST_L2, 5) / len(inside)
    return np.asarray(distance, np.float32)


def _thickness(depth: Field, rng: np.random.Generator) -> Field:
    """Round at the edge, flat under the paddle, a little thicker towards the chest."""
    size = depth.shape
    edge = drawn(rng, EDGE) * (1 + 0.15 * smooth(rng, size, (size[0] / 6, size[1] / 4)))
    gone = np.clip(1 - depth / edge, 0, 1)
    dome = np.sqrt(1 - gone**2) ** rng.uniform(0.9, 2.4)
    chest = 1 - rng.uniform(0, 0.16) * np.linspace(0, 1, size[1], dtype=np.float32)
    return np.asarray(dome * chest, np.float32)


def _skin(depth: Field) -> Field:
    """A thin bright line just inside the edge."""
    line = np.exp(-(((depth - 0.002) / 0.0022) ** 2)) + 0.25 * np.exp(-depth / 0.012)
    return np.asarray(line * (depth > 0), np.float32)


def _pectoral(size: tuple[int, int], view: View, rng: np.random.Generator) -> tuple[Field, Plane]:
    """Thickness share and extent of the muscle: a triangle at the top, or in one CC in four a strip at the chest."""
    if view == "MLO":
        across, down = drawn(rng, PECTORAL_WIDTH), drawn(rng, PECTORAL_HEIGHT)
    elif rng.random() < 0.25:
        return _strip(size, rng)
    else:
        return np.zeros(size, np.float32), np.zeros(size, bool)
    rows = np.linspace(0, 1, size[0], dtype=np.float32)[:, None] / down
    columns = np.linspace(0, 1, size[1], dtype=np.float32)[None, :] / across
    bulge = rng.uniform(-0.12, 0.22)
    border = 1 - rows + bulge * np.sin(np.pi * np.clip(rows, 0, 1)) + 0.012 * smooth(rng, size, (30, 30))
    border += 0.025 * smooth(rng, (size[0], 1), (size[0] / 14, 1))
    return _muscle(border - columns, rng)


def _strip(size: tuple[int, int], rng: np.random.Generator) -> tuple[Field, Plane]:
    rows = np.linspace(-1, 1, size[0], dtype=np.float32)[:, None] - rng.uniform(-0.2, 0.2)
    columns = np.linspace(0, 1, size[1], dtype=np.float32)[None, :]
    border = rng.uniform(0.04, 0.11) * (1 - (rows / rng.uniform(0.4, 0.6)) ** 2)
    return _muscle((border - columns) / 0.4, rng)


def _muscle(inward: Field, rng: np.random.Generator) -> tuple[Field, Plane]:
    """Muscle where ``inward`` is above 0: steep at its border, then slowly thicker."""
    steep = smoothstep(np.asarray(inward / rng.uniform(0.04, 0.14) + 0.5, np.float32))
    share = steep * (rng.uniform(0.6, 0.85) + 0.55 * np.clip(inward, 0, 1))
    return blurred(np.asarray(share, np.float32), 1.2), np.asarray(inward > 0)
