"""Tiny phantoms of every modality for ``--smoke``: drawn shapes with exact truth, fit to show that a recipe runs.

They teach nothing about patients, and figures measured on them mean nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from training.datasets.case import Case, Labels, grey_image, read_grey
from training.datasets.pictures import colour_picture
from training.phantoms.ultrasound import ultrasound_phantom

Plane = NDArray[np.float32]
Drawn = Mapping[str, NDArray[np.uint8]]
Span = tuple[float, float]
SIDE = 96
FOLDS = 5
CATEGORIES = ("benign", "malignant", "normal")


def cases(root: Path, *, kind: str = "ultrasound", count: int = 10) -> list[Case]:
    """Draw ``count`` phantoms under ``root`` where they are not yet, and list them.

    ``kind``: ``ultrasound`` (lesion; benign, malignant and normal), ``mammogram`` (lesion), ``tissue`` (labels 0 to 3:
    background, adipose, fibroglandular, pectoral), ``mri`` (tumour in one slice of two), ``photograph`` (labels 0 to 5:
    background, body, left and right breast, left and right nipple; RGB, with depth) or ``photograph_merged`` (labels 0
    to 3). Raises ValueError for another.
    """
    if kind not in DRAWERS:
        raise ValueError(f"Found phantoms of {kind!r}; wanted one of {', '.join(DRAWERS)}. Mend the recipe's `tiny`.")
    return [_case(root / kind, kind, number) for number in range(count)]


def _case(folder: Path, kind: str, number: int) -> Case:
    category = CATEGORIES[number % len(CATEGORIES)]
    files = {part: folder / f"{number:02d}_{part}.png" for part in ("image", "mask", "depth")}
    if not files["mask"].is_file():
        folder.mkdir(parents=True, exist_ok=True)
        for part, plane in DRAWERS[kind](np.random.default_rng(number), category).items():
            cv2.imwrite(str(files[part]), plane)
    name = f"{kind} phantom {number:02d}"
    return Case(
        name,
        files["image"],
        (files["mask"],),
        category,
        group=f"phantom {number}",
        fold=number % FOLDS,
        inputs={"depth": files["depth"]} if files["depth"].is_file() else {},
        image_reader=colour_picture if kind.startswith("photograph") else grey_image,
        mask_reader=label_ids,
    )


def label_ids(case: Case) -> Labels:
    """Labels as the one mask file holds them."""
    return read_grey(case.masks[0])


def _ultrasound(rng: np.random.Generator, category: str) -> Drawn:
    kind: Any = None if category == "normal" else category
    drawn = ultrasound_phantom(seed=int(rng.integers(999)), lesions=int(kind is not None), size=(SIDE, SIDE), kind=kind)
    return {"image": drawn.image, "mask": drawn.mask}


def _mammogram(rng: np.random.Generator, category: str) -> Drawn:
    image, labels = _breast(rng)
    mask = _inside(rng, (0.35, 0.6), (0.3, 0.5), 0.09) & (labels > 0)
    return {"image": _grey(image + 60 * mask), "mask": mask.astype(np.uint8)}


def _tissue(rng: np.random.Generator, category: str) -> Drawn:
    image, labels = _breast(rng)
    return {"image": _grey(image), "mask": labels}


def _breast(rng: np.random.Generator) -> tuple[Plane, Labels]:
    """A right breast in MLO view, its chest wall at the right edge."""
    labels = np.zeros((SIDE, SIDE), np.uint8)
    cv2.ellipse(labels, (SIDE, SIDE // 2), (int(rng.integers(60, 80)), int(rng.integers(36, 44))), 0, 0, 360, 1, -1)
    cv2.ellipse(
        labels, (SIDE - 30, SIDE // 2), (int(rng.integers(18, 26)), int(rng.integers(14, 20))), 0, 0, 360, 2, -1
    )
    corner = np.array([(SIDE, 0), (SIDE - int(rng.integers(20, 30)), 0), (SIDE, int(rng.integers(40, 60)))])
    cv2.fillPoly(labels, [corner.astype(np.int32)], 3)
    return np.array([8, 75, 140, 220], np.float32)[labels] + _noise(rng, 6), labels


def _mri(rng: np.random.Generator, category: str) -> Drawn:
    """Two breasts above a chest wall; the tumour enhances."""
    labels = np.zeros((SIDE, SIDE), np.uint8)
    for centre in (SIDE // 4, 3 * SIDE // 4):
        cv2.ellipse(labels, (centre, SIDE // 2), (20, int(rng.integers(26, 34))), 0, 0, 360, 1, -1)
    cv2.rectangle(labels, (0, 3 * SIDE // 4), (SIDE, SIDE), 2, -1)
    mask = _inside(rng, (0.35, 0.55), (0.2, 0.3), 0.07) & (category != "normal")
    image = np.array([6, 80, 120], np.float32)[labels] + _noise(rng, 8)
    return {"image": _grey(np.where(mask, 220 + _noise(rng, 8), image)), "mask": mask.astype(np.uint8)}


def _photograph(rng: np.random.Generator, category: str) -> Drawn:
    """A torso of ellipses in front of a wall; nearer is brighter in the depth."""
    labels = np.zeros((SIDE, SIDE), np.uint8)
    cv2.ellipse(labels, (SIDE // 2, 3 * SIDE // 4), (38, 60), 0, 0, 360, 1, -1)
    y, radius = int(rng.integers(50, 60)), int(rng.integers(13, 16))
    for x, breast, nipple in ((SIDE // 2 + 18, 2, 4), (SIDE // 2 - 18, 3, 5)):
        cv2.circle(labels, (x, y), radius, breast, -1)
        cv2.circle(labels, (x, y + 3), 4, nipple, -1)
    # Blue, green, red of wall, skin, breasts and nipples.
    colours = np.array([[90, 90, 80], [150, 170, 210]] + [[160, 180, 225]] * 2 + [[90, 100, 170]] * 2, np.float32)
    image = colours[labels] + _noise(rng, 5)[..., None]
    depth = np.array([20, 120, 190, 190, 230, 230], np.float32)[labels]
    return {"image": _grey(image), "mask": labels, "depth": _grey(cv2.GaussianBlur(depth, (0, 0), 3))}


def _merged(rng: np.random.Generator, category: str) -> Drawn:
    drawn = _photograph(rng, category)
    return {**drawn, "mask": np.array([0, 1, 2, 2, 3, 3], np.uint8)[drawn["mask"]]}


def _inside(
    rng: np.random.Generator, x: tuple[float, float], y: tuple[float, float], radius: float
) -> NDArray[np.bool_]:
    """A blob whose centre lies within (low, high) fractions of the side."""
    mask = np.zeros((SIDE, SIDE), np.uint8)
    centre = int(SIDE * rng.uniform(*x)), int(SIDE * rng.uniform(*y))
    axes = int(SIDE * radius * rng.uniform(0.8, 1.3)), int(SIDE * radius * rng.uniform(0.8, 1.3))
    cv2.ellipse(mask, centre, axes, float(rng.uniform(0, 180)), 0, 360, 1, -1)
    return np.asarray(mask > 0)


def _noise(rng: np.random.Generator, spread: float) -> Plane:
    return np.asarray(rng.normal(0, spread, (SIDE, SIDE)), np.float32)


def _grey(plane: NDArray[Any]) -> NDArray[np.uint8]:
    return np.asarray(np.clip(plane, 0, 255), np.uint8)


DRAWERS: Mapping[str, Callable[[np.random.Generator, str], Drawn]] = {
    "ultrasound": _ultrasound,
    "mammogram": _mammogram,
    "tissue": _tissue,
    "mri": _mri,
    "photograph": _photograph,
    "photograph_merged": _merged,
}
