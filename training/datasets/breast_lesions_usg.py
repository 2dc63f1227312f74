"""BrEaST, in TCIA as Breast-Lesions-USG: 256 breast ultrasound pictures of 256 women, with tumour masks.

Pawlowska et al., Sci Data 11:148 (2024), doi:10.7937/9WKK-Q141, CC BY 4.0. Obtain the zip of pictures and masks and the
clinical sheet from TCIA, unpack both into one folder.

Read as published: ``case001.png``, its mask ``case001_tumor.png``, further abnormal areas ``case001_other1.png`` (not
read), and ``BrEaST-Lesions-USG-clinical-data-*.xlsx`` with pixel sizes in cm. A mask lies in its file's alpha channel
where that varies, else in its luminance. One picture per woman: groups are cases. Missing and broken files are told
when a case is read, all else when the sheet is listed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from training.datasets.case import Case, unique_cases
from training.datasets.grouping import FOLDS, assign_folds
from training.datasets.masks import AlphaLesion
from training.datasets.pictures import SUFFIXES, grey_picture
from training.datasets.tables import Row, sheet_rows

CLASSES = ("benign", "malignant", "normal")
COLUMNS = ("CaseID", "Image_filename", "Mask_tumor_filename", "Pixel_size", "Classification")
MM_PER_CM = 10.0


@dataclass(frozen=True)
class _Folder:
    """Pictures by name, wherever they lie below the root."""

    root: Path
    found: dict[str, Path]

    def path(self, name: str) -> Path:
        return self.found.get(name, self.root / name)


def cases(root: Path) -> list[Case]:
    """All cases of the sheet under ``root``, sorted by name; spacing in mm from the sheet's cm.

    Raises FileNotFoundError without a sheet, ValueError for a class, a number or a name that cannot be meant.
    """
    rows = sheet_rows(_sheet(root), COLUMNS)
    folder = _Folder(root, {path.name: path for path in _pictures(root)})
    names = [_name(row) for row in rows]
    categories = [_category(row, name) for row, name in zip(rows, names, strict=True)]
    folds = assign_folds(names, categories, FOLDS)
    made = zip(rows, names, categories, folds, strict=True)
    return unique_cases(_case(folder, *one) for one in made)


def _sheet(root: Path) -> Path:
    found = sorted(path for path in root.rglob("*.xlsx") if not path.name.startswith("~$"))
    if len(found) != 1:
        raise FileNotFoundError(
            f"Found {', '.join(path.name for path in found) or 'no .xlsx'} in {root}; wanted one clinical sheet, "
            "BrEaST-Lesions-USG-clinical-data-*.xlsx. Put it beside the pictures."
        )
    return found[0]


def _pictures(root: Path) -> list[Path]:
    found: dict[str, Path] = {}
    seen = (path for path in root.rglob("*") if not path.name.startswith("."))
    for path in sorted(path for path in seen if path.suffix.lower() in SUFFIXES):
        if path.name in found:
            raise ValueError(f"Found {path} and {found[path.name]}; wanted each name once. Remove one of the copies.")
        found[path.name] = path
    return list(found.values())


def _name(row: Row) -> str:
    try:
        return f"case{int(float(row['CaseID'])):03d}"
    except ValueError as error:
        raise ValueError(
            f"Found CaseID {row['CaseID']!r} of {row['Image_filename']}; wanted a number. Mend the clinical sheet."
        ) from error


def _category(row: Row, name: str) -> str:
    category = row["Classification"].lower()
    if category not in CLASSES:
        raise ValueError(f"Found class {category!r} of {name}; wanted {', '.join(CLASSES)}. Mend the clinical sheet.")
    return category


def _case(folder: _Folder, row: Row, name: str, category: str, fold: int) -> Case:
    masks = [part.strip() for part in row["Mask_tumor_filename"].split("&") if part.strip().lower().endswith(SUFFIXES)]
    if not masks and category != "normal":
        # The published rule for names; a file that is not there is told when the case is read.
        masks = [f"{name}_tumor.png"]
    return Case(
        name=name,
        image=folder.path(row["Image_filename"]),
        masks=tuple(map(folder.path, masks)),
        category=category,
        group=name,
        fold=fold,
        spacing=_spacing(row, name),
        image_reader=grey_picture,
        mask_reader=AlphaLesion(),
    )


def _spacing(row: Row, name: str) -> tuple[float, float] | None:
    try:
        side = float(row["Pixel_size"]) * MM_PER_CM
    except ValueError:
        return None
    if not 0 < side < MM_PER_CM:
        raise ValueError(f"Found pixel size {row['Pixel_size']} of {name}; wanted cm, 0 to 1. Mend the clinical sheet.")
    return side, side
