"""Tissue masks of 66 film mammograms from DDSM: background, adipose, fibroglandular, pectoral muscle.

Tiryaki and Kaplanoglu, IRBM 2022 (Mammogram-segmentation on GitHub, GPL-3.0 by statement; the films come from DDSM):
research use, cite, do not redistribute. All are RIGHT MLO, 480 wide and 960 high; letters of a file's name are scanner
codes, not densities. Two layouts are read:

* the public one, ``segmentation_data/{train_valid,test}/{fgt_seg,fgt_seg_labels}``, or one of its two parts;
* one with ``index.csv`` (image, mask, case, fold), which brings its own folds.

Groups are cases (``A_0002_1``). Names that disagree are told when the folders are listed; missing and broken files,
masks of another size and undeclared greys when a case is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from training.datasets.case import Case, unique_cases
from training.datasets.grouping import FOLDS, assign_folds, official_folds
from training.datasets.masks import levels
from training.datasets.patients import no_official
from training.datasets.pictures import grey_picture, pictures_in
from training.datasets.tables import csv_rows

LABELS = ("background", "adipose", "fibroglandular", "pectoral muscle")
GREYS = {64: 0, 128: 1, 192: 2, 255: 3}
# What the cascade project's README says of the same files, one class off: to compare with its figures, nothing else.
LEGACY_GREYS = {64: 1, 128: 2, 192: 2, 255: 3}
COLUMNS = ("image", "mask", "case", "fold")
PARTS = ("train_valid", "test")
IMAGES, MASKS, MASK_END = "fgt_seg", "fgt_seg_labels", "_LI"


def cases(root: Path, *, official: bool = False, legacy_labels: bool = False) -> list[Case]:
    """All cases under ``root``, sorted by name; masks hold the index in `LABELS`.

    ``official`` makes the published test part fold 0. ``legacy_labels`` shifts the labels as the cascade project's
    README does, for comparison only. Raises FileNotFoundError for neither layout, ValueError for a table without the
    columns, an orphaned mask or two films of one name.
    """
    reader = levels(LEGACY_GREYS if legacy_labels else GREYS)
    if (root / "index.csv").is_file():
        no_official(root, official=official)
        rows = _indexed(root)
    else:
        rows = _public(root, official=official)
    found = [
        Case(image.stem, image, (mask,), "", group, fold, image_reader=grey_picture, mask_reader=reader)
        for image, mask, group, fold in rows
    ]
    return unique_cases(found)


def _indexed(root: Path) -> Iterator[tuple[Path, Path, str, int]]:
    for row in csv_rows(root / "index.csv", COLUMNS):
        yield root / row["image"], root / row["mask"], row["case"], int(row["fold"])


def _public(root: Path, *, official: bool) -> Iterator[tuple[Path, Path, str, int]]:
    pairs = [pair for part in _parts(root) for pair in _pairs(part)]
    groups = [image.stem.partition(".")[0] for image, _ in pairs]
    tested = [image.parent.parent.name == "test" for image, _ in pairs]
    same = [""] * len(pairs)
    folds = official_folds(groups, same, tested) if official else assign_folds(groups, same, FOLDS)
    for (image, mask), group, fold in zip(pairs, groups, folds, strict=True):
        yield image, mask, group, fold


def _parts(root: Path) -> list[Path]:
    parts = [part for part in (root, *(root / name for name in PARTS)) if (part / IMAGES).is_dir()]
    if not parts:
        raise FileNotFoundError(
            f"Found neither index.csv nor {IMAGES} or {PARTS[0]}/{IMAGES} in {root}; wanted one of the layouts. "
            "Give the folder segmentation_data."
        )
    return parts


def _pairs(part: Path) -> Iterator[tuple[Path, Path]]:
    images, masks = pictures_in(part / IMAGES), pictures_in(part / MASKS)
    orphans = sorted(set(masks) - {name + MASK_END for name in images})
    if orphans:
        raise ValueError(
            f"Found mask {masks[orphans[0]]} without a picture; wanted {IMAGES}/NAME.png beside "
            f"{MASKS}/NAME{MASK_END}.png. Restore or remove it."
        )
    for name, image in images.items():
        yield image, masks.get(name + MASK_END, part / MASKS / f"{name}{MASK_END}.png")
