"""Clinical photographs of the torso with body, breasts and nipples outlined.

The layout of the collections that the depth-fusion work trained on (120 photographs, private): ``images/`` (JPEG or
PNG) and ``masks/`` (BMP or PNG, one grey per class, equal names), in the root or in one folder per collection
(``aesthetics/``, ``cinderella/``). Depth maps of `data depth` lie in ``depth/`` beside them and become the input
``depth``. There is no public set: tests and demonstrations use drawn torsos.

Greys are mapped explicitly: the originals number the classes by sorting the greys they meet, so one stray value shifts
all. Names that disagree are told when the folders are listed; missing and broken files, masks of another size and
undeclared greys when a case is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from training.datasets.case import Case, unique_cases
from training.datasets.grouping import FOLDS, assign_folds
from training.datasets.masks import Levels, levels
from training.datasets.patients import grouped
from training.datasets.pictures import colour_picture, pictures_in

SIDES = ("background", "body", "left breast", "right breast", "left nipple", "right nipple")
MERGED = ("background", "body", "breast", "nipple")


def cases(root: Path, *, greys: Mapping[int | str, str], sides: bool = False, patient: str | None = None) -> list[Case]:
    """All photographs under ``root``, sorted by name (with collections: ``aesthetics 012``).

    ``greys`` names the class of each grey of the masks, by `SIDES` or `MERGED`. Labels are the index in `MERGED`, with
    ``sides`` the index in `SIDES`. ``patient`` is a regular expression searched in a name; without it near-duplicates
    are grouped. Raises FileNotFoundError for folders that are not there, ValueError for a class or names that disagree.
    """
    reader = class_map(greys, sides=sides)
    pairs = [pair for folder in _collections(root) for pair in _pairs(folder)]
    groups = grouped([image for image, _ in pairs], patient)
    folds = assign_folds(groups, [""] * len(pairs), FOLDS)
    found = [
        Case(
            name=image.stem if image.parent.parent == root else f"{image.parent.parent.name} {image.stem}",
            image=image,
            masks=(mask,),
            category="",
            group=group,
            fold=fold,
            inputs=_inputs(image),
            image_reader=colour_picture,
            mask_reader=reader,
        )
        for (image, mask), group, fold in zip(pairs, groups, folds, strict=True)
    ]
    return unique_cases(found)


def class_map(greys: Mapping[int | str, str], *, sides: bool) -> Levels:
    """Reader of masks in which each grey is one of the named classes. Raises ValueError for a name it does not know."""
    names = SIDES if sides else MERGED
    if not isinstance(greys, Mapping):
        raise ValueError(
            f"Found greys {greys!r}; wanted the class of each grey, such as {{0: background, 50: body}}. Mend the map."
        )
    return levels({grey: _label(name, names) for grey, name in greys.items()})


def depth_path(image: Path) -> Path:
    """Where the depth map of a photograph lies: ``depth/NAME.png`` beside its ``images/``."""
    return image.parent.with_name("depth") / f"{image.stem}.png"


def _label(name: Any, names: tuple[str, ...]) -> int:
    # Merging drops the side's word; what has no side cannot be told apart again.
    short = name if name in names else str(name).removeprefix("left ").removeprefix("right ")
    if short not in names:
        raise ValueError(f"Found class {name!r} in the map of greys; wanted {', '.join(names)}. Mend the map.")
    return names.index(short)


def _collections(root: Path) -> list[Path]:
    if (root / "images").is_dir():
        return [root]
    found = sorted(folder.parent for folder in root.glob("*/images") if folder.is_dir())
    if not found:
        raise FileNotFoundError(f"Found no images/ in {root} or below; wanted images/ and masks/. Give another folder.")
    return found


def _pairs(folder: Path) -> Iterator[tuple[Path, Path]]:
    images, masks = pictures_in(folder / "images"), pictures_in(folder / "masks")
    orphans = sorted(set(masks) - set(images))
    if orphans:
        raise ValueError(
            f"Found mask {masks[orphans[0]]} without a photograph; wanted images/{orphans[0]}.*. Restore or remove it."
        )
    for name, image in images.items():
        yield image, masks.get(name, folder / "masks" / f"{name}.bmp")


def _inputs(image: Path) -> dict[str, Path]:
    depth = depth_path(image)
    if not depth.parent.is_dir():
        return {}
    if not depth.is_file():
        raise FileNotFoundError(
            f"Found {depth.parent} without {depth.name}; wanted the depth of every photograph. Run data depth again."
        )
    return {"depth": depth}
