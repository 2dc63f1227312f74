"""Charts: they show what they are given, and refuse what cannot be shown."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from matplotlib.colors import to_rgb

from training.figures.canvas import colour
from training.figures.charts import (
    Point,
    quality_against_cost,
    read_curves,
    reliability_diagram,
    training_curves,
)
from training.metrics.calibration import reliability


def drawn(path: Path, number: int) -> np.ndarray:
    """True where a chart has the colour of the method at this place."""
    picture = cv2.imread(str(path))[..., ::-1].astype(int)
    return (np.abs(picture - np.array(to_rgb(colour(number))) * 255) < 25).all(axis=-1)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    path = tmp_path / "curves.csv"
    path.write_text("epoch,loss,learning_rate,validation,validation_loss\n1,0.9,0.01,0.2,1.0\n2,0.5,0.005,0.6,\n")
    return path


def test_curves_are_read_by_column(run: Path) -> None:
    curves = read_curves(run)
    assert curves["epoch"].tolist() == [1, 2]
    assert curves["validation"].tolist() == [0.2, 0.6]
    assert np.isnan(curves["validation_loss"][1])


@pytest.mark.parametrize("text", ["", "epoch,loss\n", "loss\n1\n"])
def test_a_file_without_epochs_is_no_curve(text: str, tmp_path: Path) -> None:
    (tmp_path / "curves.csv").write_text(text)
    with pytest.raises(ValueError, match=r"Found no epoch in .*curves.csv; wanted a row for each"):
        read_curves(tmp_path / "curves.csv")


def test_a_run_without_curves_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"Found no .*curves.csv; wanted the curves of a run"):
        read_curves(tmp_path / "curves.csv")


def test_every_run_has_lines_of_its_colour(run: Path, tmp_path: Path) -> None:
    curves = read_curves(run)
    path = training_curves(tmp_path / "curves.png", {"one": curves, "two": curves | {"loss": curves["loss"] / 2}})
    for number in (0, 1):
        assert drawn(path, number).sum() > 100
    assert not drawn(path, 2).any()
    again = training_curves(tmp_path / "again.png", {"one": curves, "two": curves | {"loss": curves["loss"] / 2}})
    assert again.read_bytes() == path.read_bytes()


def test_better_methods_stand_higher_and_dearer_ones_to_the_right(tmp_path: Path) -> None:
    points = [Point("cheap", 0.5, 0.6, (0.5, 0.7)), Point("dear", 50, 0.8, (0.78, 0.82))]
    path = quality_against_cost(tmp_path / "cost.png", points, quality="Dice", cost="GMAC")
    (rows, columns), (others, beside) = (np.nonzero(drawn(path, number)) for number in (0, 1))
    assert rows.mean() > others.mean() + 50
    assert columns.mean() < beside.mean() - 200
    bars = [np.ptp(rows[columns == np.median(columns)]), np.ptp(others[beside == np.median(beside)])]
    assert bars[0] > 3 * bars[1], "the wider interval is the longer bar"


def test_a_method_keeps_its_colour_in_every_series(tmp_path: Path) -> None:
    points = [
        Point("one", 1, 0.8, (0.7, 0.9), "whole"),
        Point("two", 3, 0.7, (0.6, 0.8), "whole"),
        Point("two", 3, 0.5, (0.4, 0.6), "crops"),
        Point("one", 1, 0.4, (0.3, 0.5), "crops"),
    ]
    path = quality_against_cost(tmp_path / "cost.png", points, quality="Dice", cost="GMAC")
    for number in (0, 1):
        rows, columns = np.nonzero(drawn(path, number))
        left, right = columns.min(), columns.max()
        whole, crops = rows[columns < left + 40], rows[(columns > left + 40) & (columns < right - 60)]
        assert len(whole) > 50
        assert crops.mean() > whole.mean() + 20, "worse on crops: lower in the picture"


@pytest.mark.parametrize("points", [[], [Point("free", 0, 0.5, (0.4, 0.6))]])
def test_no_cost_is_no_place_on_the_axis(points: list[Point], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="points, not all of a cost above 0; wanted some"):
        quality_against_cost(tmp_path / "cost.png", points, quality="Dice", cost="GMAC")


def test_probabilities_that_mean_what_they_say_lie_on_the_diagonal(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    says = rng.random(40000)
    path = reliability_diagram(tmp_path / "reliability.png", {"honest": reliability(says, rng.random(40000) < says)})
    upper = drawn(path, 0)[: 3 * drawn(path, 0).shape[0] // 5]
    rows, columns = np.nonzero(upper)
    # The key in the upper left corner is no part of the line.
    line = columns > upper.shape[1] / 2
    assert np.corrcoef(rows[line], columns[line])[0, 1] < -0.98


def test_a_reliability_diagram_needs_a_method(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Found no method; wanted at least one"):
        reliability_diagram(tmp_path / "reliability.png", {})
