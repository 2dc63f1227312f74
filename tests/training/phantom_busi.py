"""The public BUSI layout, filled with small phantoms."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import cv2
import numpy as np

from training.datasets.busi import CLASSES
from training.phantoms.ultrasound import Phantom, ultrasound_phantom

SIZE = (112, 144)


@cache
def phantom(seed: int, category: str) -> Phantom:
    """A phantom of the kind that a category of BUSI shows; drawn once, hence for reading only."""
    kind = None if category == "normal" else category
    drawn = ultrasound_phantom(seed=seed, lesions=int(category != "normal"), size=SIZE, kind=kind)
    for one in (drawn.image, drawn.mask):
        one.setflags(write=False)
    return drawn


def write_case(root: Path, category: str, number: int, image: np.ndarray, mask: np.ndarray) -> Path:
    """Write ``<category> (<number>).png`` and its mask; return the picture's path."""
    path = root / category / f"{category} ({number}).png"
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image)
    cv2.imwrite(str(path.with_name(f"{path.stem}_mask.png")), mask * 255)
    return path


def write_busi(root: Path, count: int) -> Path:
    """Write ``count`` different phantoms, two in five benign, two malignant, one normal; return ``root``."""
    for category in CLASSES:
        (root / category).mkdir(parents=True, exist_ok=True)
    for seed in range(count):
        category = ("benign", "malignant", "benign", "malignant", "normal")[seed % 5]
        drawn = phantom(seed, category)
        write_case(root, category, seed + 1, drawn.image, drawn.mask)
    return root
