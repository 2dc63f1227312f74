"""BUSI: 780 breast ultrasound pictures with lesion masks (benign, malignant, normal).

Al-Dhabyani et al., Data in Brief 28 (2020) 104863, doi:10.1016/j.dib.2019.104863. The authors state no licence; copies
claim CC0 or CC BY 4.0: research use, cite. Obtain ``Dataset_BUSI_with_GT`` from the authors' page.

Patients cannot be told apart and near-duplicates abound (one picture even appears as benign and as malignant), so a
split that ignores `grouping` leaks. Two layouts are read:

* the public one, ``{benign,malignant,normal}/benign (1).png`` with ``benign (1)_mask.png``, ``_mask_1.png``, ...: masks
  of one picture are merged, groups and folds are made here;
* one with ``index.csv`` (image, mask, class, group, fold, class_ambiguous), which brings its own groups and folds.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from training.datasets.case import Case, read_grey, unique_cases
from training.datasets.grouping import assign_folds, near_duplicate_groups
from training.datasets.masks import Lesion
from training.datasets.pictures import SUFFIXES, unique_stems

CLASSES = ("benign", "malignant", "normal")
FOLDS = 5
# Shares of a view and of a picture. Masks have single pixels beside the lesion, and a sliver of one at the edge of a
# view teaches nothing.
SLIVER, SPECK = 0.001, 0.0005
COLUMNS = ("image", "mask", "class", "group", "fold", "class_ambiguous")
_MASK = re.compile(r"_mask(_\d+)?$")


def cases(root: Path) -> list[Case]:
    """All cases under ``root``, sorted by name.

    Raises FileNotFoundError when neither layout is there, ValueError when two files or two pictures share a name.
    """
    if (root / "index.csv").is_file():
        return unique_cases(_indexed(root))
    if all((root / category).is_dir() for category in CLASSES):
        return unique_cases(_public(root))
    raise FileNotFoundError(
        f"Found neither index.csv nor the folders {', '.join(CLASSES)} in {root}; wanted one of the two layouts. "
        "Give the folder Dataset_BUSI_with_GT."
    )


def _indexed(root: Path) -> Iterable[Case]:
    with (root / "index.csv").open(newline="", encoding="utf-8") as file:
        for row in _checked(csv.DictReader(file), root):
            yield Case(
                Path(row["image"]).stem,
                root / row["image"],
                (root / row["mask"],),
                row["class"],
                row["group"],
                int(row["fold"]),
                row["class_ambiguous"] == "1",
                sliver=SLIVER,
                speck=SPECK,
                mask_reader=Lesion(),
            )


def _checked(rows: csv.DictReader[str], root: Path) -> csv.DictReader[str]:
    missing = [name for name in COLUMNS if name not in (rows.fieldnames or ())]
    if missing:
        raise ValueError(
            f"Found no column {', '.join(missing)} in {root / 'index.csv'}; wanted {', '.join(COLUMNS)}. "
            "Give the folder of BUSI."
        )
    return rows


def _public(root: Path) -> Iterable[Case]:
    files = {category: _files(root / category) for category in CLASSES}
    found = [
        (path, category) for category, named in files.items() for stem, path in named.items() if not _MASK.search(stem)
    ]
    groups = near_duplicate_groups([read_grey(path) for path, _ in found])
    folds = assign_folds(groups, [category for _, category in found], FOLDS)
    classes_of: dict[int, set[str]] = {}
    for group, (_, category) in zip(groups, found, strict=True):
        classes_of.setdefault(group, set()).add(category)
    for (path, category), group, fold in zip(found, groups, folds, strict=True):
        yield Case(
            path.stem,
            path,
            _masks_of(path, files[category]),
            category,
            f"group{group:04d}",
            fold,
            len(classes_of[group]) > 1,
            sliver=SLIVER,
            speck=SPECK,
            mask_reader=Lesion(),
        )


def _files(folder: Path) -> dict[str, Path]:
    """Pictures and masks by stem, hidden files aside."""
    seen = (path for path in folder.glob("*") if not path.name.startswith("."))
    return unique_stems(path for path in seen if path.suffix.lower() in SUFFIXES)


def _masks_of(image: Path, files: Mapping[str, Path]) -> tuple[Path, ...]:
    masks = sorted(path for stem, path in files.items() if stem != image.stem and _MASK.sub("", stem) == image.stem)
    if not masks:
        raise FileNotFoundError(
            f"Found no mask beside {image.name}; wanted {image.stem}_mask.png. Restore it or remove the picture."
        )
    return tuple(masks)
