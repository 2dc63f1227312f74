"""Tables come as stripped text or are refused with what they hold."""

from __future__ import annotations

from pathlib import Path

import pytest
from openpyxl import Workbook

from training.datasets.tables import csv_rows, sheet_rows


def _sheet(path: Path, *sheets: list[list[object]]) -> Path:
    book = Workbook()
    book.remove(book.worksheets[0])
    for number, rows in enumerate(sheets):
        sheet = book.create_sheet(f"sheet {number}")
        for row in rows:
            sheet.append(row)
    book.save(path)
    return path


def test_csv_is_stripped_of_marks_spaces_and_line_breaks(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b'\xef\xbb\xbfA, b_c \r\n1,"x.png\n"\r\n\r\n2\r\n')
    assert csv_rows(path, ("A", "b c"), lambda name: name.strip().replace("_", " ")) == [
        {"A": "1", "b c": "x.png"},
        {"A": "2"},
    ]


def test_a_csv_without_the_columns_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    for content in ("", "image,mask\n"):
        path.write_text(content)
        with pytest.raises(ValueError, match=r"Found no column .*fold in .*a.csv; wanted image, fold"):
            csv_rows(path, ("image", "fold"))


def test_the_sheet_that_has_the_columns_is_read(tmp_path: Path) -> None:
    path = _sheet(tmp_path / "a.xlsx", [["notes"]], [["name", "size"], ["one ", 0.0084], [None, None], ["two", None]])
    assert sheet_rows(path, ("name", "size")) == [{"name": "one", "size": "0.0084"}, {"name": "two", "size": ""}]


def test_a_workbook_without_the_columns_is_refused(tmp_path: Path) -> None:
    path = _sheet(tmp_path / "a.xlsx", [["name", "size"]], [])
    with pytest.raises(ValueError, match=r"Found name, size in .*a.xlsx; wanted columns name, age"):
        sheet_rows(path, ("name", "age"))
