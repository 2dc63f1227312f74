"""Charts: training curves, quality against cost, reliability."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray

from training.figures.canvas import COLOURS, colour, drawing
from training.metrics.calibration import Reliability

Curves = Mapping[str, NDArray[np.float64]]
DECADE = 10
# Of methods beyond the number of colours.
MARKERS = "os^D"
# Axes of the training curves; of two columns the second is dashed.
SHOWN = {
    "loss (dashed: validation)": ("loss", "validation_loss"),
    "validation score": ("validation",),
    "learning rate": ("learning_rate",),
}


def read_curves(path: Path) -> dict[str, NDArray[np.float64]]:
    """``curves.csv`` of a run by column, ``epoch`` among them; NaN where a cell is empty.

    Raises FileNotFoundError where there is none, ValueError for what holds no epoch.
    """
    if not path.is_file():
        raise FileNotFoundError(f"Found no {path}; wanted the curves of a run. Train at least one epoch.")
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if not rows or "epoch" not in rows[0]:
        raise ValueError(f"Found no epoch in {path}; wanted a row for each. Train at least one epoch.")
    return {name: np.array([float(row[name] or "nan") for row in rows]) for name in rows[0]}


def training_curves(path: Path, runs: Mapping[str, Curves]) -> Path:
    """Losses (validation dashed), validation score and learning rate of several runs, by name. Returns ``path``."""
    with drawing(path, (7.0, 2.4)) as figure:
        for axes, (title, columns) in zip(figure.subplots(1, len(SHOWN)), SHOWN.items(), strict=True):
            for number, (name, curves) in enumerate(runs.items()):
                _lines(axes, curves, columns, name, colour(number))
            axes.set(title=title, xlabel="epoch")
        figure.axes[1].legend()
    return path


def _lines(axes: Axes, curves: Curves, columns: Sequence[str], name: str, ink: str) -> None:
    for column, style in zip(columns, ("-", "--"), strict=False):
        if column in curves:
            axes.plot(curves["epoch"], curves[column], style, label=name, color=ink, lw=1, marker=".", ms=3)


@dataclass(frozen=True)
class Point:
    """One method in a chart of quality against cost; points of each ``series`` stand in an axes of their own."""

    name: str
    cost: float
    quality: float
    interval: tuple[float, float]
    series: str = ""


def quality_against_cost(path: Path, points: Sequence[Point], *, quality: str, cost: str) -> Path:
    """A mark with its 95 % interval for each method; where costs differ ten times, their axis is logarithmic.

    A method has one colour and mark in all series. Returns ``path``.

    Raises ValueError without points or for a cost that is not above 0.
    """
    if not points or any(not one.cost > 0 for one in points):
        raise ValueError(f"Found {len(points)} points, not all of a cost above 0; wanted some. Measure the cost first.")
    series, names = (list(dict.fromkeys(found)) for found in zip(*((p.series, p.name) for p in points), strict=True))
    with drawing(path, (2.6 * len(series) + 3.4, max(3.4, 0.9 + 0.22 * len(names)))) as figure:
        for axes, title in zip(figure.subplots(1, len(series), sharey=True, squeeze=False)[0], series, strict=True):
            for one in points:
                if one.series == title:
                    _mark(axes, names.index(one.name), one)
            axes.set(xlabel=cost, title=title)
            _scale(axes, [one.cost for one in points])
        figure.axes[0].set_ylabel(quality)
        marks = {
            text: mark for axes in figure.axes for mark, text in zip(*axes.get_legend_handles_labels(), strict=True)
        }
        figure.legend([marks[name] for name in names], names, loc="outside right center")
    return path


def _scale(axes: Axes, costs: Sequence[float]) -> None:
    if max(costs) >= DECADE * min(costs):
        axes.set_xscale("log")
        axes.set_xlim(min(costs) / 1.5, max(costs) * 1.5)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    else:
        axes.set_xlim(0, 1.1 * max(costs))
    axes.grid(alpha=0.3, lw=0.5)


def _mark(axes: Axes, number: int, one: Point) -> None:
    spread = np.clip([[one.quality - one.interval[0]], [one.interval[1] - one.quality]], 0, None)
    marker = MARKERS[number // len(COLOURS) % len(MARKERS)]
    axes.errorbar(
        one.cost, one.quality, spread, fmt=marker, ms=5, capsize=2, lw=1, color=colour(number), label=one.name
    )


def reliability_diagram(
    path: Path, methods: Mapping[str, Reliability], says: tuple[str, str] = ("share that is lesion", "pixels")
) -> Path:
    """Frequency against probability of each method by name, its calibration error beside it. Returns ``path``.

    Below stands how many pixels each bin holds; ``says`` calls the frequency, and what is in the bins, otherwise.
    Raises ValueError without a method.
    """
    if not methods:
        raise ValueError("Found no method; wanted at least one. Give the bins of one network.")
    with drawing(path, (3.6, 4.4)) as figure:
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        above.plot([0, 1], [0, 1], color="0.6", lw=0.8, ls="--")
        for number, (name, bins) in enumerate(methods.items()):
            text = f"{name} (ECE {bins.error:.3f})"
            above.plot(bins.confidence, bins.frequency, marker="o", ms=3, lw=1, color=colour(number), label=text)
            below.stairs(bins.counts, bins.edges, color=colour(number))
        above.set(xlim=(0, 1), ylim=(0, 1), ylabel=says[0])
        above.legend(loc="upper left")
        below.set(xlabel="probability", ylabel=says[1], yscale="log")
    return path
