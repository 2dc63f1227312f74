"""Boxes of stage 1 for stage 2 to learn from, each by a network that did not learn from the picture it looked at.

A localiser finds more on what it was trained on than a patient will ever get from it; a stage 2 that is taught on such
boxes never learns to do with less.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from service.manifest import Edge
from service.stages import Stage
from training.datasets.case import Case
from training.export import deployable, digest, export_network
from training.fit import BEST, LAST
from training.kinship import Corpus, Kinship, Known, learned
from training.localiser import Found, boxes_on, open_stage
from training.phases import Chain
from training.prepare.disk import write_whole
from training.recipe import Recipe, read_recipe
from training.regions import write_boxes
from training.run_folder import CONFIG
from training.yolo import DECODE as YOLO
from training.yolo import ONNX, is_yolo

SOURCES = ".sources.json"
THRESHOLD = 0.5


@dataclass(frozen=True)
class Looking:
    """How a run's network localises.

    Attributes:
        block: its block of a manifest, but for input and weights.
        label: of the regions that are wanted, None for all.
        region: labels whose largest part together is wanted, in the place of one label.
        side: the edge at which it knows the chest wall, None where that is no matter.
        mirror: take the mean over a picture and its mirror image.
        checkpoint: weights that look, ``best`` or ``last``.
    """

    block: Mapping[str, Any]
    label: str | None = None
    mirror: bool = False
    checkpoint: str = "best"
    region: tuple[str, ...] = ()
    side: Edge | None = None


def natural_look(recipe: Recipe, label: str | None = None) -> Looking:
    """How a recipe's network localises where no template says it: all that is more likely than not.

    Raises ValueError for a task that finds no regions in a whole picture, and without a label that it has.
    """
    block = {"name": "localise", "kind": "segment", "labels": ["lesion"], "threshold": THRESHOLD}
    match recipe.task:
        case "localise":
            decode = YOLO if is_yolo(recipe) else {"kind": "components", "threshold": THRESHOLD}
            return Looking(block | {"kind": "detect", "decode": decode}, label)
        case "whole":
            return Looking(block, label)
        case "labels":
            return Looking(block | {"labels": _named(recipe, label), "exclusive": True}, label)
    raise ValueError(
        f"Found task {recipe.task} of {recipe.name}; wanted localise, whole or labels, which look at whole pictures. "
        "Give a stage 1."
    )


def _named(recipe: Recipe, label: str | None) -> list[str]:
    names = list(recipe.names[1:])
    if label not in names:
        raise ValueError(f"Found label {label} for {recipe.name}; wanted one of {', '.join(names)}. Pass --label.")
    return names


def opened(run: Path, look: Looking) -> Stage:
    """A finished run's network as a stage of the service; its graph is kept in the run folder."""
    recipe = read_recipe(run / CONFIG)
    graph = run / ONNX if is_yolo(recipe) else _graph(run, recipe, look)
    return open_stage(dict(look.block) | {"input": recipe.input.model_dump(mode="json")}, graph)


def _graph(run: Path, recipe: Recipe, look: Looking) -> Path:
    weights = run / (LAST if look.checkpoint == "last" else BEST)
    graph = run / f"{weights.stem}{'_mirrored' if look.mirror else ''}.onnx"
    if not graph.is_file() or graph.stat().st_mtime < weights.stat().st_mtime:
        export_network(deployable(recipe, [weights], mirror=look.mirror), recipe, graph)
    return graph


@dataclass(eq=False)
class Boxes:
    """Boxes while they are gathered.

    Attributes:
        wanted: the cases that need boxes.
        found: boxes by case.
        sources: cases by the run that looked at them.
        kinship: tells who knows whom.
        known: cases that the stage 1 to be served knows.
    """

    wanted: Corpus
    found: Found = field(default_factory=dict)
    sources: dict[str, list[str]] = field(default_factory=dict)
    kinship: Kinship = field(default_factory=Kinship)
    known: Known = field(default_factory=dict)

    @property
    def missing(self) -> list[Case]:
        """Cases without boxes so far."""
        return [case for case in self.wanted.cases if case.name not in self.found]

    def add(self, run: Path, look: Looking, cases: Sequence[Case]) -> None:
        """Let a run look at cases that it does not know: the caller has asked `Kinship.known`."""
        if not cases:
            return
        self.found |= boxes_on(opened(run, look), cases, look.label, look.region, look.side)
        self.sources[str(run)] = [case.name for case in cases]

    def write(self, path: Path) -> Path:
        """Write the boxes, and beside them, as ``<stem>.sources.json``, which run looked at which case."""
        write_sources(self.sources, path)
        # Written last: its presence says that all boxes are there.
        write_boxes({case.name: self.found[case.name] for case in self.wanted.cases if case.name in self.found}, path)
        return path


class Asked(Protocol):
    """What stage 1 tells of pictures, while it is gathered: boxes, or maps. Attributes are those of `Boxes`."""

    wanted: Corpus
    kinship: Kinship
    known: Known

    @property
    def missing(self) -> list[Case]: ...

    def add(self, run: Path, look: Looking, cases: Sequence[Case]) -> None: ...

    def write(self, path: Path) -> Path: ...


def write_sources(sources: Mapping[str, Sequence[str]], path: Path) -> None:
    """Write beside ``path``, as ``<stem>.sources.json``, which run told of which cases, and its weights' digest."""
    told = {run: {"weights": digest(_weights(Path(run))), "cases": list(names)} for run, names in sources.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path.with_suffix(SOURCES), (json.dumps(told, indent=1) + "\n").encode())


def _weights(run: Path) -> Path:
    return next(path for path in (run / ONNX, run / BEST) if path.is_file())


def boxes_of_runs(runs: Sequence[Path], look: Looking, wanted: Corpus, data: Path | None = None) -> Boxes:
    """Every case looked at by the first of the finished runs that does not know it; ``data`` is where they learned.

    Raises ValueError where all runs know a case, and what `training.kinship.learned` raises.
    """
    boxes = Boxes(wanted)
    for run in runs:
        known = boxes.kinship.known(wanted, learned(run, data))
        boxes.add(run, look, [case for case in boxes.missing if case.name not in known])
    if boxes.missing:
        raise ValueError(
            f"Found {len(boxes.missing)} of {len(wanted.cases)} pictures, the first {boxes.missing[0].name}, that "
            "every run was trained or validated on; wanted for each a run that was not. Give runs that leave out other "
            "folds (`fit --fold`), or recipes in their place."
        )
    return boxes


def boxes_of_chain(chain: Chain, look: Looking, wanted: Corpus, *, folds: bool = True) -> Boxes:
    """Train a chain, and let it look at what it does not know; then without each fold that it does, for the rest.

    Without ``folds`` only the chain itself looks, at what it was not trained on; what it was only validated on counts
    as unknown, and trained cases stay without boxes.

    Raises ValueError where nothing is left to train on.
    """
    boxes = Boxes(wanted)
    ask_chain(boxes, chain, look, folds=folds)
    return boxes


def ask_chain(asked: Asked, chain: Chain, look: Looking, *, folds: bool = True) -> None:
    """What `boxes_of_chain` does, for whatever stage 1 tells."""
    wanted, run = asked.wanted, chain.train()
    lessons = learned(run, chain.data, validation=folds)
    asked.known = asked.kinship.known(wanted, lessons)
    asked.add(run, look, [case for case in asked.missing if case.name not in asked.known])
    for left_out, cases in _by_folds(asked.known, asked.missing).items() if folds else ():
        _check_left({case.fold for case in lessons[0].cases}, left_out)
        other = chain.without(left_out)
        other.train()
        _check_unknown(asked.kinship.known(wanted, learned(other.run, chain.data)), cases, other.run)
        asked.add(other.run, look, cases)


def _by_folds(known: Known, cases: Sequence[Case]) -> dict[tuple[int, ...], list[Case]]:
    """Cases by the folds that must be left out for them."""
    found: dict[tuple[int, ...], list[Case]] = {}
    for case in cases:
        found.setdefault(tuple(sorted({one.fold for one in known[case.name]})), []).append(case)
    return dict(sorted(found.items()))


def _check_left(folds: set[int], left_out: Sequence[int]) -> None:
    if not folds - set(left_out):
        raise ValueError(
            f"Found folds {sorted(folds)} to train on, of which {list(left_out)} are to be looked at; wanted at least "
            "one more to train on. Take the regions from held_out."
        )


def _check_unknown(known: Known, cases: Sequence[Case], run: Path) -> None:
    for case in cases:
        if case.name in known:
            raise ValueError(
                f"Found that {run} learned from {known[case.name][0].name}, which shows {case.name}; wanted a run that "
                "did not. Begin its training with weights that never saw it."
            )
