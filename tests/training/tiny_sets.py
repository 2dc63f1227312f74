"""Data sets of mammograms in their public layouts, small enough to train on in a second."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tests.training.datasets.tiny_files import texture, write
from training.datasets import unified_csv
from training.datasets.unified_csv import Entry
from training.phantoms.tiny import DRAWERS, SIDE

Grey = NDArray[np.uint8]
GREYS = np.array([64, 128, 192, 255], np.uint8)


def film(seed: int) -> tuple[Grey, Grey]:
    """A breast with a texture unlike that of any other seed, and its tissue labels 0 to 3."""
    drawn = DRAWERS["tissue"](np.random.default_rng(seed), "benign")
    grain = texture(seed, (SIDE, SIDE))
    return cv2.addWeighted(drawn["image"], 0.5, grain, 0.5, 0), drawn["mask"]


def write_tissue(root: Path, count: int) -> Path:
    """``count`` films as the tissue masks are published; film n is `film(n)`."""
    for number in range(count):
        image, labels = film(number)
        name = f"A_{number:04d}_1.RIGHT_MLO"
        write(root / "train_valid" / "fgt_seg" / f"{name}.png", image)
        write(root / "train_valid" / "fgt_seg_labels" / f"{name}_LI.png", GREYS[labels])
    return root


def write_mammograms(root: Path, seeds: list[int]) -> Path:
    """One table of mammograms, ``film(seed)`` with a lesion each, every fourth without."""
    entries = []
    for number, seed in enumerate(seeds):
        image, labels = film(seed)
        mask = np.zeros_like(labels)
        if number % 4 < 3:
            cv2.circle(mask, (60 + seed % 20, 48), 8, 255, -1)
        # Faint, so that a film of the tissue set stays what it is.
        write(root / "images" / f"{number:02d}.png", cv2.addWeighted(image, 1, mask // 12, 1, 0))
        if mask.any():
            write(root / "masks" / f"{number:02d}.png", mask)
        lesion = f"masks/{number:02d}.png" if mask.any() else ""
        label = "malignant" if mask.any() else "normal"
        entries.append(Entry(f"images/{number:02d}.png", lesion, f"P{number}", "RIGHT", "MLO", label, "", "set", ""))
    unified_csv.write(entries, root / unified_csv.TABLE)
    return root
