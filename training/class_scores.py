"""Scores of a classifier, one row for each image, their CSV file, and the figures that follow from them.

A picture in which the localiser found nothing is given no class. That is right where its category is ``normal`` and
wrong for any other; it has no probabilities, and so no part in AUROC and calibration.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.metrics.calibration import Reliability, reliability, top_label
from training.metrics.classify import auroc, confusion_matrix
from training.summary import Figure, figure, resampled

COLUMNS = ("image", "group", "category", "guess", "counted", "right")
# Before a class's name, the column of its probability.
P = "p_"
NORMAL, NOTHING = "normal", "nothing found"


@dataclass(frozen=True)
class ClassScore:
    """One image.

    Attributes:
        image: name of the case.
        group: that images of one patient share.
        category: of the case.
        guess: the likeliest class, empty where there was nothing to look at.
        counted: False where the category is ambiguous, or none of the classes.
        probabilities: of each class by name, NaN without a guess.
    """

    image: str
    group: str
    category: str
    guess: str
    counted: bool
    probabilities: Mapping[str, float]

    @property
    def right(self) -> bool:
        """Whether the guess is the category."""
        return (self.guess or NORMAL) == self.category


@dataclass(frozen=True, eq=False)
class Classified:
    """The rows of all images of a part.

    Attributes:
        names: of the classes.
        rows: at least one of which counts.
    """

    names: tuple[str, ...]
    rows: Sequence[ClassScore]

    @cached_property
    def counted(self) -> list[ClassScore]:
        """The rows that count. Raises ValueError where none does."""
        found = [row for row in self.rows if row.counted]
        if not found:
            raise ValueError(
                f"Found no image of the classes {', '.join(self.names)}; wanted at least one that is not ambiguous. "
                "Measure on other images, or mend the recipe's `classes`."
            )
        return found

    @cached_property
    def known(self) -> list[ClassScore]:
        """Those of them that have probabilities."""
        return [row for row in self.counted if row.guess]

    @cached_property
    def figures(self) -> dict[str, Figure]:
        """Accuracy, and the AUROC of each class against the others and their mean, with 95 % intervals by group."""
        right = figure([float(row.right) for row in self.counted], [row.group for row in self.counted])
        each = {f"auroc_{name}": self._auroc([name]) for name in self.names}
        return {"accuracy": right, **each, "auroc_mean": self._auroc(self.names)}

    def _auroc(self, names: Sequence[str]) -> Figure:
        tables = [(self._of(name), np.array([row.category == name for row in self.known])) for name in names]

        def mean(drawn: NDArray[np.float64]) -> float:
            places = drawn.astype(np.intp)
            return float(np.mean([auroc(values[places], truth[places]) for values, truth in tables]))

        # Of one class alone there is nothing to tell apart, in whatever draw.
        if not all(truth.any() and not truth.all() for _, truth in tables):
            return Figure(math.nan, math.nan, math.nan, 0, len(self.counted))
        return resampled(mean, [row.group for row in self.known], len(self.counted) - len(self.known))

    def _of(self, name: str) -> NDArray[np.float64]:
        return np.array([row.probabilities[name] for row in self.known])

    @property
    def confusion(self) -> NDArray[np.int64]:
        """(classes, classes + 1): rows are the truth, columns the guess, the last one where there was none."""
        places = {name: place for place, name in enumerate((*self.names, NOTHING))}
        guess = [places[row.guess or NOTHING] for row in self.counted]
        return confusion_matrix(guess, [places[row.category] for row in self.counted], len(places))[:-1]

    @property
    def calibration(self) -> Reliability:
        """Bins of the highest probability of each image against whether its class is right."""
        table = np.stack([self._of(name) for name in self.names], axis=1) if self.known else np.zeros((0, 1))
        truth = [self.names.index(row.category) for row in self.known]
        return reliability(*top_label(table, truth))


def write_classes(found: Classified, path: Path) -> None:
    """Write one row a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*COLUMNS, *(P + name for name in found.names)])
        writer.writerows(_cells(row, found.names) for row in found.rows)


def _cells(row: ClassScore, names: Sequence[str]) -> list[Any]:
    told = (row.image, row.group, row.category, row.guess, int(row.counted), int(row.right))
    return [*told, *(f"{row.probabilities[name]:.6g}" if row.guess else "" for name in names)]


def read_classes(path: Path) -> Classified:
    """What `write_classes` wrote. Raises FileNotFoundError for no file and ValueError for other columns."""
    if not path.is_file():
        raise FileNotFoundError(f"Found no {path}; wanted the scores of a classifier. Evaluate its run first.")
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        columns = tuple(reader.fieldnames or ())
        names = tuple(name.removeprefix(P) for name in columns[len(COLUMNS) :])
        if columns[: len(COLUMNS)] != COLUMNS or not names:
            raise ValueError(f"Found other columns in {path}; wanted {', '.join(COLUMNS)}. Evaluate the run anew.")
        return Classified(names, [_row(row, names) for row in reader])


def _row(row: Mapping[str, str], names: Sequence[str]) -> ClassScore:
    told = {name: float(row[P + name] or "nan") for name in names}
    return ClassScore(row["image"], row["group"], row["category"], row["guess"], row["counted"] == "1", told)
