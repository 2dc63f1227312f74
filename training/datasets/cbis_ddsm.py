"""CBIS-DDSM: film mammograms with outlined masses and calcifications.

Lee et al., Sci Data 4:170177 (2017), doi:10.7937/K9/TCIA.2016.7O02S9CY, CC BY 3.0. Obtain pictures and the four case
lists from TCIA. Three layouts are read:

* TCIA's DICOM, folders named by UIDs or by descriptions, with ``{mass,calc}_case_description_{train,test}_set.csv``;
* the JPEG mirror, ``jpeg/<series>/*.jpg`` with the same lists in ``csv/``;
* boxes alone: ``index.csv`` with ``boxes_ltrb_800``, pictures squashed to 800 x 800. Masks are made from the boxes, see
  ``outline``: weak supervision, to be called so.

What the lists get wrong is mended here: line breaks inside file names; mask and crop that took each other's place (the
mask has the mammogram's size, else two values); several regions of one picture are one mask; a picture that both lists
name is one case. Masks of another size (measured elsewhere: Mass-Test P_00145 LEFT CC) are refused, or rescaled where
the aspect agrees. Masks of calcifications are coarse: only masses were refined. No millimetres are known. Missing and
broken files and masks of another size are told when a case is read, all else when the lists are read.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from training.datasets.case import Case, unique_cases
from training.datasets.cbis_files import Files
from training.datasets.grouping import FOLDS, assign_folds, official_folds
from training.datasets.masks import Boxes, Lesion
from training.datasets.outlines import OUTLINES, Box, Outline, Outlined, Reshaped
from training.datasets.patients import no_official
from training.datasets.pictures import grey_picture
from training.datasets.tables import Row, csv_rows

LISTS = ("mass", "calc")
PARTS = ("train", "test")
COLUMNS = (
    "patient id",
    "left or right breast",
    "image view",
    "pathology",
    "image file path",
    "cropped image file path",
    "roi mask file path",
)
BOX_GRID = (800, 800)
BOX_COLUMNS = ("image", "patient", "side", "view", "pathology", "boxes_ltrb_800", "fold")
CATEGORIES = {"MALIGNANT": "malignant", "BENIGN": "benign", "BENIGN_WITHOUT_CALLBACK": "benign"}


@dataclass
class Film:
    """One mammogram of the lists: its file and, for each outlined region, the files named as mask and as crop."""

    patient: str
    image: str
    test: bool
    regions: list[tuple[str, str]] = field(default_factory=list)
    categories: set[str] = field(default_factory=set)

    @property
    def category(self) -> str:
        """Malignant as soon as one region is."""
        return "malignant" if "malignant" in self.categories else "benign"


def cases(
    root: Path,
    *,
    lists: Sequence[str] = LISTS,
    official: bool = False,
    rescale: bool = False,
    outline: Outline = "box",
    aspect: float = 1.0,
) -> list[Case]:
    """One case per mammogram, sorted by name (``P_00001_LEFT_CC``); groups are patients over all lists.

    ``lists`` chooses among mass and calc. ``official`` makes the published test part fold 0; a patient who is in both
    parts is tested. ``rescale`` resizes masks of another size and the picture's aspect instead of refusing them. Of
    pictures with boxes alone, ``aspect`` is width / height to undo their squash (0.58 on average), and ``outline`` what
    is drawn: the ``box``, its ``ellipse``, or the shape ``grown`` in it.
    Raises FileNotFoundError without lists, ValueError for a list without the columns, an
    unknown pathology, outline or aspect.
    """
    if (root / "index.csv").is_file():
        no_official(root, official=official)
        rows = csv_rows(root / "index.csv", BOX_COLUMNS)
        shape = Shape(outline, aspect)
        return unique_cases(_boxed(root, row, shape) for row in rows)
    films = _films(root, lists)
    names = sorted(films)
    groups, categories = [films[name].patient for name in names], [films[name].category for name in names]
    tested = [films[name].test for name in names]
    folds = official_folds(groups, categories, tested) if official else assign_folds(groups, categories, FOLDS)
    files, reader = Files.under(root), Lesion(rescale=rescale)
    return [_case(name, films[name], fold, files, reader) for name, fold in zip(names, folds, strict=True)]


def _films(root: Path, lists: Sequence[str]) -> dict[str, Film]:
    films: dict[str, Film] = {}
    found = False
    for name in (f"{kind}_case_description_{part}_set.csv" for kind in lists for part in PARTS):
        for path in sorted(root.rglob(name)):
            found = True
            for row in csv_rows(path, COLUMNS, _header):
                _add(films, row, path)
    if not found:
        raise FileNotFoundError(
            f"Found neither index.csv nor {lists[0]}_case_description_train_set.csv in {root}; wanted the case lists. "
            "Put them beside the pictures."
        )
    return films


def _header(name: str) -> str:
    """Column names of the lists and of the merged lists that others made of them."""
    return name.strip().lower().replace("_", " ")


def _add(films: dict[str, Film], row: Row, path: Path) -> None:
    pathology = CATEGORIES.get(row["pathology"].upper())
    if pathology is None:
        raise ValueError(
            f"Found pathology {row['pathology']!r} in {path}; wanted {', '.join(CATEGORIES)}. Mend the list."
        )
    name = _name(row["patient id"], row["left or right breast"], row["image view"])
    film = films.setdefault(name, Film(row["patient id"], row["image file path"], False))
    film.test |= "_test_" in path.name
    film.categories.add(pathology)
    film.regions.append((row["roi mask file path"], row["cropped image file path"]))


def _name(patient: str, side: str, view: str) -> str:
    return f"P_{patient.removeprefix('P_')}_{side}_{view}"


def _case(name: str, film: Film, fold: int, files: Files, reader: Lesion) -> Case:
    image = files.picture(film.image)
    masks = dict.fromkeys(files.mask(image, *region) for region in film.regions)
    return Case(
        name, image, tuple(masks), film.category, film.patient, fold, image_reader=grey_picture, mask_reader=reader
    )


@dataclass(frozen=True)
class Shape:
    """What is made of boxes. Raises ValueError for an unknown outline and an aspect that no mammogram has."""

    outline: Outline
    aspect: float

    def __post_init__(self) -> None:
        if self.outline not in OUTLINES:
            raise ValueError(f"Found outline {self.outline!r}; wanted one of {', '.join(OUTLINES)}. Mend the recipe.")
        if not 0.25 <= self.aspect <= 1:
            raise ValueError(f"Found aspect {self.aspect}; wanted width / height, 0.25 to 1. Mend the recipe.")

    def reader(self, boxes: tuple[Box, ...]) -> Boxes | Outlined:
        """Of the masks."""
        if self.outline == "box" and self.aspect == 1:
            return Boxes(boxes, BOX_GRID)
        return Outlined(boxes, BOX_GRID, self.width, self.outline)

    @property
    def width(self) -> int:
        """Of the picture, in pixels."""
        return round(BOX_GRID[1] * self.aspect)


def _boxed(root: Path, row: Row, shape: Shape) -> Case:
    name = _name(row["patient"], row["side"], row["view"])
    boxes = json.loads(row["boxes_ltrb_800"])
    if not all(len(box) == 4 for box in boxes):
        raise ValueError(f"Found boxes {boxes} of {name}; wanted left, top, right, bottom of each. Mend index.csv.")
    found = {CATEGORIES.get(one) for one in row["pathology"].split("|")}
    return Case(
        name=name,
        image=root / row["image"],
        masks=(),
        category="malignant" if "malignant" in found else "benign",
        group=f"P_{row['patient'].removeprefix('P_')}",
        fold=int(row["fold"]),
        image_reader=Reshaped(shape.width),
        mask_reader=shape.reader(tuple((box[0], box[1], box[2], box[3]) for box in boxes)),
    )
