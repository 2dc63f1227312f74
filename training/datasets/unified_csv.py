"""One table of mammograms from several sets, as the tissue-to-cancer cascade trains on; `write` makes it.

Columns: image, mask (several joined by ``;``, empty for no lesion), patient, laterality, view, label, split, source,
group (optional, where pictures of several patients belong together); paths from the table's folder. The header of the
cascade project's own table (``image_file_path``, ``roi_mask_file_path``, ``patient_id``, ...) is understood too, and
paths of another machine are looked for by their ends. Rows that share a picture are one case.

Missing and broken files and masks of another size are told when a case is read, all else when the table is read.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from pathlib import Path, PureWindowsPath

from training.datasets.case import Case
from training.datasets.grouping import FOLDS, assign_folds
from training.datasets.masks import Lesion
from training.datasets.pictures import grey_picture
from training.datasets.tables import Row, csv_rows

TABLE = "unified.csv"
JOINT = ";"
COLUMNS = ("image", "mask", "patient", "laterality", "view", "label", "source")
THEIRS = {
    "image_file_path": "image",
    "roi_mask_file_path": "mask",
    "patient_id": "patient",
    "left_or_right_breast": "laterality",
    "image_view": "view",
    "pathology": "label",
    "dataset": "source",
}
SPLITS = {"train": "train", "training": "train", "val": "validation", "valid": "validation", "validation": "validation"}
SPLITS |= {"test": "test", "": ""}


@dataclass(frozen=True)
class Entry:
    """A row as it is written: paths relative to the table's folder, ``split`` train, validation, test or empty."""

    image: str
    mask: str
    patient: str
    laterality: str
    view: str
    label: str
    split: str
    source: str
    group: str


def write(entries: Iterable[Entry], path: Path) -> None:
    """Write the table, whole or not at all."""
    half = path.with_suffix(".part")
    with half.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, [field.name for field in fields(Entry)])
        table.writeheader()
        table.writerows(map(asdict, entries))
    half.replace(path)


def cases(root: Path, *, table: str = TABLE) -> list[Case]:
    """All cases of the table, sorted by name (source and picture); groups are the column's, else source and patient.

    Where the table has a split, fold 0 is its test part and fold 1 its validation part, if any; the other folds share
    the rest. Raises FileNotFoundError without a table, ValueError for a missing column, an unknown split, or a group
    in two parts.
    """
    path = root / table
    if not path.is_file():
        raise FileNotFoundError(f"Found no {table} in {root}; wanted one. Run data prepare mammography, or name it.")
    pictures = _by_picture(csv_rows(path, COLUMNS, lambda name: THEIRS.get(name.strip(), name.strip())))
    firsts = [rows[0] for rows in pictures.values()]
    groups = [row.get("group") or f"{row['source']} {_patient(row)}".strip() for row in firsts]
    labels = [row["label"].lower() for row in firsts]
    folds = _folds(groups, labels, [_split(row, path) for row in firsts], path)
    found = [
        _case(root, rows, group, label, fold)
        for rows, group, label, fold in zip(pictures.values(), groups, labels, folds, strict=True)
    ]
    found.sort(key=lambda case: case.name)
    _check_names(found, path)
    return found


def _by_picture(rows: Iterable[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row["image"], []).append(row)
    return found


def _patient(row: Row) -> str:
    # In the cascade project's table the patient of a Mini-DDSM picture is its file name.
    return row["patient"].partition(".")[0]


def _split(row: Row, path: Path) -> str:
    split = SPLITS.get(row.get("split", "").lower())
    if split is None:
        raise ValueError(
            f"Found split {row['split']!r} of {row['image']} in {path}; wanted train, validation, test or nothing. "
            "Mend the column."
        )
    return split


def _folds(groups: Sequence[str], labels: Sequence[str], splits: Sequence[str], path: Path) -> list[int]:
    parts: dict[str, set[str]] = {}
    for group, split in zip(groups, splits, strict=True):
        parts.setdefault(group, set()).add(split)
    torn = sorted(group for group, found in parts.items() if len(found) > 1)
    if torn:
        raise ValueError(
            f"Found {', '.join(torn[:8])} in two parts of the split of {path} ({len(torn)} in all); wanted each group "
            "in one. Mend the column or empty it."
        )
    fixed = {"test": 0} | ({"validation": 1} if "validation" in splits else {})
    if not set(splits) - {""}:
        fixed = {}
    free = [fold for fold in range(FOLDS) if fold not in fixed.values()]
    rest = [index for index, split in enumerate(splits) if split not in fixed]
    shared = assign_folds([groups[i] for i in rest], [labels[i] for i in rest], len(free))
    given = dict(zip(rest, (free[number] for number in shared), strict=True))
    return [given[i] if i in given else fixed[split] for i, split in enumerate(splits)]


def _case(root: Path, rows: Sequence[Row], group: str, label: str, fold: int) -> Case:
    image = _located(root, rows[0]["image"])
    masks = [_located(root, text) for row in rows for text in row["mask"].split(JOINT) if text.strip()]
    return Case(
        name=f"{rows[0]['source']} {image.stem}".strip(),
        image=image,
        masks=tuple(dict.fromkeys(masks)),
        category=label,
        group=group,
        fold=fold,
        image_reader=grey_picture,
        mask_reader=Lesion(),
    )


def _located(root: Path, text: str) -> Path:
    """A path of the table, or the longest end of it that is a file under ``root``."""
    parts = PureWindowsPath(text.strip()).parts
    ends = (root.joinpath(*parts[start:]) for start in range(len(parts)))
    found = (path for path in (root / text.strip(), *ends) if path.is_file())
    return next(found, root.joinpath(*parts))


def _check_names(cases: Sequence[Case], path: Path) -> None:
    for one, other in pairwise(cases):
        if one.name == other.name:
            raise ValueError(f"Found {one.image} and {other.image} in {path}; wanted one {one.name}. Rename one.")
