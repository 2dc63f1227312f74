"""What the writers of phantom sets share: names that say what they are, folds, marked pictures, tables.

A writer is called ``write(folder, seeds, **options)``: it draws one phantom for each seed into ``folder``, in the
layout of a data set that `training.datasets` reads, and returns the folder. Pictures are named ``phantom_KIND_SEED``.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from training.phantoms.acoustics import Grey
from training.phantoms.ultrasound import save_png

Wish = TypeVar("Wish")
FOLDS = 5
TEST_FOLD = 0


def stem(kind: str, seed: int) -> str:
    """The name of a phantom without suffix."""
    return f"phantom_{kind}_{seed:05d}"


def fold_of(seed: int) -> int:
    """0 to 4; phantoms are independent, so any split will do."""
    return seed % FOLDS


def part_of(fold: int) -> str:
    """``test`` for the test fold, else ``train``."""
    return "test" if fold == TEST_FOLD else "train"


def save_picture(picture: Grey, folder: Path, path: str, metadata: Mapping[str, str]) -> str:
    """Write ``folder / path`` as a PNG that carries ``metadata``; return ``path``."""
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    save_png(picture, folder / path, metadata)
    return path


def write_table(rows: Iterable[Mapping[str, Any]], path: Path) -> None:
    """Write a CSV file with the columns of the first row, whole or not at all. Raises ValueError without rows."""
    rows = list(rows)
    if not rows:
        raise ValueError(f"Found no phantom for {path}; wanted one or more. Ask for more.")
    half = path.with_suffix(".part")
    with half.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
    half.replace(path)


def wished(kind: type[Wish], options: Mapping[str, Any]) -> Wish:
    """A frozen wish from options as YAML has them, lists made tuples. Raises ValueError for a field that it has not."""
    known = [one.name for one in fields(kind)]  # type: ignore[arg-type]
    for name in options:
        if name not in known:
            raise ValueError(f"Found the option {name!r}; wanted one of {', '.join(known)}. Mend --option.")
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in options.items()})
