"""Every recipe's network at its published size to ONNX and back, one after the other: does the file equal torch?

Weights are random, and scaled so that each of them shows in the output (`training.awake`). Networks that several
recipes share are exported once. Nothing is kept.
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import nn

from training.awake import awaken
from training.cost import parameters
from training.graphs import Graph, graphs
from training.onnx_graph import BATCHES, Difference, check_export
from training.prompts import Prompts, places_of
from training.recipe import Recipe, build, read_recipe
from training.yolo import YoloPlan, export_raw, is_yolo, yolo_class

RECIPES = Path(__file__).parent / "recipes"
WEIGHTS = "weights"
# Above so many pixels an attention over all of them takes gigabytes an example: three of them are checked, not nine.
LARGE, FEW = 1000 * 1000, (1, 2)
# As few as a batch norm behind a pooling to one pixel can do with.
EXAMPLES = 2


@dataclass(frozen=True)
class Exported:
    """What became of one network.

    Attributes:
        recipes: those that build it.
        network: its path.
        size: height and width of its input.
        parameters: in millions.
        megabytes: of all its files.
        difference: from torch; None where it failed.
        seconds: taken.
        problem: what went wrong, empty where nothing did.
    """

    recipes: tuple[str, ...]
    network: str
    size: tuple[int, int]
    parameters: float
    megabytes: float
    difference: Difference | None
    seconds: float
    problem: str = ""


def recipes_in(folder: Path = RECIPES) -> list[Path]:
    """The recipes of a folder, sorted; templates of pipelines are none."""
    return [path for path in sorted(folder.glob("*.yaml")) if "\nstages:" not in path.read_text(encoding="utf-8")]


def export_all(paths: Sequence[Path]) -> Iterator[Exported]:
    """Export and check the network of every recipe, yielding each as it is done.

    Batches are 1, 3 and 5, and 1 and 2 for pictures of a million pixels. What fails is reported and does not stop the
    others.
    """
    for same in _grouped([read_recipe(path) for path in paths]):
        yield _exported(same)
        gc.collect()


def _grouped(recipes: Sequence[Recipe]) -> list[list[Recipe]]:
    """Recipes that build one network for one input together, in order."""
    groups: dict[str, list[Recipe]] = {}
    for recipe in recipes:
        network = _plain(recipe).network.model_dump_json()
        # Of what is prompted by points there is one graph more.
        places = places_of(Prompts.model_validate(recipe.prompts)) if recipe.task == "prompt" else None
        groups.setdefault(f"{network} {recipe.channels} {recipe.input.size} {places}", []).append(recipe)
    return list(groups.values())


def _plain(recipe: Recipe) -> Recipe:
    """The recipe without starting weights, which change nothing about the graph."""
    arguments = {name: value for name, value in recipe.network.arguments.items() if name != WEIGHTS}
    if WEIGHTS in recipe.network.arguments:
        arguments[WEIGHTS] = None
    return recipe.model_copy(update={"network": recipe.network.model_copy(update={"arguments": arguments})})


@dataclass(frozen=True, eq=False)
class _Made:
    """One file and the network in it."""

    path: Path
    network: nn.Module
    difference: Difference


def _exported(same: Sequence[Recipe]) -> Exported:
    start, recipe = time.perf_counter(), _plain(same[0])
    torch.manual_seed(0)
    head = (tuple(one.name for one in same), recipe.network.path, recipe.input.size)
    try:
        with TemporaryDirectory() as folder:
            made = (_yolo if is_yolo(recipe) else _traced)(recipe, Path(folder))
            megabytes = sum(one.path.stat().st_size for one in made) / 1e6
    except Exception as error:  # whatever it is, the others still want to be tried
        return Exported(*head, 0.0, 0.0, None, time.perf_counter() - start, f"{type(error).__name__}: {error}")
    count = sum(parameters(one.network) for one in made) / 1e6
    worst = Difference(*(max(getattr(one.difference, by) for one in made) for by in ("relative", "of_spread")))
    return Exported(*head, count, megabytes, worst, time.perf_counter() - start)


def _traced(recipe: Recipe, folder: Path) -> list[_Made]:
    return [_checked(one, folder) for one in graphs(recipe, build(recipe.network, "network"))]


def _checked(graph: Graph, folder: Path) -> _Made:
    awaken(graph.network, graph.shapes, batch=EXAMPLES)
    path = folder / f"{graph.role}.onnx"
    path.write_bytes(graph.onnx().SerializeToString())
    large = max(map(math.prod, (shape[1:] for shape in graph.shapes))) > LARGE
    batches = FEW if large else BATCHES
    return _Made(path, graph.network, check_export(graph.network, path, *graph.shapes, batches=batches))


def _yolo(recipe: Recipe, folder: Path) -> list[_Made]:
    plan: YoloPlan = build(recipe.network, "network")
    network, path = yolo_class(folder)(plan.model).model, folder / "network.onnx"
    awaken(network, [(recipe.channels, *recipe.input.size)], batch=EXAMPLES)
    return [_Made(path, network, export_raw(network, recipe.channels, recipe.input.size, path))]
