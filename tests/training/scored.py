"""Scores of squares, for tests of tables: every figure can be worked out by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from training.cost import Cost
from training.datasets.case import Case
from training.scores import Score, score
from training.slices import volume_of
from training.table import Method
from training.trained import Trained
from training.volume_scores import Slice, score_volume

SIDE = 40


def square(left: int, side: int = 10) -> np.ndarray:
    """True in a square whose top is row 5; all False for side 0."""
    mask = np.zeros((SIDE, SIDE), bool)
    mask[5 : 5 + side, left : left + side] = True
    return mask


def case(name: str, group: str = "", category: str = "benign", spacing: tuple[float, float] | None = None) -> Case:
    return Case(name, Path(f"{name}.png"), (), category, group or name, 0, spacing=spacing)


def rows(shifts: dict[str, int | None], label: str = "lesion") -> list[Score]:
    """Each image holds a 10 x 10 square, and a mask shifted by so many pixels; None for neither."""
    return [_row(name, shift, label) for name, shift in shifts.items()]


def _row(name: str, shift: int | None, label: str) -> Score:
    one = case(name, group=name[0], category="normal" if shift is None else "benign")
    if shift is None:
        return score(one, label, square(0, 0), square(0, 0))
    return score(one, label, square(10 + shift), square(10))


def with_volumes(shifts: dict[str, int | None]) -> list[Score]:
    """The same for slices, followed by their volumes."""
    slices: dict[str, list[Slice]] = {}
    for name, shift in shifts.items():
        if "_z" not in name:
            continue
        one = case(name, group=name[0], category="normal" if shift is None else "benign")
        masks = (square(0, 0),) * 2 if shift is None else (square(10 + shift), square(10))
        slices.setdefault(volume_of(one), []).append(Slice(one, *(mask.astype(np.uint8) for mask in masks)))
    return [*rows(shifts), *(row for some in slices.values() for row in score_volume(["lesion"], some))]


def method(name: str, shifts: dict[str, int | None], *, gmac: float = 1.0, regions: str = "none") -> Method:
    trained = Trained("dice_bce", 0.25, 0.5, 3, 4, 1.5, "a processor, 2 threads", "whole")
    return Method(name, regions, trained, Cost(1_500_000, gmac, 12.0, 1), with_volumes(shifts))
