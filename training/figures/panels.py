"""Panels of tiles in rows and columns, as papers print them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from training.figures.canvas import drawing
from training.figures.tiles import GUESS, TRUTH, Colour, Tile

# Inches.
COLUMN, TEXT = 1.7, 0.35
LONGEST_NAME = 28
KEY: dict[str, Colour] = {"truth": TRUTH, "prediction": GUESS}


def panel(
    path: Path,
    rows: Sequence[Sequence[Tile]],
    names: Sequence[str],
    columns: Sequence[str],
    key: Mapping[str, Colour] = KEY,
) -> Path:
    """Write tiles as a grid: ``names`` stand left of the rows, ``columns`` above, ``key`` below says what colours mean.

    Returns ``path``. Raises ValueError without rows, or where rows, names and columns do not match.
    """
    if not rows or len(names) != len(rows) or any(len(row) != len(columns) for row in rows):
        found = ", ".join(str(len(row)) for row in rows) or "no"
        raise ValueError(
            f"Found rows of {found} tiles, {len(names)} names and {len(columns)} columns; wanted a name a row and as "
            "many tiles in each as there are columns. Give a tile for every place."
        )
    heights = [max(tile.picture.shape[0] / tile.picture.shape[1] for tile in row) * COLUMN + TEXT for row in rows]
    with drawing(path, (COLUMN * len(columns) + 2 * TEXT, sum(heights) + 2 * TEXT)) as figure:
        grid = figure.subplots(len(rows), len(columns), squeeze=False, gridspec_kw={"height_ratios": heights})
        for row, axes, name in zip(rows, grid, names, strict=True):
            for tile, place in zip(row, axes, strict=True):
                _show(place, tile)
            axes[0].set_ylabel(_short(name))
        for place, title in zip(grid[0], columns, strict=True):
            place.set_title(title)
        lines = [Line2D([], [], color=np.array(colour) / 255, label=name) for name, colour in key.items()]
        figure.legend(handles=lines, loc="outside lower center", ncols=max(1, len(lines)))
    return path


def _show(axes: Axes, tile: Tile) -> None:
    axes.imshow(tile.picture, interpolation="antialiased")
    axes.set(xticks=[], yticks=[], xlabel=tile.caption)
    axes.spines[:].set_visible(False)


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"
