"""Small MRI exams and what became of them."""

from __future__ import annotations

import csv
from pathlib import Path

from training.prepare.mri import MriOptions

NAMES = [f"DUKE_{number:03d}" for number in range(1, 8)]
SMALL = MriOptions(size=48)


def rows_of(out: Path) -> list[dict[str, str]]:
    with (out / "manifest.csv").open(newline="") as file:
        return list(csv.DictReader(file))
