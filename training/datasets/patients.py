"""Who must not be split: patients read off names, near-duplicates where no name tells."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from training.datasets.grouping import connected, fingerprint, near_duplicate_pairs
from training.datasets.pictures import readable


def grouped(images: Sequence[Path], patient: str | None = None) -> list[str]:
    """Group of each picture: what the regular expression finds in its name, else its cluster of near-duplicates.

    A picture that cannot be read is a group of its own here, and an error when it is read. Raises like `matched`.
    """
    if patient:
        return [matched(patient, path.stem) for path in images]
    prints = {index: fingerprint(picture) for index, picture in readable(images)}
    numbers = connected(len(prints), near_duplicate_pairs(list(prints.values())))
    group = dict(zip(prints, numbers, strict=True))
    return [f"group{group[i]:04d}" if i in group else f"unreadable {path.stem}" for i, path in enumerate(images)]


def matched(pattern: str, name: str) -> str:
    """What a regular expression finds in a name: its first group, else all of the match. Raises ValueError."""
    found = re.search(pattern, name)
    if not found:
        raise ValueError(f"Found nothing of {pattern} in the name {name}; wanted a match. Mend the expression.")
    return found[1] if found.re.groups else found[0]


def no_official(root: Path, *, official: bool) -> None:
    """Raises ValueError where a published test part is asked of an index that brings folds of its own."""
    if official:
        raise ValueError(
            f"Found {root / 'index.csv'} with folds of its own; wanted the layout as published for its official test "
            "part. Leave official out or give the download."
        )


def laterality_and_view(name: str) -> tuple[str, str]:
    """("LEFT", "MLO") of ``P_00001_LEFT_MLO`` or ``C_0029_1.LEFT_MLO``; empty text for what a name does not say."""
    found = re.search(r"(LEFT|RIGHT)(?:_([A-Z]+))?", name)
    return (found[1], found[2] or "") if found else ("", "")
