"""Every recipe's network at its published size to ONNX and back, one after the other: does the file equal torch?

Weights are random. Networks that several recipes share are exported once. Nothing is kept.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from training import yolo
from training.cost import parameters
from training.graphs import Graph, graphs
from training.onnx_graph import check_export
from training.recipe import Recipe, build, read_recipe
from training.yolo import is_yolo

RECIPES = Path(__file__).parent / "recipes"
WEIGHTS = "weights"


@dataclass(frozen=True)
class Exported:
    """What became of one network.

    Attributes:
        recipes: those that build it.
        network: its path.
        size: height and width of its input.
        parameters: in millions.
        megabytes: of all its files.
        difference: from torch, relative to the largest output; None where it failed.
        seconds: taken.
        problem: what went wrong, empty where nothing did.
    """

    recipes: tuple[str, ...]
    network: str
    size: tuple[int, int]
    parameters: float
    megabytes: float
    difference: float | None
    seconds: float
    problem: str = ""


def recipes_in(folder: Path = RECIPES) -> list[Path]:
    """The recipes of a folder, sorted; templates of pipelines are none."""
    return [path for path in sorted(folder.glob("*.yaml")) if "\nstages:" not in path.read_text(encoding="utf-8")]


def export_all(paths: Sequence[Path]) -> Iterator[Exported]:
    """Export and check the network of every recipe at batches 1, 3 and 5, yielding each as it is done.

    What fails is reported and does not stop the others.
    """
    for same in _grouped([read_recipe(path) for path in paths]):
        yield _exported(same)
        gc.collect()


def _grouped(recipes: Sequence[Recipe]) -> list[list[Recipe]]:
    """Recipes that build one network for one input together, in order."""
    groups: dict[str, list[Recipe]] = {}
    for recipe in recipes:
        network = _plain(recipe).network.model_dump_json()
        groups.setdefault(f"{network} {recipe.channels} {recipe.input.size} {recipe.task == 'prompt'}", []).append(
            recipe
        )
    return list(groups.values())


def _plain(recipe: Recipe) -> Recipe:
    """The recipe without starting weights, which change nothing about the graph."""
    arguments = {name: value for name, value in recipe.network.arguments.items() if name != WEIGHTS}
    if WEIGHTS in recipe.network.arguments:
        arguments[WEIGHTS] = None
    return recipe.model_copy(update={"network": recipe.network.model_copy(update={"arguments": arguments})})


def _exported(same: Sequence[Recipe]) -> Exported:
    start, recipe = time.perf_counter(), _plain(same[0])
    head = (tuple(one.name for one in same), recipe.network.path, recipe.input.size)
    try:
        with TemporaryDirectory() as folder:
            made = _graphs(recipe, Path(folder))
            files = [(one, _written(one, Path(folder))) for one in made]
            worst = max(check_export(one.network, path, *one.shapes) for one, path in files)
            megabytes = sum(path.stat().st_size for _, path in files) / 1e6
    except Exception as error:  # whatever it is, the others still want to be tried
        return Exported(*head, 0.0, 0.0, None, time.perf_counter() - start, f"{type(error).__name__}: {error}")
    count = sum(parameters(one.network) for one in made) / 1e6
    return Exported(*head, count, megabytes, worst, time.perf_counter() - start)


def _graphs(recipe: Recipe, folder: Path) -> tuple[Graph, ...]:
    if not is_yolo(recipe):
        return graphs(recipe, build(recipe.network, "network"))
    plan: yolo.YoloPlan = build(recipe.network, "network")
    network = yolo._for_export(yolo._ultralytics(folder)(plan.model).model)
    return (Graph("network", network, [(recipe.channels, *recipe.input.size)], ["image"], ["boxes"]),)


def _written(graph: Graph, folder: Path) -> Path:
    path = folder / f"{graph.role}.onnx"
    path.write_bytes(graph.onnx().SerializeToString())
    return path
