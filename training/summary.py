"""From scores of images to the figures of a table: means with 95 % intervals, pooled values, differences.

Intervals are bootstraps over groups of images that belong together (patients, near-duplicates), 2000 draws, seed 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from training.metrics.compare import Comparison, bootstrap_interval, paired_test
from training.metrics.overlap import Empty
from training.metrics.overlap import summary as overlap_summary
from training.scores import Score, by_volume

FIGURES = ("dice", "iou", "precision", "recall", "hd95_px", "hd95_mm", "surface_dice_2px")
CONVENTION = "both empty: 1; one empty: 0, border distances undefined and left out"


@dataclass(frozen=True)
class Figure:
    """A mean over images with its 95 % interval; ``images`` have a value, ``undefined`` have none. NaN for no image."""

    value: float
    low: float
    high: float
    images: int
    undefined: int


@dataclass(frozen=True)
class Set:
    """Figures over one set of images of one label.

    Attributes:
        name: ``all``, ``lesion`` (the truth is not empty), or either of them with ``volumes``.
        images: how many, of which ``empty_truth`` show no lesion and ``both_empty`` were left empty, too.
        groups: of images that belong together.
        figures: means over images.
        pooled: Dice, IoU, ... of all pixels together.
        lesions: connected parts of the truth, of which ``lesions_found``; ``false_positives`` are parts of masks.
    """

    name: str
    images: int
    empty_truth: int
    both_empty: int
    groups: int
    figures: Mapping[str, Figure]
    pooled: Mapping[str, float]
    lesions: int
    lesions_found: int
    false_positives: int


def sets(rows: Sequence[Score]) -> list[Set]:
    """Figures of one label's rows on all images and on those with a lesion, and where they are slices, by volume."""
    volumes = by_volume(rows)
    named = {"all": rows, "lesion": _lesion(rows), "all volumes": volumes, "lesion volumes": _lesion(volumes)}
    return [_summarised(name, some) for name, some in named.items() if some]


def _lesion(rows: Sequence[Score]) -> list[Score]:
    return [row for row in rows if row.truth_px]


def chosen(rows: Sequence[Score], name: str) -> list[Score]:
    """The rows that a set of this name is made of."""
    some = by_volume(rows) if name.endswith("volumes") else list(rows)
    return _lesion(some) if name.startswith("lesion") else some


def _summarised(name: str, rows: Sequence[Score]) -> Set:
    overlap = overlap_summary([row.counts for row in rows], Empty.ONE)
    found = {key: _total(rows, key) for key in ("lesions", "lesions_found", "false_positives")}
    return Set(
        name,
        overlap.images,
        overlap.empty_truth,
        overlap.both_empty,
        len({row.group for row in rows}),
        {key: figure([getattr(row, key) for row in rows], [row.group for row in rows]) for key in FIGURES},
        overlap.pooled,
        **found,
    )


def _total(rows: Sequence[Score], key: str) -> int:
    return int(sum(value for row in rows if not math.isnan(value := getattr(row, key))))


def figure(values: Sequence[float], groups: Sequence[str]) -> Figure:
    """The mean of the values that are numbers, resampled by group."""
    pairs = [(value, group) for value, group in zip(values, groups, strict=True) if not math.isnan(value)]
    undefined = len(values) - len(pairs)
    if not pairs:
        return Figure(math.nan, math.nan, math.nan, 0, undefined)
    known, of = zip(*pairs, strict=True)
    low, high = bootstrap_interval(known, groups=of)
    return Figure(sum(known) / len(known), low, high, len(known), undefined)


def difference(one: Sequence[Score], other: Sequence[Score], key: str = "dice") -> Comparison:
    """A figure of one method minus another's, image by image. Raises ValueError where they share no image."""
    theirs = {(row.image, row.label): getattr(row, key) for row in other}
    pairs = [(row, theirs[row.image, row.label]) for row in one if (row.image, row.label) in theirs]
    mine = [getattr(row, key) for row, _ in pairs]
    return paired_test(mine, [value for _, value in pairs], groups=[row.group for row, _ in pairs])


def as_json(every: Sequence[Set]) -> list[dict[str, Any]]:
    """Plain values, NaN as None, to 6 digits."""
    return [_plain(asdict(one)) for one in every]


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, float):
        return None if math.isnan(value) else float(f"{value:.6g}")
    return value
