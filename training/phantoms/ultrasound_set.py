"""A set of ultrasound phantoms as BUSI's reader has it: pictures, masks and ``index.csv`` with classes and folds."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from training.phantoms.sets import fold_of, save_picture, stem, write_table
from training.phantoms.ultrasound import ultrasound_phantom

CLASSES = ("benign", "malignant", "normal")


def write(folder: Path, seeds: Iterable[int], framed: bool = False) -> Path:
    """Draw a phantom for each seed, classes at random; ``framed`` as screenshots. Raises ValueError without seeds."""
    rows = []
    for seed in seeds:
        category = CLASSES[int(np.random.default_rng([seed, 1]).integers(len(CLASSES)))]
        kind = None if category == "normal" else category
        phantom = ultrasound_phantom(seed=seed, lesions=int(kind is not None), kind=kind, framed=framed)
        name = stem("ultrasound", seed)
        row = {
            "image": save_picture(phantom.image, folder, f"images/{name}.png", phantom.metadata),
            "mask": save_picture(phantom.mask * np.uint8(255), folder, f"masks/{name}.png", phantom.metadata),
            "class": category,
            "group": name,
            "fold": fold_of(seed),
            "class_ambiguous": 0,
        }
        rows.append(row)
    write_table(rows, folder / "index.csv")
    return folder
