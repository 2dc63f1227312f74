"""Mini-DDSM: 2,620 cases of DDSM as JPEG or PNG with the outlines of lesions filled in.

Lekamlage et al., ACHI 2020, after DDSM (Heath et al.); obtain the bundle from its authors' page. Read as published: a
sheet (``DataWMask.xlsx``, and ``Data-MoreThanTwoMasks.xlsx``, which lists some pictures again with more masks) whose
paths are relative to its folder and written with backslashes; ``-`` stands for none.

The status is the patient's: a picture of a woman with a lesion that has no mask is called ``normal`` and ambiguous.
Both benign and malignant lesions have masks. JPEG masks ring and are cut at 127. Patients overlap with CBIS-DDSM and
the tissue set, which come from DDSM too; identifiers do not tell which. Missing and broken files and masks of another
size are told when a case is read, all else when the sheets are listed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

from training.datasets.case import Case
from training.datasets.grouping import FOLDS, assign_folds
from training.datasets.masks import Lesion
from training.datasets.pictures import grey_picture
from training.datasets.tables import Row, sheet_rows

SHEETS = ("DataWMask.xlsx", "Data-MoreThanTwoMasks.xlsx")
COLUMNS = ("fullPath", "fileName", "View", "Side", "Status", "Tumour_Contour")
CONTOUR, NONE = "Tumour_Contour", "-"
CATEGORIES = {"benign": "benign", "cancer": "malignant", "normal": "normal"}


def cases(root: Path, *, rescale: bool = False, bits: int | None = None) -> list[Case]:
    """All pictures of the sheets under ``root``, sorted by name (``C_0029_1.RIGHT_CC``); groups are patients.

    ``rescale`` resizes masks of another size and the picture's aspect instead of refusing them. ``bits`` (8 or 16)
    chooses where both bundles lie there. Raises FileNotFoundError without a sheet, ValueError for two of one name, an
    unknown status or a picture listed twice in one sheet.
    """
    listed = _listed(root, bits)
    names = sorted(listed)
    groups = [name.partition(".")[0] for name in names]
    statuses = [_status(listed[name][0].row, name) for name in names]
    folds = assign_folds(groups, statuses, FOLDS)
    reader = Lesion(rescale=rescale)
    return [
        _case(name, listed[name], status, fold, reader)
        for name, status, fold in zip(names, statuses, folds, strict=True)
    ]


@dataclass(frozen=True)
class Line:
    """One row of a sheet, and the folder that its paths start from."""

    row: Row
    folder: Path

    def path(self, text: str) -> Path:
        """A file the row names: from the sheet's folder, or, for a bare name, beside the picture; case is forgiven."""
        parts = PureWindowsPath(text).parts
        path = self.folder.joinpath(*parts)
        if len(parts) == 1 and not path.is_file():
            path = self.folder.joinpath(*PureWindowsPath(self.row["fullPath"]).parts).parent / parts[0]
        return path if path.is_file() else _case_forgiven(path)

    def contours(self) -> list[Path]:
        """The masks that the row names."""
        columns = [name for name in self.row if name.startswith(CONTOUR)]
        return [self.path(self.row[name]) for name in columns if self.row[name] not in ("", NONE)]


def _case_forgiven(path: Path) -> Path:
    """``X_Mask.jpg`` where the sheet says so and the file is called ``X_MASK.jpg``."""
    beside = path.parent.iterdir() if path.parent.is_dir() else ()
    return next((one for one in sorted(beside) if one.name.lower() == path.name.lower()), path)


def _listed(root: Path, bits: int | None) -> dict[str, list[Line]]:
    """Lines by picture, one of each sheet that lists it."""
    found: dict[str, list[Line]] = {}
    for sheet in _sheets(root, bits):
        seen: set[str] = set()
        for row in sheet_rows(sheet, COLUMNS):
            name = PureWindowsPath(row["fileName"]).stem
            if name in seen:
                raise ValueError(f"Found {name} twice in {sheet}; wanted each picture once. Remove one of the rows.")
            seen.add(name)
            found.setdefault(name, []).append(Line(row, sheet.parent))
    return found


def _sheets(root: Path, bits: int | None) -> list[Path]:
    sheets = []
    for name in SHEETS:
        found = sorted(root.rglob(name))
        if bits is not None and len(found) > 1:
            found = [path for path in found if path.parent.name.endswith(f"-{bits}")]
        if len(found) > 1:
            raise ValueError(
                f"Found {', '.join(map(str, found))}; wanted one {name}. Say bits=8 or bits=16, or give one's folder."
            )
        sheets += found
    if not sheets:
        raise FileNotFoundError(
            f"Found neither {' nor '.join(SHEETS)} in {root}; wanted one. Give the bundle's folder."
        )
    return sheets


def _status(row: Row, name: str) -> str:
    status = CATEGORIES.get(row["Status"].lower())
    if status is None:
        raise ValueError(
            f"Found status {row['Status']!r} of {name}; wanted {', '.join(CATEGORIES)}. Mend the row of the sheet."
        )
    return status


def _case(name: str, lines: Sequence[Line], status: str, fold: int, reader: Lesion) -> Case:
    # Sheets that list a picture again repeat some of its masks.
    masks = {path.name.lower(): path for line in reversed(lines) for path in line.contours()}
    unsure = not masks and status != "normal"
    return Case(
        name=name,
        image=lines[0].path(lines[0].row["fullPath"]),
        masks=tuple(masks[key] for key in sorted(masks)),
        category="normal" if unsure else status,
        group=name.partition(".")[0],
        fold=fold,
        ambiguous=unsure,
        image_reader=grey_picture,
        mask_reader=reader,
    )
