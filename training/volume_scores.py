"""Scores of volumes: their slices are gathered until none is missing, then measured as one.

Lesions are connected through slices. Borders lie between slices as well, so that distances in mm need the space between
them, and no slice may be missing between the first and the last: what was not looked at has no border.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.datasets.case import Case, Labels
from training.metrics.detection import match_masks
from training.scores import PARTS, Score, lesion_counts, scored, with_mean
from training.slices import place_of, volume_of

BORDERS = ("hd95_px", "hd95_mm", "surface_dice_2px", "surface_dice_2mm")


@dataclass(frozen=True)
class Slice:
    """One slice of a volume: its case, what was outlined and what is true, labels (height, width)."""

    case: Case
    guess: Labels
    truth: Labels


@dataclass(frozen=True, eq=False)
class Volumes:
    """Volumes on their way to being measured.

    Attributes:
        names: of the labels 1, 2, ...
        missing: slices of each volume that are still to come.
    """

    names: Sequence[str]
    missing: Counter[str]
    _begun: dict[str, list[Slice]] = field(default_factory=dict)

    @staticmethod
    def of(cases: Sequence[Case], names: Sequence[str]) -> Volumes:
        """For all slices among the cases; pictures that are none are left alone."""
        return Volumes(names, Counter(volume_of(case) for case in cases))

    def add(self, one: Slice) -> list[Score]:
        """The rows of the volume that this slice completes, one for each label; none while slices are missing.

        Raises ValueError for slices of different sizes.
        """
        name = volume_of(one.case)
        if not name:
            return []
        self.missing[name] -= 1
        self._begun.setdefault(name, []).append(one)
        return score_volume(self.names, self._begun.pop(name)) if not self.missing[name] else []


def score_volume(names: Sequence[str], slices: Sequence[Slice]) -> list[Score]:
    """Rows of one volume from all its slices, one for each label and, of several labels, one for their mean.

    Raises ValueError for slices of different sizes.
    """
    ordered = sorted(slices, key=lambda one: place_of(one.case))
    sizes = {one.guess.shape for one in ordered}
    if len(sizes) > 1:
        raise ValueError(
            f"Found slices of {sorted(sizes)} in volume {volume_of(ordered[0].case)}; wanted one size. Prepare it anew."
        )
    guess, truth = np.stack([one.guess for one in ordered]), np.stack([one.truth for one in ordered])
    cases = [one.case for one in ordered]
    rows = [_row(cases, name, guess == label, truth == label) for label, name in enumerate(names, start=1)]
    return with_mean(rows)


def _row(cases: Sequence[Case], label: str, guess: NDArray[np.bool_], truth: NDArray[np.bool_]) -> Score:
    first, name = cases[0], volume_of(cases[0])
    category = max((case.category for case in cases), key=lambda category: category != "normal")
    between = first.slice_spacing
    spacing = None if first.spacing is None or between is None else (between, *first.spacing)
    row = scored((name, label, category, first.group, name), guess, truth, spacing)
    unknown: dict[str, Any] = {} if _whole(cases) else dict.fromkeys(BORDERS, float("nan"))
    return replace(row, **unknown, **lesion_counts(match_masks(guess, truth, **PARTS)))


def _whole(cases: Sequence[Case]) -> bool:
    """Whether no slice is missing between the first and the last."""
    places = [place_of(case) for case in cases]
    return places == list(range(places[0], places[0] + len(places)))
