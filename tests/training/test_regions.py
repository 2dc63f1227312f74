"""Boxes of a localiser come back from their file as they were, and mistakes in it are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.image import Region
from training.regions import read_boxes, write_boxes


def test_boxes_come_back(tmp_path: Path) -> None:
    boxes = {"one": (Region(1, 2, 30, 40), Region(5, 5, 9, 9)), "none found": ()}
    write_boxes(boxes, tmp_path / "deeper" / "boxes.json")
    assert read_boxes(tmp_path / "deeper" / "boxes.json") == boxes


@pytest.mark.parametrize(
    "content", ["[1, 2]", '{"one": [[1, 2, 3]]}', '{"one": [[5, 5, 1, 9]]}', '{"one": 3}', "not JSON"]
)
def test_what_are_no_boxes_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "boxes.json").write_text(content)
    with pytest.raises(ValueError, match=r"Found in .*boxes.json what is no set of boxes .*; wanted \{\"case\""):
        read_boxes(tmp_path / "boxes.json")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="Found no file .*boxes.json; wanted a localiser's boxes"):
        read_boxes(tmp_path / "boxes.json")
