"""Figures as PNG files that depend on their content alone: no screen, no user's style, no date in the file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

DPI = 150
STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 8,
    "legend.fontsize": 7,
    "legend.frameon": False,
}
# Of methods in charts, in their order.
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#f0e442", "#000000")


@contextmanager
def drawing(path: Path, size: tuple[float, float]) -> Iterator[Figure]:
    """An empty figure of (width, height) in inches; it is written to ``path`` when the block is left."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(STYLE)
        figure = Figure(figsize=size, layout="constrained")
        yield figure
        path.parent.mkdir(parents=True, exist_ok=True)
        # Without the note on the version of matplotlib, equal figures are equal files.
        FigureCanvasAgg(figure).print_figure(path, dpi=DPI, metadata={"Software": None})


def colour(number: int) -> str:
    """The colour of the method at this place."""
    return COLOURS[number % len(COLOURS)]
