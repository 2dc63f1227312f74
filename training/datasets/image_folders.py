"""Folders of pictures and masks with equal names, the layout that most segmentation code asks for.

* ``images/`` and ``labels/`` (AnatoSegNet) or ``images/`` and ``masks/``: names equal but for the suffix;
* ``images/`` and ``masks/0/`` with lists of names (the CMU benchmark of BUSI), one name per line.

Masks hold 0/1 or 0/255, or, with ``classes``, declared grey values. Without ``patient`` groups are near-duplicates.
Orphaned masks, names of a list that no picture has and two files of one name are told when the folders are listed;
missing and broken files when a case is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from training.datasets.case import Case
from training.datasets.grouping import FOLDS, assign_folds, official_folds
from training.datasets.masks import Lesion, Levels, levels
from training.datasets.patients import grouped, matched
from training.datasets.pictures import grey_picture, pictures_in

MASK_FOLDERS = ("labels", "masks/0", "masks")


@dataclass(frozen=True)
class Lists:
    """Files of picture names, relative to the root: those to train on and those of the published test part."""

    train: str
    test: str


def cases(
    root: Path,
    *,
    classes: Mapping[int | str, int] | None = None,
    patient: str | None = None,
    category: str | None = None,
    lists: Mapping[str, str] | None = None,
) -> list[Case]:
    """All cases under ``root``, sorted by name.

    ``classes`` maps grey values to labels. ``patient`` and ``category`` are regular expressions searched in a name; the
    match, or its first group, is the value. ``lists`` (``train`` and ``test``) keeps the named pictures alone and makes
    the test part fold 0. Raises FileNotFoundError for folders that are not there, ValueError for names that disagree.
    """
    images, masks = pictures_in(root / "images"), _masks(root)
    orphans = sorted(set(masks) - set(images))
    if orphans:
        raise ValueError(
            f"Found mask {masks[orphans[0]]} without a picture; wanted images/{orphans[0]}.*. Restore or remove it."
        )
    names, tested = (sorted(images), None) if lists is None else _listed(root, Lists(**lists), set(images))
    groups = grouped([images[name] for name in names], patient)
    categories = [matched(category, name) if category else "" for name in names]
    folds = assign_folds(groups, categories, FOLDS) if tested is None else official_folds(groups, categories, tested)
    reader: Lesion | Levels = Lesion() if classes is None else levels(classes)
    wanted = {name: masks.get(name, _folder(root) / f"{name}.png") for name in names}
    return [
        Case(name, images[name], (wanted[name],), kind, group, fold, image_reader=grey_picture, mask_reader=reader)
        for name, kind, group, fold in zip(names, categories, groups, folds, strict=True)
    ]


def _folder(root: Path) -> Path:
    for name in MASK_FOLDERS:
        if (root / name).is_dir():
            return root / name
    raise FileNotFoundError(
        f"Found no {', '.join(MASK_FOLDERS)} in {root}; wanted masks in one of them. Give the folder above images/."
    )


def _masks(root: Path) -> dict[str, Path]:
    folder = _folder(root)
    if folder.name == "0" and (folder.parent / "1").is_dir():
        raise ValueError(
            f"Found {folder.parent / '1'}; wanted masks/0 alone. Merge the classes into labels/ and declare them."
        )
    return pictures_in(folder)


def _listed(root: Path, lists: Lists, known: set[str]) -> tuple[list[str], list[bool]]:
    train, test = ({_stem(line) for line in _lines(root / file)} for file in (lists.train, lists.test))
    unknown = sorted((train | test) - known)
    if unknown:
        raise ValueError(
            f"Found {unknown[0]} in the lists of {root}; wanted names of pictures in images/. Mend the lists."
        )
    names = sorted(train | test)
    return names, [name in test for name in names]


def _lines(path: Path) -> list[str]:
    return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def _stem(line: str) -> str:
    return Path(line).stem if Path(line).suffix.lower() in (".png", ".jpg") else line
