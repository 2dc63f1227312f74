"""Tiles: one size for the eye, colours where borders are and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest

from service.image import Region
from training.figures.tiles import BOX, GUESS, INK, LONGEST, TRUTH, boxed, compared, outlined, painted, photograph

SHAPE = (60, 80)


def square(top: int, left: int, side: int, label: int = 1) -> np.ndarray:
    labels = np.zeros(SHAPE, np.uint8)
    labels[top : top + side, left : left + side] = label
    return labels


def where(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return (picture == np.array(colour)).all(axis=-1)


@pytest.mark.parametrize(
    "image", [np.full(SHAPE, 90, np.uint8), np.full((*SHAPE, 3), 90, np.uint8), np.full((1200, 1600), 90, np.uint8)]
)
def test_pictures_of_any_size_come_out_480_pixels_long(image: np.ndarray) -> None:
    shown = photograph(image)
    assert shown.shape == (LONGEST * 3 // 4, LONGEST, 3)
    assert shown.dtype == np.uint8
    assert (shown == 90).all()


def test_other_types_are_windowed_to_eight_bits() -> None:
    shown = photograph(np.linspace(-500, 3000, SHAPE[0] * SHAPE[1], dtype=np.float32).reshape(SHAPE))
    assert shown.dtype == np.uint8
    assert (shown.min(), shown.max()) == (0, 255)


def test_one_label_is_white_and_others_have_colours_of_their_own() -> None:
    tile = painted(square(0, 0, 20) + square(30, 40, 20, 2) + square(30, 0, 20, 9))
    assert tile.shape == (360, 480, 3)
    assert {tuple(colour) for colour in tile.reshape(-1, 3).tolist()} == {(0, 0, 0), (255, 255, 255), GUESS}
    assert tuple(tile[30, 30]) == tuple(tile[240, 30]) == (255, 255, 255), "the ninth label begins again"
    assert tuple(tile[240, 270]) == GUESS
    assert len({tuple(colour) for colour in INK.tolist()}) == len(INK)


def test_the_border_of_the_truth_is_green_and_of_the_prediction_orange() -> None:
    tile = compared(np.full(SHAPE, 90, np.uint8), square(10, 10, 30), square(20, 30, 30))
    truth, guess = where(tile, TRUTH), where(tile, GUESS)
    assert truth[60:240, 60].mean() > 0.9, "the left side of the truth, six times enlarged"
    assert guess[120:300, 180].mean() > 0.9
    assert not truth[80:100, 80:100].any(), "nothing inside"
    assert not (truth | guess)[320:].any(), "nor outside"


def test_a_prediction_like_the_truth_lies_over_it_and_an_empty_one_is_nowhere() -> None:
    image = np.full(SHAPE, 90, np.uint8)
    both = compared(image, square(10, 10, 30), square(10, 10, 30))
    assert not where(both, TRUTH).any()
    assert where(both, GUESS).any()
    assert (compared(image, np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.uint8)) == 90).all()


def test_drawing_changes_a_copy() -> None:
    picture = photograph(np.full(SHAPE, 90, np.uint8))
    outlined(picture, square(10, 10, 30), TRUTH)
    boxed(picture, [Region(0, 0, 10, 10)], SHAPE)
    assert (picture == 90).all()


def test_a_box_is_drawn_where_it_lies() -> None:
    tile = boxed(photograph(np.full(SHAPE, 90, np.uint8)), [Region(10, 20, 50, 40)], SHAPE)
    rows, columns = np.nonzero(where(tile, BOX))
    assert abs(columns.min() - 60) <= 2
    assert abs(columns.max() - 299) <= 2
    assert abs(rows.min() - 120) <= 2
    assert abs(rows.max() - 239) <= 2
    assert not where(tile, BOX)[140:220, 80:280].any()
