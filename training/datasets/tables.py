"""Rows of CSV files and Excel sheets as stripped text, with the columns that a data set needs."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from openpyxl import load_workbook

Row = dict[str, str]


def csv_rows(path: Path, columns: Sequence[str], rename: Callable[[str], str] = str.strip) -> list[Row]:
    """Rows of a CSV file, headers passed through ``rename``. Raises ValueError for a missing column, OSError."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        lines = csv.reader(file)
        return _rows(path, lines, columns, rename)


def sheet_rows(path: Path, columns: Sequence[str]) -> list[Row]:
    """Rows of an Excel file's first sheet that has the columns. Raises ValueError when none has, OSError."""
    book = load_workbook(path, read_only=True, data_only=True)
    try:
        sheets = [[[_text(cell) for cell in row] for row in sheet.iter_rows(values_only=True)] for sheet in book]
    finally:
        book.close()
    for lines in sheets:
        if lines and not set(columns) - {name.strip() for name in lines[0]}:
            return _rows(path, lines, columns, str.strip)
    headers = "; ".join(", ".join(lines[0]) for lines in sheets if lines) or "nothing"
    raise ValueError(f"Found {headers} in {path}; wanted columns {', '.join(columns)}. Give the data set's own sheet.")


def _rows(
    path: Path, lines: Iterable[Sequence[str]], columns: Sequence[str], rename: Callable[[str], str]
) -> list[Row]:
    rest = iter(lines)
    header = [rename(name) for name in next(rest, [])]
    missing = [name for name in columns if name not in header]
    if missing:
        raise ValueError(
            f"Found no column {', '.join(missing)} in {path}; wanted {', '.join(columns)}. "
            "Give the data set's own table."
        )
    # Some tables break lines inside a cell; nothing of theirs means anything by it.
    cells = ([cell.strip() for cell in line] for line in rest)
    return [dict(zip(header, line, strict=False)) for line in cells if any(line)]


def _text(cell: object) -> str:
    return "" if cell is None else str(cell)
