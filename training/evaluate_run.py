"""Measure one trained network on the cases of a part: every prediction, a row for each image, a summary.

``predictions/<case>.png`` (indexed, pixel value = label, on the image's grid), ``scores.csv`` (`training.scores`) and
``summary.json``, which says on what, where the network looked and by which weights. For classifiers see
`training.evaluate_classifier`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Pillow
from rich.console import Console
from rich.progress import track

from service.image import Region
from training.choices import Part, Regions
from training.datasets.case import Case, Labels
from training.export import digest
from training.figures.tiles import INK
from training.fit import BEST
from training.looking import Subject
from training.map_files import with_maps
from training.metrics.calibration import Reliability, reliability
from training.predict import predictor
from training.recipe import Recipe
from training.samples import region_of
from training.sampling import parts_of
from training.scores import Score, read_scores, score_labels, write_scores
from training.summary import CONVENTION, as_json, curve, plain, sets
from training.volume_scores import Slice, Volumes

PREDICTIONS, SCORES, SUMMARY = "predictions", "scores.csv", "summary.json"
# Raised when the same network on the same cases would get other scores, so that older ones are not taken for them.
EDITION = 2
Boxes = Mapping[str, Sequence[Region]]


@dataclass(frozen=True, eq=False)
class Images:
    """Cases that belong together in a table, and what they are called."""

    name: str
    cases: Sequence[Case]


def images_of(recipe: Recipe, data: Path, part: Part, options: Mapping[str, Any] | None = None) -> Images:
    """The cases of a part of the recipe's split.

    ``options`` change arguments of the data set, lest what is measured be as chosen as what is trained on (``policy:
    all`` for every slice of a volume). Raises ValueError where the part is empty.
    """
    changed = {**recipe.dataset.arguments, **(options or {})}
    recipe = recipe.model_copy(update={"dataset": recipe.dataset.model_copy(update={"arguments": changed})})
    split = parts_of(recipe, data)
    said = ", ".join(f"{name} {value}" for name, value in (options or {}).items())
    name = f"{data_set(recipe)}{f' with {said}' if said else ''} fold {recipe.test_fold}"
    beside = f"validation part beside {name}"
    cases = with_maps(split.test if part is Part.test else split.validation, recipe.maps)
    named = Images(name if part is Part.test else beside, cases)
    if not named.cases:
        raise ValueError(f"Found no case in {named.name}; wanted at least one. Check the data set and the test fold.")
    return named


def data_set(recipe: Recipe) -> str:
    """The recipe's data set as tables call it."""
    return recipe.dataset.path.split(".")[-2].upper()


def natural_regions(recipe: Recipe, boxes: Boxes | None) -> Regions:
    """Where a network looks if nothing else is asked for: as it was trained; at true boxes if no others are known."""
    whole = recipe.prompts.get("source") == "whole" if recipe.task == "prompt" else region_of(recipe) == "whole"
    if whole:
        return Regions.none
    return Regions.detector if boxes is not None else Regions.truth


def evaluate_run(
    run: Path, images: Images, out: Path, regions: Regions | None = None, boxes: Boxes | None = None
) -> list[Score]:
    """Measure the best weights of a run folder and write everything to ``out``; what is there already is read.

    ``regions`` None looks where the network was trained to look. Raises FileNotFoundError for what is no run folder
    and ValueError where boxes are missing.
    """
    network = predictor(run)
    chosen = regions or natural_regions(network.recipe, boxes)
    key = key_of(run, images, chosen, boxes)
    if key_in(out) == key:
        return read_scores(out / SCORES)
    subject = Subject(network, chosen, boxes or {})
    rows, bins = _measured(subject, images, out)
    write_scores(rows, out / SCORES)
    content = key | {"recipe": subject.recipe.name, "convention": CONVENTION} | _summary(rows, bins)
    (out / SUMMARY).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return rows


def key_of(run: Path, images: Images, regions: Regions, boxes: Boxes | None) -> dict[str, Any]:
    """What decides about every score of an evaluation."""
    told = {case.name: [list(box.box) for box in (boxes or {}).get(case.name, ())] for case in images.cases}
    used = json.dumps(told if regions is Regions.detector else sorted(told)).encode()
    return {
        "run": run.resolve().name,
        "weights": digest(run / BEST),
        "on": images.name,
        "images": len(images.cases),
        "regions": str(regions),
        "cases": hashlib.sha256(used).hexdigest(),
        "edition": EDITION,
    }


def key_in(out: Path) -> dict[str, Any] | None:
    """The key of a finished evaluation."""
    if not (out / SUMMARY).is_file():
        return None
    content = json.loads((out / SUMMARY).read_text(encoding="utf-8"))
    return {name: content.get(name) for name in ("run", "weights", "on", "images", "regions", "cases", "edition")}


def _measured(subject: Subject, images: Images, out: Path) -> tuple[list[Score], Reliability]:
    (out / PREDICTIONS).mkdir(parents=True, exist_ok=True)
    rows: list[Score] = []
    bins: list[Reliability] = []
    volumes = Volumes.of(images.cases, subject.names)
    for case in track(images.cases, f"{subject.recipe.name} on {images.name}", console=Console(stderr=True)):
        guess = subject.guess(case)
        _write_prediction(guess.labels, prediction_of(out, case))
        rows += score_labels(case, subject.names, guess.labels, guess.truth, guess.probability)
        rows += volumes.add(Slice(case, guess.labels, guess.truth))
        bins.append(reliability(guess.foreground, guess.truth > 0))
    return rows, sum(bins[1:], bins[0])


def _write_prediction(labels: Labels, path: Path) -> None:
    picture = Pillow.fromarray(labels)
    # All 256 entries, lest Pillow pack pixels into fewer bits.
    picture.putpalette(INK[np.r_[0, np.arange(255) % (len(INK) - 1) + 1]].tobytes())
    picture.save(path, "PNG")


def _summary(rows: Sequence[Score], bins: Reliability) -> dict[str, Any]:
    names = dict.fromkeys(row.label for row in rows)
    by_label = {name: [row for row in rows if row.label == name] for name in names}
    return {
        "labels": {name: as_json(sets(some)) for name, some in by_label.items()},
        "froc": plain({name: curve(some) for name, some in by_label.items()}),
        "calibration": calibration(bins),
    }


def calibration(bins: Reliability) -> dict[str, Any]:
    """Calibration error and bins as `read_calibration` reads them."""
    parts = {name: getattr(bins, name).tolist() for name in ("counts", "probabilities", "positives")}
    return {"error": round(bins.error, 6), **parts}


def prediction_of(out: Path, case: Case) -> Path:
    """The file of a case's prediction in an evaluation's folder."""
    return out / PREDICTIONS / f"{re.sub(r'[^A-Za-z0-9 ._()-]+', '_', case.name)}.png"


def read_prediction(out: Path, case: Case) -> Labels:
    """Labels (height, width) that an evaluation wrote. Raises FileNotFoundError where it did not."""
    path = prediction_of(out, case)
    if not path.is_file():
        raise FileNotFoundError(f"Found no prediction {path}; wanted an indexed PNG. Evaluate the run anew.")
    with Pillow.open(path) as picture:
        return np.array(picture, np.uint8)


def read_calibration(out: Path) -> Reliability:
    """The bins that an evaluation wrote. Raises FileNotFoundError where it did not."""
    path = out / SUMMARY
    if not path.is_file():
        raise FileNotFoundError(f"Found no {path}; wanted an evaluation's summary. Evaluate the run first.")
    bins = json.loads(path.read_text(encoding="utf-8"))["calibration"]
    return Reliability(*(np.array(bins[name]) for name in ("counts", "probabilities", "positives")))
