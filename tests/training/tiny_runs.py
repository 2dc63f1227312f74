"""Tiny finished runs of `fit` on phantoms, for what stands on top of training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.training import tiny_export
from training.fit import fit
from training.recipe import Recipe

# Without it eight epochs are enough to outline something.
AS_IT_IS = {
    "scale": [1, 1],
    "stretch": 1,
    "shift": 0,
    "rotation": 0,
    "gentle": 1,
    "echo": 0,
    "photometric": 0,
    "burn_in": 0,
}


@dataclass(frozen=True)
class Runs:
    """Run folders of equal splits: on whole pictures, on crops, and a localiser; ``data`` is what they learned from."""

    data: Path
    whole: Path
    crop: Path
    localiser: Path


def recipe(name: str, task: str = "whole", **changes: Any) -> Recipe:
    """A tiny recipe of eight epochs; ``changes`` replace whole fields."""
    schedule = {"epochs": 8, "batch": 2, "learning_rate": 0.03, "average": 0.5, "precision": "float32"}
    plain = {"name": name, "schedule": schedule, "augment": AS_IT_IS, "device": "cpu"}
    return tiny_export.recipe(task, **{**plain, **changes})


def train(folder: Path, data: Path) -> Runs:
    """Train all three."""
    tasks = {"whole": "whole", "crop": "segment", "localiser": "localise"}
    for name, task in tasks.items():
        fit(recipe(name, task), data, folder / name, workers=0)
    return Runs(data, *(folder / name for name in tasks))
