"""Test, validation and training part, whole groups only."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from training.datasets.case import Case


@dataclass(frozen=True)
class Split:
    """Three disjoint parts; no group is in two of them."""

    train: tuple[Case, ...]
    validation: tuple[Case, ...]
    test: tuple[Case, ...]


def split(cases: Sequence[Case], test_fold: int, validation: float, excluded: Collection[int] = ()) -> Split:
    """Fold ``test_fold`` is the test part; of the rest, groups whose hash falls below ``validation`` (0 to 1) validate.

    Folds in ``excluded`` are in no part: a localiser that is to give boxes for fold 1 leaves out fold 1 beside the fold
    that is kept for testing. The hash of the group's name decides, so a case never changes sides when others are added
    or removed.
    """
    test = tuple(case for case in cases if case.fold == test_fold)
    rest = [case for case in cases if case.fold != test_fold and case.fold not in excluded]
    held = {case.group for case in rest if _share(case.group) < validation}
    return Split(
        tuple(case for case in rest if case.group not in held),
        tuple(case for case in rest if case.group in held),
        test,
    )


def _share(group: str) -> float:
    return int.from_bytes(hashlib.sha256(group.encode()).digest()[:4], "big") / 2**32
