"""Scores of one method, one row for each image and label, and their CSV file.

Slices of a volume are followed by a row for the volume itself, whose name stands in both columns ``image`` and
``volume``; its pixels are voxels, its borders and lesions those of the whole volume. Columns never change: what a row
cannot say is an empty cell. Lengths are in pixels of the image's own grid (``_px``) or in millimetres (``_mm``, where
the data set knows them). Where truth and mask are both empty, Dice, IoU, precision and recall are 1; with one of them
empty they are 0, and distances between borders are not defined.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.datasets.case import Case
from training.metrics.detection import Candidates, match_masks
from training.metrics.overlap import Counts, Empty, counts, measures
from training.metrics.shape import shape_of
from training.metrics.surface import hd95, surface_dice
from training.slices import volume_of

Mask = NDArray[np.bool_]
Float = NDArray[np.floating]
# Borders this close are taken for the same; about what two readers differ by.
TOLERANCE_PX = TOLERANCE_MM = 2.0
# A found lesion is one that a part of the mask overlaps with this IoU.
FOUND = 0.1
MEAN = "mean of labels"
# Everything that is outlined is a part, however low its score.
PARTS = {"threshold": float(np.finfo(np.float32).tiny), "iou": FOUND}
# What is written for an image whose mask has no part; an empty cell says that parts have no score.
NO_PART = "-"


@dataclass(frozen=True)
class Score:
    """One label of one image or, where ``image`` and ``volume`` are one name, of one volume.

    Attributes:
        image: name of the case.
        label: what is outlined.
        category: of the case.
        group: that images of one patient share.
        volume: that slices of one volume share, empty where the image is no slice.
        pixels, truth_px, mask_px, overlap_px: pixels of the image, the truth, the mask and of both.
        dice, iou, precision, recall, specificity, accuracy: 0 to 1.
        hd95_px, hd95_mm: 95th percentile of the distance between the borders.
        surface_dice_2px, surface_dice_2mm: share of both borders within 2 pixels or millimetres of the other.
        lesions: connected parts of the truth.
        lesions_found: those that a part of the mask overlaps with an IoU of 0.1.
        false_positives: parts of the mask that overlap no lesion so.
        solidity: of the mask, pixels over those of its convex hull, by pixel centres.
        parts: of the mask, ``score:lesion`` or ``score:`` each, blanks between; the score is the highest probability
            inside, the lesion the number of the one it overlaps.
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
    surface_dice_2mm: float = math.nan
    lesions: float = math.nan
    lesions_found: float = math.nan
    false_positives: float = math.nan
    solidity: float = math.nan
    parts: str = ""

    @property
    def is_volume(self) -> bool:
        """Whether this is the row of a volume, and not of one of its slices or of a picture."""
        return bool(self.volume) and self.image == self.volume

    @property
    def candidates(self) -> Candidates | None:
        """The mask's parts for a free-response curve, None where they have no score."""
        if not self.parts:
            return None
        pairs = [one.split(":") for one in self.parts.split()] if self.parts != NO_PART else []
        hits = (int(hit) if hit else None for _, hit in pairs)
        return Candidates(tuple(float(score) for score, _ in pairs), tuple(hits), int(self.lesions))

    @property
    def counts(self) -> Counts:
        """Pixels by truth and mask."""
        only_mask, only_truth = self.mask_px - self.overlap_px, self.truth_px - self.overlap_px
        return Counts(self.overlap_px, only_mask, only_truth, self.pixels - self.overlap_px - only_mask - only_truth)


COLUMNS = tuple(field.name for field in fields(Score))
_WHOLE = {"pixels", "truth_px", "mask_px", "overlap_px"}
_WORDS = {"image", "label", "category", "group", "volume", "parts"}
_COUNTED = {"lesions", "lesions_found", "false_positives"}


def score(case: Case, label: str, guess: Mask, truth: Mask, probability: Float | None = None) -> Score:
    """Scores of one label's mask, all (height, width), with its probability where there is one.

    Raises ValueError for different shapes.
    """
    words = (case.name, label, case.category, case.group, volume_of(case))
    plain = scored(words, guess, truth, case.spacing)
    found = match_masks(guess if probability is None else np.where(guess, probability, 0), truth, **PARTS)
    parts = "" if probability is None else _written(found)
    return replace(plain, **lesion_counts(found), solidity=shape_of(guess).solidity, parts=parts)


def scored(words: Sequence[str], guess: Mask, truth: Mask, spacing: Sequence[float] | None) -> Score:
    """Overlap and borders of one label of a picture or volume, ``spacing`` in mm along each axis where it is known.

    ``words`` are image, label, category, group and volume. Raises ValueError for different shapes.
    """
    found = counts(guess, truth)
    pixels = (found.pixels, found.truth, found.mask, found.both)
    return Score(*words, *pixels, **measures(found, Empty.ONE), **_borders(guess, truth, spacing))


def lesion_counts(found: Candidates) -> dict[str, Any]:
    """Lesions, those found, and false positives."""
    return {"lesions": found.lesions, "lesions_found": found.found(0), "false_positives": found.made_up(0)}


def _written(found: Candidates) -> str:
    pairs = zip(found.scores, found.hits, strict=True)
    return " ".join(f"{score:.6g}:{'' if hit is None else hit}" for score, hit in pairs) or NO_PART


def _borders(guess: Mask, truth: Mask, spacing: Sequence[float] | None) -> dict[str, float]:
    if not (guess.any() and truth.any()):
        return {}
    ones = (1.0,) * guess.ndim
    in_pixels = {
        "hd95_px": hd95(guess, truth, ones),
        "surface_dice_2px": surface_dice(guess, truth, ones, tolerance=TOLERANCE_PX),
    }
    return (
        in_pixels
        if spacing is None
        else in_pixels
        | {
            "hd95_mm": hd95(guess, truth, spacing),
            "surface_dice_2mm": surface_dice(guess, truth, spacing, tolerance=TOLERANCE_MM),
        }
    )


def score_labels(
    case: Case,
    names: Sequence[str],
    guess: NDArray[np.uint8],
    truth: NDArray[np.uint8],
    probability: Float | None = None,
) -> list[Score]:
    """A row for each label 1, 2, ..., named by ``names``, and with several labels one for their mean.

    Pixels of another value in the truth (such as 255 for "ignore") count as background of every label. ``probability``
    is (labels, height, width), without the background.
    """
    maps = [None] * len(names) if probability is None else list(probability)
    pairs = zip(names, maps, strict=True)
    return with_mean([score(case, name, guess == n, truth == n, one) for n, (name, one) in enumerate(pairs, start=1)])


def with_mean(rows: Sequence[Score]) -> list[Score]:
    """The rows of all labels of one image and, of several, one for their mean."""
    return list(rows) if len(rows) == 1 else [*rows, _mean(rows)]


def _mean(rows: Sequence[Score]) -> Score:
    """The mean over the labels that truth or mask have; pixels and lesions are added up."""
    there = [row for row in rows if row.truth_px or row.mask_px] or list(rows)
    added = _WHOLE | _COUNTED
    values = {name: _nanmean([getattr(row, name) for row in there]) for name in COLUMNS if name not in _WORDS | added}
    sums = {name: sum(getattr(row, name) for row in rows) for name in added}
    return replace(rows[0], label=MEAN, parts="", **sums, **values)


def _nanmean(values: Sequence[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


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
