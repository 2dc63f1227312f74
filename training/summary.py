"""From scores of images to the figures of a table: means with 95 % intervals, pooled values, differences.

Intervals are bootstraps over groups of images that belong together (patients, near-duplicates), 2000 draws, seed 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.metrics.compare import Comparison, bootstrap_interval, paired_test
from training.metrics.detection import RATES, Responses, froc
from training.metrics.overlap import Empty
from training.metrics.overlap import summary as overlap_summary
from training.scores import Score

# Means over images: of these columns, and of false positives.
BORDERS = ("hd95_px", "hd95_mm", "surface_dice_2px", "surface_dice_2mm")
MEANS = ("dice", "iou", "precision", "recall", *BORDERS, "solidity")
FIGURES = (*MEANS, "lesion_sensitivity", "false_positives_per_image", "froc")
CONVENTION = (
    "both empty: 1; one empty: 0, border distances undefined and left out. A lesion is found by a part of the mask "
    "that overlaps it with an IoU of 0.1; a part that overlaps none so is a false positive. froc: mean sensitivity at "
    "1/8, 1/4, 1/2, 1, 2, 4 and 8 false positives an image, a part's score being its highest probability; undefined "
    "where parts have no score"
)


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
        figures: by the names in `FIGURES`: means over images, and of all lesions together the share found and the mean
            of the free-response curve.
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
    named = {name: chosen(rows, name) for name in ("all", "lesion", "all volumes", "lesion volumes")}
    return [_summarised(name, some) for name, some in named.items() if some]


def _lesion(rows: Sequence[Score]) -> list[Score]:
    return [row for row in rows if row.truth_px]


def chosen(rows: Sequence[Score], name: str) -> list[Score]:
    """The rows that a set of this name is made of."""
    some = [row for row in rows if row.is_volume == name.endswith("volumes")]
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
        _figures(rows),
        overlap.pooled,
        **found,
    )


def _figures(rows: Sequence[Score]) -> dict[str, Figure]:
    groups = [row.group for row in rows]
    means = {key: figure([getattr(row, key) for row in rows], groups) for key in MEANS}
    false = figure([row.false_positives for row in rows], groups)
    return {**means, "lesion_sensitivity": _sensitivity(rows), "false_positives_per_image": false, "froc": _froc(rows)}


def _sensitivity(rows: Sequence[Score]) -> Figure:
    """Lesions found of all lesions, on the images that have some."""
    with_lesions = [row for row in rows if row.lesions > 0]
    found, every = (np.array([getattr(row, name) for row in with_lesions]) for name in ("lesions_found", "lesions"))

    def share(drawn: NDArray[np.float64]) -> float:
        places = drawn.astype(np.intp)
        return float(found[places].sum() / every[places].sum())

    return resampled(share, [row.group for row in with_lesions], len(rows) - len(with_lesions))


def _froc(rows: Sequence[Score]) -> Figure:
    known = [(row.group, one) for row in rows if (one := row.candidates) is not None]
    if not any(one.lesions for _, one in known):
        return resampled(lambda drawn: math.nan, [], len(rows))
    responses = Responses.of([one for _, one in known])
    return resampled(responses.mean, [group for group, _ in known], len(rows) - len(known))


def curve(rows: Sequence[Score]) -> dict[str, list[float]] | None:
    """The free-response curve of one label on all images, None where parts have no score or there is no lesion.

    ``sensitivity`` at ``false_positives`` an image for each of the ``thresholds`` but the first, which shows nothing,
    and ``at_rates`` at 1/8 to 8 of them.
    """
    known = [one for row in chosen(rows, "all") if (one := row.candidates) is not None]
    if not any(one.lesions for one in known):
        return None
    found = froc(known)
    parts = {name: list(getattr(found, name)[1:]) for name in ("thresholds", "false_positives", "sensitivity")}
    return {**parts, "at_rates": [found.at(rate) for rate in RATES]}


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


def resampled(statistic: Callable[[NDArray[np.float64]], float], groups: Sequence[str], undefined: int = 0) -> Figure:
    """What ``statistic`` makes of the places 0, 1, ... of images, resampled by their groups. NaN for no image."""
    if not groups:
        return Figure(math.nan, math.nan, math.nan, 0, undefined)
    places = np.arange(len(groups), dtype=np.float64)
    low, high = bootstrap_interval(places.tolist(), statistic, groups=groups)
    return Figure(statistic(places), low, high, len(groups), undefined)


def difference(one: Sequence[Score], other: Sequence[Score], key: str = "dice") -> Comparison:
    """A figure of one method minus another's, image by image. Raises ValueError where they share no image."""
    theirs = {(row.image, row.label): getattr(row, key) for row in other}
    pairs = [(row, theirs[row.image, row.label]) for row in one if (row.image, row.label) in theirs]
    mine = [getattr(row, key) for row, _ in pairs]
    return paired_test(mine, [value for _, value in pairs], groups=[row.group for row, _ in pairs])


def as_json(every: Sequence[Set]) -> list[dict[str, Any]]:
    """Plain values, NaN as None, to 6 digits."""
    return [plain(asdict(one)) for one in every]


def plain(value: Any) -> Any:
    """Figures, nested as they are, as JSON takes them: NaN as None, to 6 digits."""
    if isinstance(value, Mapping):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, float):
        return None if math.isnan(value) else float(f"{value:.6g}")
    return value
