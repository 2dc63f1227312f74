"""From scores to figures: every mean worked out by hand, intervals by groups, differences in pairs."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import scipy

from tests.training.scored import case, rows, square, with_volumes
from training.scores import score
from training.summary import FIGURES, as_json, chosen, curve, difference, figure, sets

# Dice of a 10 x 10 square shifted by so many columns.
SHIFTS: dict[str, int | None] = {"a1": 0, "a2": 5, "b1": 10, "c1": None}
DICE = {"a1": 1.0, "a2": 0.5, "b1": 0.0, "c1": 1.0}


def test_means_over_all_and_over_lesion_images() -> None:
    every, lesion = sets(rows(SHIFTS))
    assert (every.name, every.images, every.empty_truth, every.both_empty, every.groups) == ("all", 4, 1, 1, 3)
    assert (lesion.name, lesion.images, lesion.empty_truth, lesion.both_empty, lesion.groups) == ("lesion", 3, 0, 0, 2)
    assert every.figures["dice"].value == pytest.approx(2.5 / 4)
    assert lesion.figures["dice"].value == pytest.approx(1.5 / 3)
    assert lesion.figures["iou"].value == pytest.approx((1 + 1 / 3 + 0) / 3)
    assert (lesion.lesions, lesion.lesions_found, lesion.false_positives) == (3, 2, 1)


def test_pooled_figures_are_of_all_pixels_together() -> None:
    _, lesion = sets(rows(SHIFTS))
    assert lesion.pooled["dice"] == pytest.approx(2 * 150 / 600)
    assert lesion.pooled["iou"] == pytest.approx(lesion.pooled["dice"] / (2 - lesion.pooled["dice"]))


def test_distances_count_where_both_borders_are() -> None:
    every, _ = sets(rows({**SHIFTS, "d1": 20}))
    found = every.figures["hd95_px"]
    assert (found.value, found.images, found.undefined) == (pytest.approx((0 + 5 + 10 + 20) / 4), 4, 1)
    assert every.figures["hd95_mm"].images == 0
    assert math.isnan(every.figures["hd95_mm"].value)


def test_intervals_resample_groups() -> None:
    values, groups = [1.0, 1.0, 0.0, 0.0], ["a", "a", "b", "b"]
    found = figure(values, groups)
    # Of two groups one is drawn twice in half of all draws: the interval reaches from end to end.
    assert (found.value, found.low, found.high) == (0.5, 0, 1)
    single = figure(values, ["a", "b", "c", "d"])
    rng = np.random.default_rng(0)
    means = [np.mean([values[i] for i in rng.integers(0, 4, 4)]) for _ in range(2000)]
    assert (single.low, single.high) == tuple(np.percentile(means, (2.5, 97.5)))


def test_no_number_has_no_mean() -> None:
    found = figure([math.nan], ["a"])
    assert (found.images, found.undefined) == (0, 1)
    assert math.isnan(found.value)


def test_lesions_count_together_and_false_alarms_by_image() -> None:
    every, lesion = sets(rows(SHIFTS))
    assert set(every.figures) == set(FIGURES)
    for found, undefined in ((every, 1), (lesion, 0)):
        sensitivity = found.figures["lesion_sensitivity"]
        assert (sensitivity.value, sensitivity.images, sensitivity.undefined) == (pytest.approx(2 / 3), 3, undefined)
        # Groups a (both found) and b (missed): the interval goes from none to all.
        assert (sensitivity.low, sensitivity.high) == (0, 1)
    assert every.figures["false_positives_per_image"].value == pytest.approx(1 / 4)
    assert lesion.figures["false_positives_per_image"].value == pytest.approx(1 / 3)
    assert lesion.figures["solidity"].value == 1


def test_the_free_response_curve_is_that_of_parts_with_scores() -> None:
    """One of two lesions is found at 0.9, the other one at 0.6, below a false alarm at 0.8."""
    sure, alarm = np.full((40, 40), 0.9), np.full((40, 40), 0.8)
    alarm[5:15, 10:20] = 0.6
    some = [
        score(case("a"), "lesion", square(10), square(10), sure),
        score(case("b"), "lesion", square(10) | square(28, 4), square(10), alarm),
    ]
    (every, _) = sets(some)
    # At 1/8 and 1/4 false positives an image one of two is found, from 1/2 on both are.
    found = every.figures["froc"]
    assert (found.value, found.images) == (pytest.approx((0.5 * 2 + 5) / 7), 2)
    assert found.low <= found.value <= found.high
    drawn = curve(some)
    assert drawn is not None
    assert drawn["thresholds"] == [0.9, 0.8, 0.6]
    assert drawn["sensitivity"] == [0.5, 0.5, 1]
    assert drawn["false_positives"] == [0, 0.5, 0.5]
    assert drawn["at_rates"] == [0.5, 0.5, 1, 1, 1, 1, 1]


def test_without_scores_or_lesions_there_is_no_curve() -> None:
    every, _ = sets(rows(SHIFTS))
    assert (every.figures["froc"].images, every.figures["froc"].undefined) == (0, 4)
    assert curve(rows(SHIFTS)) is None
    normal = score(case("a"), "lesion", square(0, 0), square(0, 0), np.zeros((40, 40)))
    assert curve([normal]) is None
    assert math.isnan(sets([normal])[0].figures["froc"].value)
    assert sets([normal])[0].figures["lesion_sensitivity"].images == 0


def test_slices_are_summarised_by_volume_as_well() -> None:
    named = {f"{name[0]}x_z00{name[1]}": shift for name, shift in SHIFTS.items()}
    every = {one.name: one for one in sets(with_volumes(named))}
    assert list(every) == ["all", "lesion", "all volumes", "lesion volumes"]
    assert every["all volumes"].images == 3
    assert every["lesion volumes"].figures["dice"].value == pytest.approx((0.75 + 0) / 2)
    assert every["all"].images == 4
    assert every["lesion volumes"].figures["hd95_px"].images == 2
    assert [row.image for row in chosen(with_volumes(named), "lesion volumes")] == ["ax", "bx"]
    assert [row.image for row in chosen(with_volumes(named), "all")] == list(named)


def test_without_a_lesion_there_are_no_lesion_images() -> None:
    assert [one.name for one in sets(rows({"a": None}))] == ["all"]


def test_differences_are_those_of_the_same_images() -> None:
    better = {f"{letter}1": shift for letter, shift in zip("abcdefgh", (0, 1, 2, 0, 3, 1, 2, 4), strict=True)}
    worse = {name: shift + int(name[0] in "bdfgh") * (ord(name[0]) - 96) for name, shift in better.items()}
    found = difference(rows(better), rows(worse))
    dice = [[max(0, 10 - shift) / 10 for shift in shifts.values()] for shifts in (better, worse)]
    assert found.difference == pytest.approx(np.mean(dice[0]) - np.mean(dice[1]))
    assert found.p_value == pytest.approx(scipy.stats.wilcoxon(*dice).pvalue)
    assert (found.pairs, found.units) == (8, 8)
    low, high = found.interval
    assert 0 < low < found.difference < high
    fewer = difference(rows({name: shift for name, shift in better.items() if name != "a1"}), rows(worse))
    assert fewer.pairs == 7


def test_methods_without_a_common_image_are_not_compared() -> None:
    with pytest.raises(ValueError, match="Found no pair of values"):
        difference(rows({"a": 0}), rows({"b": 0}))


def test_json_holds_plain_values() -> None:
    (every, lesion) = as_json(sets(rows(SHIFTS)))
    text = json.dumps([every, lesion], allow_nan=False)
    assert json.loads(text)[1]["figures"]["dice"]["value"] == 0.5
    assert every["figures"]["hd95_mm"]["value"] is None
