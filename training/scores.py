"""Scores of one method, one row for each image and label, and their CSV file.

Columns never change: what a row cannot say is an empty cell. Lengths are in pixels of the image's own grid (``_px``) or
in millimetres (``_mm``, where the data set knows them). Where truth and mask are both empty, Dice, IoU, precision and
recall are 1; with one of them empty they are 0, and distances between borders are not defined.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.datasets.case import Case
from training.metrics.detection import match_masks
from training.metrics.overlap import Counts, Empty, counts, measures
from training.metrics.shape import shape_of
from training.metrics.surface import hd95, surface_dice

Mask = NDArray[np.bool_]
# Borders this close are taken for the same; about what two readers differ by.
TOLERANCE_PX = 2.0
# A found lesion is one that a part of the mask overlaps with this IoU.
FOUND = 0.1
MEAN = "mean of labels"
_SLICE = re.compile(r"_z\d+$")


@dataclass(frozen=True)
class Score:
    """One label of one image, or of one volume.

    Attributes:
        image: name of the case.
        label: what is outlined.
        category: of the case.
        group: that images of one patient share.
        volume: that slices of one volume share, empty where the image is no slice.
        pixels, truth_px, mask_px, overlap_px: pixels of the image, the truth, the mask and of both.
        dice, iou, precision, recall, specificity, accuracy: 0 to 1.
        hd95_px, hd95_mm: 95th percentile of the distance between the borders.
        surface_dice_2px: share of both borders within 2 pixels of the other.
        lesions: connected parts of the truth.
        lesions_found: those that a part of the mask overlaps with an IoU of 0.1.
        false_positives: parts of the mask that overlap no lesion so.
        solidity: of the mask, pixels over those of its convex hull.
    """

    image: str
    label: str
    category: str
    group: str
    volume: str
    pixels: int
    truth_px: int
    mask_px: int
    overlap_px: int
    dice: float
    iou: float
    precision: float
    recall: float
    specificity: float
    accuracy: float
    hd95_px: float = math.nan
    hd95_mm: float = math.nan
    surface_dice_2px: float = math.nan
    lesions: float = math.nan
    lesions_found: float = math.nan
    false_positives: float = math.nan
    solidity: float = math.nan

    @property
    def counts(self) -> Counts:
        """Pixels by truth and mask."""
        only_mask, only_truth = self.mask_px - self.overlap_px, self.truth_px - self.overlap_px
        return Counts(self.overlap_px, only_mask, only_truth, self.pixels - self.overlap_px - only_mask - only_truth)


COLUMNS = tuple(field.name for field in fields(Score))
_WHOLE = {"pixels", "truth_px", "mask_px", "overlap_px"}
_WORDS = {"image", "label", "category", "group", "volume"}


def volume_of(name: str) -> str:
    """The volume that a slice belongs to by its name (``<volume>_z012``), empty for any other picture."""
    return _SLICE.sub("", name) if _SLICE.search(name) else ""


def score(case: Case, label: str, guess: Mask, truth: Mask) -> Score:
    """Scores of one label's mask, both (height, width). Raises ValueError for different shapes."""
    found = counts(guess, truth)
    parts, shape = match_masks(guess, truth, iou=FOUND), shape_of(guess)
    plain = _plain(case, label, found)
    return replace(
        plain,
        **_borders(guess, truth, case.spacing),
        lesions=parts.lesions,
        lesions_found=parts.found(0.5),
        false_positives=parts.made_up(0.5),
        solidity=shape.solidity,
    )


def _plain(case: Case, label: str, found: Counts) -> Score:
    pixels = (found.pixels, found.truth, found.mask, found.both)
    words = (case.name, label, case.category, case.group, volume_of(case.name))
    return Score(*words, *pixels, **measures(found, Empty.ONE))


def _borders(guess: Mask, truth: Mask, spacing: Sequence[float] | None) -> dict[str, float]:
    if not (guess.any() and truth.any()):
        return {}
    return {
        "hd95_px": hd95(guess, truth, (1, 1)),
        "hd95_mm": hd95(guess, truth, spacing) if spacing else math.nan,
        "surface_dice_2px": surface_dice(guess, truth, (1, 1), tolerance=TOLERANCE_PX),
    }


def score_labels(case: Case, names: Sequence[str], guess: NDArray[np.uint8], truth: NDArray[np.uint8]) -> list[Score]:
    """A row for each label 1, 2, ..., named by ``names``, and with several labels one for their mean.

    Pixels of another value in the truth (such as 255 for "ignore") count as background of every label.
    """
    rows = [score(case, name, guess == label, truth == label) for label, name in enumerate(names, start=1)]
    return rows if len(rows) == 1 else [*rows, _mean(rows)]


def _mean(rows: Sequence[Score]) -> Score:
    """The mean over the labels that truth or mask have; pixels are added up."""
    there = [row for row in rows if row.truth_px or row.mask_px] or list(rows)
    values = {name: _nanmean([getattr(row, name) for row in there]) for name in COLUMNS if name not in _WORDS | _WHOLE}
    sums = {name: sum(getattr(row, name) for row in rows) for name in _WHOLE}
    return replace(rows[0], label=MEAN, **sums, **values)


def _nanmean(values: Sequence[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


def by_volume(rows: Iterable[Score]) -> list[Score]:
    """One row for each volume and label: overlap of all its slices together. Images that are no slices are left out."""
    volumes: dict[tuple[str, str], list[Score]] = {}
    for row in rows:
        if row.volume:
            volumes.setdefault((row.volume, row.label), []).append(row)
    return [_volume(slices) for slices in volumes.values()]


def _volume(slices: Sequence[Score]) -> Score:
    first = slices[0]
    found = sum((row.counts for row in slices), Counts())
    category = max((row.category for row in slices), key=lambda category: category != "normal")
    pixels = (found.pixels, found.truth, found.mask, found.both)
    return Score(first.volume, first.label, category, first.group, first.volume, *pixels, **measures(found, Empty.ONE))


def write_scores(rows: Iterable[Score], path: Path) -> None:
    """Write one row a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows({name: _cell(value) for name, value in asdict(row).items()} for row in rows)


def _cell(value: object) -> object:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.6g}"
    return value


def read_scores(path: Path) -> list[Score]:
    """What `write_scores` wrote. Raises FileNotFoundError for no file and ValueError for other columns."""
    if not path.is_file():
        raise FileNotFoundError(f"Found no {path}; wanted the scores of a run. Evaluate it first.")
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise ValueError(f"Found other columns in {path}; wanted {', '.join(COLUMNS)}. Evaluate the run anew.")
        return [Score(**{name: _value(name, text) for name, text in row.items()}) for row in reader]


def _value(name: str, text: str) -> str | int | float:
    if name in _WORDS:
        return text
    return int(text) if name in _WHOLE else float(text or "nan")
