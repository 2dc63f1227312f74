"""Figures of trained networks: the worst are the worst, every network has its row, contours are where they must be."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.training.tiny_runs import Runs
from training.choices import Part, Regions
from training.evaluate import true_boxes
from training.evaluate_run import Images, images_of
from training.figures import of_runs
from training.figures.of_runs import figures, shown
from training.figures.tiles import BOX, GUESS, TRUTH
from training.trained import recipe_of


@pytest.fixture(scope="module")
def images(runs: Runs) -> Images:
    every = [images_of(recipe_of(runs.whole), runs.data, part).cases for part in Part]
    return Images("both parts", [case for cases in every for case in cases])


@pytest.fixture(scope="module")
def drawn(runs: Runs, images: Images, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All figures of two networks; nobody writes here."""
    out = tmp_path_factory.mktemp("figures")
    boxes = {case.name: true_boxes(case.read_mask()) if case.read_mask().any() else () for case in images.cases}
    paths = figures([runs.whole, runs.crop], images, out, (2, 1), boxes)
    assert all(path.is_file() for path in paths)
    return out


def colours(path: Path, colour: tuple[int, int, int]) -> int:
    """How many pixels of a figure are about of this colour."""
    picture = cv2.imread(str(path))[..., ::-1].astype(int)
    return int((np.abs(picture - colour) < 20).all(axis=-1).sum())


def test_every_figure_is_there(drawn: Path) -> None:
    assert sorted(path.name for path in drawn.glob("*.png")) == [
        "architectures.png",
        "crop_best.png",
        "crop_localisation.png",
        "crop_worst.png",
        "quality_against_cost.png",
        "reliability.png",
        "training_curves.png",
        "whole_best.png",
        "whole_worst.png",
    ]
    for path in drawn.glob("*.png"):
        picture = cv2.imread(str(path))
        assert min(picture.shape[:2]) >= 200
        assert picture.std() > 5


@pytest.mark.parametrize("name", ["architectures", "crop_worst", "crop_localisation"])
def test_truth_prediction_and_boxes_are_outlined(name: str, drawn: Path) -> None:
    for colour in (TRUTH, GUESS, BOX):
        assert colours(drawn / f"{name}.png", colour) > 50


def test_whole_pictures_have_no_boxes(drawn: Path) -> None:
    assert colours(drawn / "whole_worst.png", BOX) == 0


def test_rows_are_as_many_as_asked_for(drawn: Path) -> None:
    worst, best = (cv2.imread(str(drawn / f"whole_{end}.png")).shape[0] for end in ("worst", "best"))
    assert worst > 1.6 * best


def test_the_worst_come_first_and_only_lesions_count(runs: Runs, images: Images, drawn: Path) -> None:
    one = shown(runs.whole, images, drawn)
    ranked = of_runs._ranked([one])
    dice = [one.scores[case.name].dice for case in ranked]
    assert dice == sorted(dice)
    assert {case.category for case in ranked} <= {"benign", "malignant"}
    assert len(ranked) == sum(bool(case.read_mask().any()) for case in images.cases)
    spread = of_runs._spread([one])
    assert len(spread) == min(4, len(ranked))
    assert (spread[0], spread[-1]) == (ranked[0], ranked[-1])


def test_a_row_shows_what_was_written(runs: Runs, images: Images, drawn: Path) -> None:
    one = shown(runs.crop, images, drawn, Regions.truth)
    case = of_runs._ranked([one])[-1]
    image, truth, guess, both = one.row(case)
    assert {tuple(colour) for colour in truth.picture.reshape(-1, 3).tolist()} == {(0, 0, 0), (255, 255, 255)}
    share = (truth.picture > 0).mean()
    assert share == pytest.approx((case.read_mask() > 0).mean(), rel=0.05)
    assert both.caption == f"Dice {one.scores[case.name].dice:.2f}"
    assert image.picture.shape == guess.picture.shape == both.picture.shape


def test_figures_are_the_same_again(runs: Runs, images: Images, drawn: Path, tmp_path: Path) -> None:
    again = figures([runs.whole], images, tmp_path, (2, 1), None)
    assert [path.name for path in again if "cost" not in path.name]
    assert (tmp_path / "whole_worst.png").read_bytes() == (drawn / "whole_worst.png").read_bytes()
    assert not (tmp_path / "whole_localisation.png").exists()


def test_runs_of_one_name_cannot_be_told_apart(runs: Runs, images: Images, tmp_path: Path) -> None:
    shutil.copytree(runs.whole, tmp_path / "whole")
    with pytest.raises(ValueError, match="Found runs whole, whole; wanted some, each name once"):
        figures([runs.whole, tmp_path / "whole"], images, tmp_path / "out", (1, 1), None)
