"""Duke-Breast-Cancer-MRI as TCIA has it: DICOM series, tumours known by one box each.

Saha et al., British Journal of Cancer 119 (2018) 508, doi:10.7937/TCIA.e3sv-re93, CC BY-NC 4.0. Masks of voxels for 291
of the 922 patients are MAMA-MIA's (`training.datasets.mama_mia`). The boxes stand in ``Annotation_Boxes.xlsx`` (Patient
ID, Start Row, End Row, Start Column, End Column, Start Slice, End Slice) or a CSV of that stem or ``box.csv``. Slices
are counted by InstanceNumber. Whether ends belong to the box is not documented: here they do not, which is off by one
pixel at most. A filled box is weak truth for a segmenter and good truth for a detector.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from training.datasets.exam import Exam, Scan, unique_names
from training.datasets.tables import Row, csv_rows, sheet_rows
from training.dicom_series import Series, SeriesHeader, find_series, read_series
from training.volume import Volume

TABLES = ("annotation_boxes.xlsx", "annotation_boxes.csv", "box.csv")
SIDES = ("Start Row", "End Row", "Start Column", "End Column", "Start Slice", "End Slice")
BEFORE = re.compile(r"\bpre\b", re.IGNORECASE)
# The first pass after contrast, as the descriptions of its scanners call it.
AFTER = re.compile(r"1st\s*pass|ph(?:ase)?[\s_]*1\b|post[\s_]*1\b|post_1", re.IGNORECASE)


@dataclass(frozen=True)
class Box:
    """Half-open rows and columns, slices by instance number."""

    rows: tuple[int, int]
    columns: tuple[int, int]
    instances: tuple[int, int]


@dataclass(frozen=True, eq=False)
class Table:
    """The rows of each patient in the table of boxes."""

    path: Path
    rows: dict[str, list[Row]]

    def box(self, patient: str) -> Box:
        """The patient's one box. Raises FileNotFoundError without a row, ValueError for two or for one not filled."""
        rows = self.rows.get(patient, [])
        if not rows:
            raise FileNotFoundError(
                f"Found no box of {patient} in {self.path}; wanted a row. Add it or leave the patient out."
            )
        if len(rows) > 1:
            raise ValueError(f"Found {len(rows)} boxes of {patient} in {self.path}; wanted one. Remove the others.")
        try:
            return _box(rows[0])
        except ValueError as error:
            cells = ", ".join(rows[0][_column(name)] or "nothing" for name in SIDES)
            raise ValueError(
                f"Found the sides {cells} of {patient} in {self.path}; wanted six whole numbers. Mend the row."
            ) from error


def exams(root: Path) -> list[Exam]:
    """The first pass after contrast of each patient, sorted by name.

    A patient who lacks it or a box, or has two, is told when the exam is read, so that others can be used.

    Raises:
        FileNotFoundError: no series, or no table of boxes.
        ValueError: a table without its columns.
    """
    series = [header for header in find_series(root) if header.modality == "MR"]
    patients = sorted({header.patient for header in series})
    table = _table(root, patients)
    files = {patient: [one for one in series if one.patient == patient] for patient in patients}
    return unique_names((_exam(patient, files[patient], table) for patient in patients), root)


def _exam(patient: str, series: Sequence[SeriesHeader], table: Table) -> Exam:
    return Exam(patient, patient, partial(_read, patient, series, table), truth="boxes")


def _read(patient: str, series: Sequence[SeriesHeader], table: Table, subtraction: bool) -> Scan:
    box = table.box(patient)
    after = _one(series, AFTER, patient, "first pass after contrast")
    before = [header.folder for header in series if BEFORE.search(header.description)]
    return _scan(after.folder, before[0] if len(before) == 1 else None, box, subtraction)


def _one(series: Sequence[SeriesHeader], pattern: re.Pattern[str], patient: str, what: str) -> SeriesHeader:
    found = [header for header in series if pattern.search(header.description)]
    if len(found) == 1:
        return found[0]
    shown = ", ".join(sorted(header.description for header in series))
    text = (
        f"Found {len(found)} series of {patient} that could be the {what} ({shown}); wanted one. Leave the others out."
    )
    raise ValueError(text) if found else FileNotFoundError(text)


def _scan(after: Path, before: Path | None, box: Box, subtraction: bool) -> Scan:
    if subtraction and before is None:
        raise FileNotFoundError(
            f"Found no single series before contrast beside {after}; wanted one. Restore it or do without subtraction."
        )
    series = read_series(after)
    mask = Volume(_filled(series, box), series.volume.affine, after)
    return Scan(series.volume, mask, read_series(before).volume if subtraction and before else None)


def _filled(series: Series, box: Box) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    mask = np.zeros(series.volume.voxels.shape, np.uint8)
    inside = [box.instances[0] <= number < box.instances[1] for number in series.numbers]
    mask[np.array(inside), slice(*box.rows), slice(*box.columns)] = 1
    if not mask.any():
        raise ValueError(
            f"Found {mask.shape[1:]} pixels and instances {min(series.numbers)} to {max(series.numbers)} in "
            f"{series.volume.source}; wanted some inside {box}. Restore the slices or mend the box."
        )
    return mask


def _table(root: Path, patients: Sequence[str]) -> Table:
    tables = sorted(path for path in root.rglob("*") if path.name.lower() in TABLES)
    if len(tables) != 1:
        raise FileNotFoundError(
            f"Found {len(tables)} tables of boxes in {root}; wanted one, Annotation_Boxes.xlsx. Keep one."
        )
    rows = _rows(tables[0])
    if (len(rows) > 1 or len(patients) > 1) and not all("patientid" in row for row in rows):
        raise ValueError(f"Found no column Patient ID in {tables[0]}; wanted to know whose boxes these are. Add it.")
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row.get("patientid", patients[0]), []).append(row)
    return Table(tables[0], found)


def _rows(path: Path) -> list[Row]:
    if path.suffix.lower() != ".xlsx":
        return csv_rows(path, [_column(name) for name in SIDES], _column)
    return [{_column(name): text for name, text in row.items()} for row in sheet_rows(path, SIDES)]


def _column(name: str) -> str:
    return re.sub(r"[^a-z]", "", name.lower()).replace("instance", "slice")


def _box(row: Row) -> Box:
    top, bottom, left, right, first, last = (int(float(row[_column(name)])) for name in SIDES)
    return Box((top, bottom), (left, right), (first, last))
