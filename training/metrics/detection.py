"""Lesion-wise detection: what was found, what was made up, and the trade between both (FROC).

A candidate hits the lesion that it overlaps best, if their IoU reaches the threshold. A lesion is found by any hit;
further candidates on a found lesion count neither way; a candidate without a hit is a false positive.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from service.image import Region

# False positives per image at which LUNA16 averages the sensitivity.
RATES = (1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8)


@dataclass(frozen=True)
class Candidates:
    """One image: score of each candidate, index of the lesion that it hits or None, and how many lesions there are."""

    scores: tuple[float, ...]
    hits: tuple[int | None, ...]
    lesions: int

    def found(self, threshold: float) -> int:
        """Lesions hit by a candidate that scores at least ``threshold``."""
        pairs = zip(self.scores, self.hits, strict=True)
        return len({hit for score, hit in pairs if score >= threshold and hit is not None})

    def made_up(self, threshold: float) -> int:
        """False positives that score at least ``threshold``."""
        pairs = zip(self.scores, self.hits, strict=True)
        return sum(score >= threshold and hit is None for score, hit in pairs)


def match_boxes(
    boxes: Sequence[Region], scores: Sequence[float], truth: Sequence[Region], *, iou: float = 0.5
) -> Candidates:
    """Candidates of an image from boxes. Raises ValueError unless there is one score a box."""
    if len(boxes) != len(scores):
        raise ValueError(
            f"Found {len(scores)} scores for {len(boxes)} boxes; wanted one each. Give each box its score."
        )
    overlaps = np.array([[box.iou(lesion) for lesion in truth] for box in boxes]).reshape(len(boxes), len(truth))
    return Candidates(tuple(scores), _best(overlaps, iou), len(truth))


def match_masks(
    probability: NDArray[Any], truth: NDArray[np.bool_], *, threshold: float = 0.5, iou: float = 0.1
) -> Candidates:
    """Candidates of a picture or volume from its probability map, 0 to 1: the connected parts at ``threshold``.

    A part's score is its highest probability. Lesions are the connected parts of the truth; neighbours touch at a
    corner, too. A mask may stand for a probability. Raises ValueError for different shapes.
    """
    if probability.shape != truth.shape:
        raise ValueError(
            f"Found a map of shape {probability.shape} and a truth of {truth.shape}; wanted the same. Bring both to "
            "one grid."
        )
    corners = np.ones((3,) * truth.ndim)
    parts, count = ndimage.label(probability >= threshold, corners)
    lesions, wanted = ndimage.label(truth, corners)
    scores = ndimage.maximum(probability, parts, range(1, count + 1)) if count else ()
    return Candidates(tuple(float(one) for one in scores), _best(_overlaps(parts, lesions), iou), wanted)


def _overlaps(parts: NDArray[np.integer], lesions: NDArray[np.integer]) -> NDArray[np.float64]:
    """IoU of every part with every lesion, (parts, lesions)."""
    shape = int(parts.max()) + 1, int(lesions.max()) + 1
    common = np.bincount(parts.ravel().astype(np.int64) * shape[1] + lesions.ravel(), minlength=shape[0] * shape[1])
    table = common.reshape(shape)
    union = table.sum(axis=1, keepdims=True) + table.sum(axis=0) - table
    return (table / union)[1:, 1:]


def _best(overlaps: NDArray[np.float64], iou: float) -> tuple[int | None, ...]:
    if not overlaps.shape[1]:
        return (None,) * len(overlaps)
    return tuple(int(row.argmax()) if row.max() >= iou and row.max() > 0 else None for row in overlaps)


@dataclass(frozen=True)
class LesionRates:
    """Sensitivity (NaN without lesions) and false positives per image of some images."""

    sensitivity: float
    false_positives: float
    lesions: int
    images: int


def lesion_rates(images: Sequence[Candidates], threshold: float = -math.inf) -> LesionRates:
    """Rates of the candidates that score at least ``threshold``. Raises ValueError without images."""
    if not images:
        raise ValueError("Found no images; wanted at least one. Measure something first.")
    lesions = sum(one.lesions for one in images)
    found, made_up = (
        sum(one) for one in zip(*((i.found(threshold), i.made_up(threshold)) for i in images), strict=True)
    )
    return LesionRates(found / lesions if lesions else math.nan, made_up / len(images), lesions, len(images))


@dataclass(frozen=True)
class Froc:
    """Operating points from the strictest to the most lenient threshold, the first of which shows nothing.

    Attributes:
        thresholds: scores, falling from infinity.
        false_positives: per image, rising from 0.
        sensitivity: rising from 0.
    """

    thresholds: tuple[float, ...]
    false_positives: tuple[float, ...]
    sensitivity: tuple[float, ...]

    def at(self, rate: float) -> float:
        """Best sensitivity at no more than ``rate`` false positives per image; no line is drawn between points."""
        pairs = zip(self.false_positives, self.sensitivity, strict=True)
        return max(sensitivity for made_up, sensitivity in pairs if made_up <= rate)

    def mean(self, rates: Sequence[float] = RATES) -> float:
        """Mean sensitivity over rates of false positives, LUNA16's by default."""
        return sum(self.at(rate) for rate in rates) / len(rates)


def froc(images: Sequence[Candidates]) -> Froc:
    """Free-response curve over all thresholds that change something.

    MONAI's leaves out the most lenient point and so reports less than was found; hence this one. Raises ValueError
    without images or without lesions.
    """
    if not sum(one.lesions for one in images):
        raise ValueError("Found no lesions; wanted at least one. A sensitivity needs pictures with lesions.")
    scores = sorted({score for one in images for score in one.scores}, reverse=True)
    thresholds = (math.inf, *scores)
    rates = [lesion_rates(images, threshold) for threshold in thresholds]
    return Froc(thresholds, tuple(one.false_positives for one in rates), tuple(one.sensitivity for one in rates))


@dataclass(frozen=True, eq=False)
class Responses:
    """What `froc` needs of many images as arrays, so that thousands of resampled sets are quick.

    Attributes:
        lesions: highest score that hits each lesion, minus infinity where none does, (lesions,).
        lesion_images: place of its image, (lesions,).
        alarms: scores of the candidates without a hit, falling, (false positives,).
        alarm_images: places of their images, (false positives,).
        images: how many.
    """

    lesions: NDArray[np.float64]
    lesion_images: NDArray[np.intp]
    alarms: NDArray[np.float64]
    alarm_images: NDArray[np.intp]
    images: int

    @staticmethod
    def of(images: Sequence[Candidates]) -> Responses:
        """Of images in their order."""
        best = [np.full(one.lesions, -math.inf) for one in images]
        alarms = []
        for place, one in enumerate(images):
            for score, hit in zip(one.scores, one.hits, strict=True):
                if hit is None:
                    alarms.append((-score, place))
                else:
                    best[place][hit] = max(best[place][hit], score)
        alarms.sort()
        lesion_images = np.repeat(np.arange(len(images)), [one.lesions for one in images])
        scores, places = (np.array([one[part] for one in alarms]) for part in (0, 1))
        return Responses(np.concatenate([*best, []]), lesion_images, -scores, places.astype(np.intp), len(images))

    def mean(self, drawn: NDArray[Any], rates: Sequence[float] = RATES) -> float:
        """`Froc.mean` of the images at the places ``drawn``, repeats allowed; NaN where they show no lesion."""
        weights = np.bincount(drawn.astype(np.intp), minlength=self.images)
        lesions, alarms = weights[self.lesion_images], weights[self.alarm_images].cumsum()
        if not lesions.sum():
            return math.nan
        # The first alarm that is one too many: only what scores above it may be shown.
        places = np.searchsorted(alarms, np.asarray(rates) * len(drawn) + 1e-9, side="right")
        limits = np.append(self.alarms, -math.inf)[places]
        found = (self.lesions > limits[:, None]) @ lesions
        return float(found.mean() / lesions.sum())
