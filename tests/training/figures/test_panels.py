"""Panels: every tile in its place, equal figures as equal files."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from training.figures.panels import panel
from training.figures.tiles import Tile

COLOURS = [(200, 30, 30), (30, 200, 30), (30, 30, 200), (200, 200, 30)]


def tile(colour: tuple[int, int, int], shape: tuple[int, int] = (60, 80)) -> Tile:
    return Tile(np.full((*shape, 3), colour, np.uint8), "Dice 0.50")


def centre(picture: np.ndarray, colour: tuple[int, int, int]) -> tuple[float, float]:
    """Middle row and column of what has this colour (RGB)."""
    rows, columns = np.nonzero((np.abs(picture[..., ::-1].astype(int) - colour) < 12).all(axis=-1))
    assert len(rows) > 1000
    return float(rows.mean()), float(columns.mean())


def test_tiles_stand_in_their_rows_and_columns(tmp_path: Path) -> None:
    rows = [[tile(COLOURS[0]), tile(COLOURS[1])], [tile(COLOURS[2]), tile(COLOURS[3])]]
    path = panel(tmp_path / "sub" / "panel.png", rows, ["one", "a name that is far too long for a row"], ["a", "b"])
    picture = cv2.imread(str(path))
    (y0, x0), (y1, x1), (y2, x2), (y3, x3) = (centre(picture, colour) for colour in COLOURS)
    assert abs(y0 - y1) < 3
    assert abs(y2 - y3) < 3
    assert abs(x0 - x2) < 3
    assert abs(x1 - x3) < 3
    assert y2 - y0 > 100
    assert x1 - x0 > 100
    assert (picture < 100).all(axis=-1).any(), "the text"


def test_rows_may_hold_tiles_of_any_shape(tmp_path: Path) -> None:
    rows = [[tile(COLOURS[0], (120, 40)), tile(COLOURS[1], (40, 120))]]
    picture = cv2.imread(str(panel(tmp_path / "panel.png", rows, ["one"], ["a", "b"])))
    centre(picture, COLOURS[0])
    centre(picture, COLOURS[1])


def test_equal_panels_are_equal_files(tmp_path: Path) -> None:
    one, other = (
        panel(tmp_path / name, [[tile(COLOURS[0])]], ["one"], ["a"]).read_bytes() for name in ("1.png", "2.png")
    )
    assert one == other


@pytest.mark.parametrize(("rows", "names"), [([], []), ([[tile(COLOURS[0])]], []), ([[tile(COLOURS[0])] * 2], ["one"])])
def test_a_place_without_a_tile_is_refused(rows: list[list[Tile]], names: list[str], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Found rows of .* names and 1 columns; wanted a name a row"):
        panel(tmp_path / "panel.png", rows, names, ["a"])
    assert not list(tmp_path.iterdir())
