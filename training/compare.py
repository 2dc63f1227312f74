"""Train recipes under one protocol and put them into one table; what is finished is not done again.

``OUT/runs/<recipe>`` holds the trainings, ``OUT/evaluations`` every prediction and score, ``OUT/table.md``,
``table.csv`` and ``quality_against_cost.png`` the result. Stopped and started again, it goes on after the last finished
epoch.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from service.manifest import Look
from training.choices import Part, Regions
from training.cost import Cost, cost
from training.datasets.case import Case
from training.evaluate_run import Boxes, Images, evaluate_run, images_of, natural_regions
from training.graphs import graphs, of_prediction
from training.hardware import processor
from training.localiser import boxes_on, first_stage
from training.predict import predictor
from training.prompts import Prompts, places_of
from training.recipe import Recipe
from training.regions import read_boxes, write_boxes
from training.samples import region_of
from training.table import Method, Results, write_table
from training.trained import epochs_within, finish, recipe_of, trained

# For networks made for whole pictures when they are trained on crops: half a side of surroundings, as in our cascade.
LOOK = Look(square=True, margin=0.5, minimum=48)


@dataclass(frozen=True)
class Entry:
    """A recipe to be trained, by the name that the table prints."""

    name: str
    recipe: Recipe


@dataclass(frozen=True)
class Protocol:
    """What all methods of a table have in common.

    Attributes:
        data: folder of the recipes' data set.
        out: folder to write to.
        part: of the split that is measured.
        regions: where networks look; empty: each where it was trained to look.
        fold: kept for testing, None for the recipes' own.
        epochs: for all, None for the recipes' own.
        minutes: of training that each method gets on this machine, None for no limit.
        boxes: JSON file of a localiser's boxes, or a pipeline folder whose first stage localises. What the file says of
            training cases is trained on as well: it must come from networks that never saw them.
        externals: further data sets by name, whole, each with a table of its own.
        threads: of ONNX Runtime when it is timed.
        options: arguments of the data set that are others when it is measured, such as ``policy: all`` for every slice.
    """

    data: Path
    out: Path
    part: Part = Part.test
    regions: tuple[Regions, ...] = ()
    fold: int | None = None
    epochs: int | None = None
    minutes: float | None = None
    boxes: Path | None = None
    externals: Mapping[str, Sequence[Case]] | None = None
    threads: int = 1
    options: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Trial:
    """A finished run, its name in the table, and where it looks; None as it was trained."""

    name: str
    run: Path
    regions: Regions | None


def compare(entries: Sequence[Entry], protocol: Protocol, title: str) -> Path:
    """Train what is not trained yet, measure, write the table; returns the path of its Markdown.

    Asked for regions, a recipe is trained once on whole pictures and once on crops, as far as the regions need both.

    Raises ValueError where recipes differ in their data or split or share a name, and what training raises.
    """
    planned = [(entry.name, _under(entry.recipe, protocol), entry) for entry in entries]
    variants = [
        (name, regions, looking(recipe, regions))
        for regions in protocol.regions or (None,)
        for name, recipe, _ in planned
    ]
    _check([recipe for _, _, recipe in variants])
    trials = [Trial(name, _trained(recipe, protocol), regions) for name, regions, recipe in variants]
    return compare_runs(trials, protocol, title)


def _under(recipe: Recipe, protocol: Protocol) -> Recipe:
    """The recipe as the protocol has it; epochs that fit the time are found later."""
    fold = recipe.test_fold if protocol.fold is None else protocol.fold
    changes = {} if protocol.epochs is None else {"epochs": protocol.epochs}
    schedule = recipe.schedule.model_copy(update=changes)
    return recipe.model_copy(update={"test_fold": fold, "schedule": schedule})


def looking(recipe: Recipe, regions: Regions | None) -> Recipe:
    """The recipe made to train on what it will be measured on: whole pictures for ``none``, else crops around boxes.

    One that is so already, and a prompted network, is left as it is.
    """
    crops = region_of(recipe) != "whole"
    if regions is None or recipe.task == "prompt" or crops == (regions is not Regions.none):
        return recipe
    region = "whole" if crops else "crop"
    look = LOOK if region == "crop" and recipe.look == Look() else recipe.look
    return recipe.model_copy(update={"name": f"{recipe.name}_{region}", "region": region, "look": look})


def _check(recipes: Sequence[Recipe]) -> None:
    """One data set and split, lest one network be tested on what another learned; a name is one recipe's."""
    if not recipes:
        raise ValueError("Found no recipe; wanted at least one to compare. Name some.")
    known: dict[str, Recipe] = {}
    for recipe in recipes:
        first = recipes[0]
        found, wanted = ((one.dataset, one.test_fold, one.validation, one.excluded) for one in (recipe, first))
        if found != wanted:
            raise ValueError(
                f"Found {recipe.name} on {_said(recipe)}; wanted {_said(first)}, as {first.name} has it. Compare "
                "recipes of one data set and split, or pass --fold."
            )
        if known.setdefault(recipe.name, recipe) != recipe:
            raise ValueError(f"Found two recipes called {recipe.name}; wanted each name once. Rename one of them.")


def _said(recipe: Recipe) -> str:
    left_out = f", without folds {list(recipe.excluded)}" if recipe.excluded else ""
    return f"{recipe.dataset.path}, test fold {recipe.test_fold}, validation {recipe.validation}{left_out}"


def _trained(recipe: Recipe, protocol: Protocol) -> Path:
    boxed = region_of(recipe) != "whole" or recipe.task == "prompt"
    if protocol.boxes is not None and protocol.boxes.is_file() and boxed:
        recipe = recipe.model_copy(update={"boxes": protocol.boxes})
    if protocol.minutes is not None:
        pilot = protocol.out / "pilots" / recipe.name
        epochs = epochs_within(recipe, protocol.data, protocol.minutes, pilot)
        recipe = recipe.model_copy(update={"schedule": recipe.schedule.model_copy(update={"epochs": epochs})})
    return finish(recipe, protocol.data, protocol.out / "runs" / recipe.name)


def compare_runs(trials: Sequence[Trial], protocol: Protocol, title: str) -> Path:
    """Measure finished runs and write the table; returns the path of its Markdown.

    The first run's split says what is measured. Raises ValueError where another run was trained on some of it.
    """
    recipes = [recipe_of(trial.run) for trial in trials]
    check_one_split(recipes)
    home = images_of(recipes[0], protocol.data, protocol.part, protocol.options)
    sets = [home, *(Images(name, cases) for name, cases in (protocol.externals or {}).items())]
    results = [Results(images.name, _methods(trials, images, protocol)) for images in sets]
    return write_table(results, protocol.out, title, _notes(home, protocol))


def check_one_split(recipes: Sequence[Recipe]) -> None:
    for recipe in recipes:
        first = recipes[0]
        if (recipe.dataset, recipe.test_fold, recipe.validation) != (first.dataset, first.test_fold, first.validation):
            raise ValueError(
                f"Found a run trained on {_said(recipe)}; wanted {_said(first)}, as the first one: else it may have "
                "learned what is measured. Compare runs of one split."
            )


def _methods(trials: Sequence[Trial], images: Images, protocol: Protocol) -> list[Method]:
    boxes = _boxes(trials, images, protocol)
    return [_method(trial, images, protocol, boxes) for trial in trials]


def _method(trial: Trial, images: Images, protocol: Protocol, boxes: Boxes | None) -> Method:
    regions = trial.regions or natural_regions(recipe_of(trial.run), boxes)
    out = protocol.out / "evaluations" / _slug(images.name) / f"{trial.run.resolve().name}_{regions}"
    scores = evaluate_run(trial.run, images, out, regions, boxes)
    price = cost_of(trial.run, protocol.out / "costs", protocol.threads)
    return Method(trial.name, str(regions), trained(trial.run), price, scores)


def _boxes(trials: Sequence[Trial], images: Images, protocol: Protocol) -> Boxes | None:
    """A localiser's boxes on these images, where any method needs them."""
    source, wanted = protocol.boxes, {trial.regions for trial in trials}
    if source is None:
        if Regions.detector in wanted:
            raise ValueError("Found regions detector but no boxes; wanted a localiser's. Pass --boxes.")
        return None
    if source.is_file():
        return read_boxes(source)
    known = protocol.out / "boxes" / f"{_slug(images.name)}_{_slug(str(source.resolve()))}.json"
    if not known.is_file():
        write_boxes(boxes_on(first_stage(source), images.cases), known)
    return read_boxes(known)


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")


def cost_of(run: Path, folder: Path, threads: int) -> Cost:
    """What a run's network costs, measured once for each network and number of threads and kept in ``folder``."""
    recipe = recipe_of(run)
    prompted = places_of(Prompts.model_validate(recipe.prompts)) if recipe.task == "prompt" else None
    built = [recipe.network.model_dump(mode="json"), prompted, recipe.channels, recipe.input.size, threads]
    key = hashlib.sha256(json.dumps(built).encode()).hexdigest()[:12]
    path = folder / f"{_slug(recipe.network.path)}_{key}.json"
    if not path.is_file():
        network = predictor(run, device="cpu")
        found = cost(of_prediction(graphs(network.recipe, network.network)), threads)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(found)), encoding="utf-8")
    return Cost(**json.loads(path.read_text(encoding="utf-8")))


def _notes(home: Images, protocol: Protocol) -> list[str]:
    groups = len({case.group for case in home.cases})
    notes = [
        f"Measured on {home.name}: {len(home.cases)} images in {groups} groups; weights of the epoch that was best on "
        "the validation part.",
        f"Milliseconds: median of one image by ONNX Runtime on {processor()}, {protocol.threads} "
        f"thread{'' if protocol.threads == 1 else 's'}, preparation not counted.",
        "Regions: none, whole pictures; detector, inside a localiser's boxes; truth, inside boxes of the true lesions, "
        "an oracle that also knows which images have none.",
    ]
    if protocol.minutes is not None:
        notes.append(f"Each method had {protocol.minutes:g} minutes: its epochs are those that fit, by a first one.")
    return notes
