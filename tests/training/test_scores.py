"""Scores of images: worked out by hand, kept to the last column through their file."""

from __future__ import annotations

import csv
import math
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from tests.training.scored import SIDE, case, square
from training.scores import (
    COLUMNS,
    MEAN,
    Score,
    read_scores,
    score,
    score_labels,
    write_scores,
)

TRUTH = square(10)
CERTAINTY = np.full((SIDE, SIDE), 0.75)


def test_half_a_square_beside_the_truth() -> None:
    row = score(case("a", "g"), "lesion", square(15), TRUTH)
    assert (row.image, row.label, row.group, row.category, row.volume) == ("a", "lesion", "g", "benign", "")
    assert (row.pixels, row.truth_px, row.mask_px, row.overlap_px) == (1600, 100, 100, 50)
    assert row.dice == row.precision == row.recall == 0.5
    assert row.iou == pytest.approx(1 / 3)
    assert row.specificity == pytest.approx(1450 / 1500)
    assert row.accuracy == pytest.approx(1500 / 1600)
    assert row.hd95_px == 5
    assert math.isnan(row.hd95_mm)
    assert (row.lesions, row.lesions_found, row.false_positives, row.solidity) == (1, 1, 0, 1)
    assert 0 < row.surface_dice_2px < 1


def test_millimetres_follow_the_spacing() -> None:
    row = score(case("a", spacing=(0.5, 0.2)), "lesion", square(15), TRUTH)
    assert (row.hd95_px, row.hd95_mm) == (5, pytest.approx(1.0))
    # Five columns of 0.2 mm aside: both borders lie within 2 mm of each other, but not within 2 pixels.
    assert (row.surface_dice_2mm, row.surface_dice_2px < 0.8) == (1, True)
    unknown = score(case("a"), "lesion", square(15), TRUTH)
    assert math.isnan(unknown.hd95_mm)
    assert math.isnan(unknown.surface_dice_2mm)


def test_what_is_not_there_has_no_border() -> None:
    missed, alarm, quiet = (
        score(case("a"), "lesion", guess, truth)
        for guess, truth in [(square(0, 0), TRUTH), (TRUTH, square(0, 0)), (square(0, 0), square(0, 0))]
    )
    assert [row.dice for row in (missed, alarm, quiet)] == [0, 0, 1]
    assert [(row.lesions, row.lesions_found, row.false_positives) for row in (missed, alarm, quiet)] == [
        (1, 0, 0),
        (0, 0, 1),
        (0, 0, 0),
    ]
    for row in (missed, alarm, quiet):
        assert math.isnan(row.hd95_px)
        assert math.isnan(row.surface_dice_2px)


def test_a_mask_elsewhere_misses_and_alarms() -> None:
    row = score(case("a"), "lesion", square(25), TRUTH)
    assert (row.dice, row.lesions_found, row.false_positives) == (0, 0, 1)


def test_parts_of_the_mask_are_scored_by_their_highest_probability() -> None:
    probability = CERTAINTY.copy()
    probability[7, 12] = 0.9
    guess = square(10) | square(28, 4)
    row = score(case("a"), "lesion", guess, TRUTH, probability)
    assert row.parts == "0.9:0 0.75:"
    found = row.candidates
    assert found is not None
    assert (found.scores, found.hits, found.lesions) == ((0.9, 0.75), (0, None), 1)
    silent = score(case("a"), "lesion", square(0, 0), TRUTH, probability)
    assert (silent.parts, silent.candidates.scores) == ("-", ())  # type: ignore[union-attr]
    assert score(case("a"), "lesion", guess, TRUTH).candidates is None, "a mask alone has no score"


def test_a_part_counts_however_low_its_probability() -> None:
    """Of many labels the likeliest may be far below one half."""
    row = score(case("a"), "lesion", TRUTH, TRUTH, np.full((SIDE, SIDE), 0.2))
    assert (row.lesions_found, row.parts) == (1, "0.2:0")


def test_masks_of_different_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"Found masks of shapes \(40, 40\) and \(9, 9\); wanted the same"):
        score(case("a"), "lesion", TRUTH, np.zeros((9, 9), bool))


def test_several_labels_have_a_mean_over_those_that_are_there() -> None:
    truth = np.where(TRUTH, 1, 0).astype(np.uint8)
    truth[30:, :] = 2
    truth[0, 0] = 255
    guess = np.where(square(15), 1, truth).astype(np.uint8)
    guess[truth == 255] = 0
    guess[TRUTH & ~square(15)] = 0
    first, second, third, mean = score_labels(case("a"), ["fat", "gland", "muscle"], guess, truth)
    assert (first.label, second.label, third.label, mean.label) == ("fat", "gland", "muscle", MEAN)
    assert (first.dice, second.dice, third.dice) == (0.5, 1, 1)
    assert mean.dice == 0.75, "the label that neither has does not count"
    assert mean.truth_px == 100 + 400
    assert (mean.lesions, mean.lesions_found, mean.false_positives) == (2, 2, 0), "lesions are added up"
    (alone,) = score_labels(case("a"), ["lesion"], guess, truth)
    assert alone.label == "lesion"


def test_where_no_label_is_there_the_mean_is_that_of_silence() -> None:
    nothing = np.zeros((SIDE, SIDE), np.uint8)
    assert score_labels(case("a"), ["fat", "gland"], nothing, nothing)[-1].dice == 1


def rows() -> list[Score]:
    return [
        score(case("a", "g"), "lesion", square(15), TRUTH, CERTAINTY),
        score(case('b, "quoted"', "g"), "lesion", square(0, 0), TRUTH),
    ]


def test_scores_come_back_as_they_were_written(tmp_path: Path) -> None:
    write_scores(rows(), tmp_path / "sub" / "scores.csv")
    again = read_scores(tmp_path / "sub" / "scores.csv")
    assert len(again) == 2
    for one, other in zip(rows(), again, strict=True):
        for name, value in asdict(one).items():
            wanted = pytest.approx(value, rel=1e-5, nan_ok=True) if isinstance(value, float) else value
            assert getattr(other, name) == wanted
        assert one.counts == other.counts


def test_columns_are_stable_and_unknown_cells_empty(tmp_path: Path) -> None:
    write_scores(rows(), tmp_path / "scores.csv")
    with (tmp_path / "scores.csv").open(newline="") as file:
        first, second = csv.DictReader(file)
    assert tuple(first) == COLUMNS
    assert COLUMNS[:9] == (
        "image",
        "label",
        "category",
        "group",
        "volume",
        "pixels",
        "truth_px",
        "mask_px",
        "overlap_px",
    )
    assert (first["hd95_px"], first["hd95_mm"], second["hd95_px"]) == ("5", "", "")


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"Found no .*scores.csv; wanted the scores of a run"):
        read_scores(tmp_path / "scores.csv")
    (tmp_path / "scores.csv").write_text("image,dice\na,1\n")
    with pytest.raises(ValueError, match=r"Found other columns in .*scores.csv; wanted image, label"):
        read_scores(tmp_path / "scores.csv")
