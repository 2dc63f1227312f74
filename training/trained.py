"""What a run folder tells of its training: how long, on what, with which loss, and how far it came."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader

from training.figures.charts import read_curves
from training.fit import BEST, CHECKPOINT, LAST, fit
from training.recipe import Recipe, read_recipe
from training.resume import settled
from training.run_folder import CONFIG, CURVES, ENVIRONMENT
from training.samples import region_of
from training.tasks import TASKS

# What a task minimises where neither it nor the recipe names a loss by its path.
OWN = {
    "whole": "dice_bce",
    "segment": "dice_bce",
    "localise": "dice_bce + 0.5 presence_bce",
    "classify": "cross_entropy",
}
EVENTS = "events.out.tfevents.*"
# What a recipe may say differently without being another training.
NEVER_MIND = ("tiny", "device", "in_memory", "logs")


@dataclass(frozen=True)
class Trained:
    """One finished or interrupted training.

    Attributes:
        loss: its name, with further terms.
        training_loss, validation_loss: of the epoch whose weights were kept.
        epochs: finished ones, of those ``planned``.
        minutes: spent inside epochs and validation, those of interrupted attempts as well.
        hardware: processor or GPU, and threads.
        region: what it was trained to look at: ``whole`` pictures, ``crop``, ``mask_out`` or, prompted, ``boxes``.
    """

    loss: str
    training_loss: float
    validation_loss: float
    epochs: int
    planned: int
    minutes: float
    hardware: str
    region: str


def recipe_of(run: Path) -> Recipe:
    """The recipe that a run was trained with. Raises FileNotFoundError for what is no run folder."""
    for name in (CONFIG, BEST):
        if not (run / name).is_file():
            raise FileNotFoundError(f"Found no {name} in {run}; wanted a run folder. Give one that `fit` wrote.")
    return read_recipe(run / CONFIG)


def finished(run: Path) -> bool:
    """Whether a run came to its end."""
    return (run / LAST).is_file()


def trained(run: Path) -> Trained:
    """What the run folder tells. Raises FileNotFoundError where a file of it is missing."""
    recipe, curves = recipe_of(run), read_curves(run / CURVES)
    best = int(np.nanargmax(curves["validation"]))
    losses = [float(curves[name][best]) if name in curves else math.nan for name in ("loss", "validation_loss")]
    epochs = len(curves["epoch"]), recipe.schedule.epochs
    region = "boxes" if recipe.task == "prompt" else region_of(recipe)
    return Trained(loss_name(recipe), *losses, *epochs, minutes_of(run), hardware_of(run), region)


def loss_name(recipe: Recipe) -> str:
    """The loss as a table calls it, such as ``dice_bce + 0.1 convexity``."""
    main = recipe.loss.path if recipe.loss else TASKS[recipe.task].criterion
    name = main.rpartition(".")[2] if main else OWN[recipe.task]
    terms = [f"{_weight(recipe, term.weight)}{key}" for key, term in recipe.terms.items() if term.weight > 0]
    return " + ".join([name, *terms])


def _weight(recipe: Recipe, weight: float) -> str:
    return "learned x " if recipe.loss_weights == "learned" else f"{weight:g} "


def minutes_of(run: Path) -> float:
    """Minutes between the first and the last mark of each of the run's event files, together; NaN without any."""
    files = sorted(run.glob(EVENTS))
    if not files:
        return math.nan
    return sum(_span(event.wall_time for event in LegacyEventFileLoader(str(file)).Load()) for file in files) / 60


def _span(times: Iterable[float]) -> float:
    every = list(times)
    return max(every) - min(every) if every else 0.0


def hardware_of(run: Path) -> str:
    """Device and threads as the run noted them."""
    path = run / ENVIRONMENT
    if not path.is_file():
        return "not noted"
    noted: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    threads, processes = noted.get("threads"), noted.get("processes", 1)
    each = f"{processes} processes, " if processes > 1 else ""
    return f"{noted.get('device', 'not noted')}, {each}{threads} thread{'' if threads == 1 else 's'}"


def finish(recipe: Recipe, data: Path, run: Path) -> Path:
    """A finished run of this recipe in ``run``: trained now, resumed, or as it is there. Returns ``run``.

    Raises ValueError where ``run`` is of another recipe, and what `training.fit` raises.
    """
    if (run / CONFIG).is_file():
        check_same(recipe, run)
    if not finished(run):
        fit(recipe, data, run, resume=(run / CHECKPOINT).is_file())
    return run


def check_same(recipe: Recipe, run: Path) -> None:
    """Raises ValueError where the run in a folder was trained by another recipe."""
    there, wanted = (settled(one).model_dump(mode="json") for one in (read_recipe(run / CONFIG), recipe))
    different = [name for name in wanted if there[name] != wanted[name] and name not in NEVER_MIND]
    if different:
        name = different[0]
        raise ValueError(
            f"Found a run in {run} whose {name} is {there[name]!s:.80}; wanted {wanted[name]!s:.80}, as now asked for. "
            "Choose another folder, or remove the run to train it anew."
        )


def epochs_within(recipe: Recipe, data: Path, minutes: float, pilot: Path) -> int:
    """How many of the recipe's epochs fit in so many minutes on this machine, by one epoch trained in ``pilot``.

    At least 1, at most as many as the recipe has. The learning rate then runs its whole course in that time. A pilot
    that is there already is believed, so that an interrupted comparison keeps its plan.
    """
    one = recipe.model_copy(update={"schedule": recipe.schedule.model_copy(update={"epochs": 1})})
    taken = minutes_of(finish(one, data, pilot))
    return max(1, min(recipe.schedule.epochs, int(minutes / taken))) if taken > 0 else recipe.schedule.epochs
