"""Label maps, such as tissue: Dice of each label on each picture, and the error of percent density.

Truth is matched to the stage's labels by name where the data set names its classes, else by number: label 1 of the
truth is the first that the stage gives. A label that is in neither truth nor answer counts nowhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.density import ADIPOSE, DENSE
from service.image import Image
from service.manifest import Manifest, Metric
from training.datasets.case import Case
from training.evaluate import Bench, Row
from training.evidence.intervals import known, mean
from training.evidence.plan import Measured
from training.metrics import dice

BACKGROUND = "background"
Labels = NDArray[np.uint8]


def label_rows(bench: Bench, cases: Sequence[Case], measured: Measured) -> list[Row]:
    """One row a picture: status, Dice of each label (None where nobody sees it), percent density of both."""
    names = labels_of(bench.pipeline.manifest, measured.stage)
    return [_row(bench, case, measured.stage, names) for case in cases]


def labels_of(manifest: Manifest, stage: str | None) -> tuple[str, ...]:
    """What the values of a truth are called: the background, then the stage's labels in its order."""
    masks = [one for one in manifest.stages if one.kind in ("segment", "prompt")]
    chosen = next((one for one in masks if one.name == stage), masks[-1])
    return (BACKGROUND, *chosen.labels)


def shown(case: Case) -> Image:
    """A case's picture as its data set reads it: films that are stored squashed have their shape back."""
    picture = np.asarray(case.read_image())
    return Image(picture[None, ..., None] if picture.ndim == 2 else picture[None])


def _row(bench: Bench, case: Case, stage: str | None, names: Sequence[str]) -> Row:
    result = bench.serve(shown(case), stage=stage).result
    truth, guess = case.read_mask(), np.zeros(case.read_mask().shape, np.uint8)
    for id_, name in result.mask.names.items():
        guess[result.mask.labels[0] == id_] = names.index(name)
    row: Row = {"image": case.name, "group": case.group, "status": result.status, "dice": _dice(guess, truth, names)}
    if {ADIPOSE, DENSE} <= set(names):
        row["percent_density"] = {"truth": _density(truth, names), "answer": _density(guess, names)}
    return row


def _dice(guess: Labels, truth: Labels, names: Sequence[str]) -> dict[str, float | None]:
    pairs = {name: (guess == place, truth == place) for place, name in enumerate(names)}
    return {name: dice(*pair) if pair[0].any() or pair[1].any() else None for name, pair in pairs.items()}


def _density(labels: Labels, names: Sequence[str]) -> float | None:
    dense, fat = (int((labels == list(names).index(name)).sum()) for name in (DENSE, ADIPOSE))
    return 100 * dense / (dense + fat) if dense + fat else None


def label_figures(rows: Sequence[Row], on: str) -> tuple[Metric, ...]:
    """Mean Dice of each label and of all but the background; mean absolute error and mean error of percent density."""
    names = list(rows[0]["dice"]) if rows else []
    found = [_of_label(rows, name, on) for name in names]
    if len(names) > 2:
        everything = [_average(row["dice"]) for row in rows]
        found.append(_mean("Dice, mean of the labels", everything, rows, on))
    return known([*found, *_density_error(rows, on)])


def _of_label(rows: Sequence[Row], name: str, on: str) -> Metric | None:
    return _mean(f"Dice, {name.replace('_', ' ')}", [row["dice"][name] for row in rows], rows, on)


def _average(found: Mapping[str, float | None]) -> float | None:
    values = [value for name, value in found.items() if name != BACKGROUND and value is not None]
    return float(np.mean(values)) if values else None


def _mean(name: str, values: Sequence[float | None], rows: Sequence[Row], on: str) -> Metric | None:
    pairs = [(value, row["group"]) for value, row in zip(values, rows, strict=True) if value is not None]
    return mean(name, [value for value, _ in pairs], on, [group for _, group in pairs])


def _density_error(rows: Sequence[Row], on: str) -> list[Metric | None]:
    both: list[Any] = [row["percent_density"] for row in rows if "percent_density" in row]
    errors = [one["answer"] - one["truth"] for one in both if None not in one.values()]
    return [
        mean("percent density, mean absolute error in points", [abs(error) for error in errors], on),
        mean("percent density, mean error in points", errors, on),
    ]
