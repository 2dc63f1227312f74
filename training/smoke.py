"""``--smoke``: any recipe for a minute on its own tiny phantoms, to see that it runs. Its figures mean nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from training.recipe import Recipe, merged

NOTE = "smoke run: a tiny network, drawn phantoms, two epochs. It shows that the recipe runs; its figures mean nothing."
PHANTOMS = "phantoms"
# Under the recipe's own `tiny` block. What names files or a GPU has no place in a smoke run.
SMALL: dict[str, Any] = {
    "dataset": {"path": "training.phantoms.tiny.cases"},
    "schedule": {"epochs": 2, "batch": 2, "average": 0.5, "precision": "float32", "accumulate": 1, "early_stop": 0},
    "validation": 0.37,
    "test_fold": 0,
    "excluded": [],
    "start": None,
    "boxes": None,
    "in_memory": True,
    "device": "cpu",
}


def smoke(recipe: Recipe) -> Recipe:
    """The recipe made tiny. Raises ValueError where it has no `tiny` block to say how."""
    if not recipe.tiny:
        raise ValueError(
            f"Found no `tiny` block in recipe {recipe.name}; wanted the overrides of a smoke run: at least a small "
            "network, an input size and the kind of phantoms. Add one, as the recipes of this project have."
        )
    small = merged(merged(recipe.model_dump(mode="json"), SMALL), recipe.tiny)
    return Recipe.model_validate(small)


def phantoms_of(out: Path) -> Path:
    """Where a smoke run into ``out`` draws its phantoms."""
    return out / PHANTOMS
