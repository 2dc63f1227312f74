"""A recipe: everything that decides how one network is trained, read from YAML."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from service.manifest import Frozen, InputSpec, Look, Name
from service.yaml12 import read_yaml
from training.augment import Strength


class Part(Frozen):
    """A class or function by dotted path, with its keyword arguments."""

    path: str
    arguments: Annotated[dict[str, Any], Field(default_factory=dict)]


class Schedule(Frozen):
    """Optimisation: AdamW, one linear warm-up epoch, cosine to zero, exponential moving average of the weights.

    ``precision`` is that of the forward pass; weights and optimiser stay float32.
    """

    epochs: Annotated[int, Field(ge=1)] = 100
    batch: Annotated[int, Field(ge=1)] = 16
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    average: float = 0.998
    precision: Literal["bfloat16", "float32"] = "bfloat16"
    seed: int = 0


class Recipe(Frozen):
    """One network's training.

    ``task`` ``localise`` learns the lesion in the whole picture and whether there is one; ``segment`` learns it in
    crops around jittered true boxes, ``negatives`` of them elsewhere; ``classify`` learns the category of such crops.
    ``start`` names a checkpoint whose matching weights are taken over before training.
    """

    name: Name
    task: Literal["localise", "segment", "classify"]
    network: Part
    dataset: Part
    input: InputSpec
    look: Look = Look()
    augment: Strength = Strength()
    schedule: Schedule = Schedule()
    negatives: Annotated[float, Field(ge=0, le=1)] = 0.2
    test_fold: Annotated[int, Field(ge=0)] = 0
    validation: Annotated[float, Field(gt=0, lt=1)] = 0.12
    start: Path | None = None


def read_recipe(path: Path) -> Recipe:
    """Read and check a recipe. Raises pydantic's ValidationError or OSError."""
    return Recipe.model_validate(read_yaml(path.read_text(encoding="utf-8")))


def resolve(part: Part) -> Any:
    """The object at a dotted path ``module.name``. Raises ImportError saying what is missing."""
    module, _, name = part.path.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ImportError(
            f"Found no {part.path!r}; wanted the dotted path of a class or function. Mend the recipe's path."
        ) from error
