"""Counts, measures and what empty masks are worth; per image and pooled; the identity that pooling obeys."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from training.metrics import dice, iou
from training.metrics.overlap import (
    AS_OVERLAP,
    MEASURES,
    Counts,
    Empty,
    class_counts,
    class_dice_per_image,
    class_mean,
    counts,
    measures,
    pooled_iou,
    summary,
)

MASKS = arrays(np.bool_, (4, 5))
PAIRS = st.lists(st.tuples(MASKS, MASKS), min_size=1, max_size=5)
SOME = Counts(both=6, mask_only=2, truth_only=4, neither=8)
NOTHING, MISSED, MADE_UP = Counts(neither=20), Counts(truth_only=5, neither=15), Counts(mask_only=5, neither=15)


def test_the_measures_of_a_table() -> None:
    found = measures(SOME, Empty.ONE)
    wanted = {"dice": 12 / 18, "iou": 6 / 12, "precision": 6 / 8, "recall": 6 / 10}
    assert found == pytest.approx(wanted | {"accuracy": 14 / 20, "specificity": 8 / 10})
    assert tuple(found) == MEASURES


@pytest.mark.parametrize(("empty", "worth"), [(Empty.ONE, 1.0), (Empty.ZERO, 0.0), (Empty.EXCLUDED, math.nan)])
def test_the_convention_is_about_both_empty_alone(empty: Empty, worth: float) -> None:
    found = measures(NOTHING, empty)
    assert [found[name] for name in AS_OVERLAP] == pytest.approx([worth] * 4, nan_ok=True)
    assert found["accuracy"] == found["specificity"] == 1
    for one in (MISSED, MADE_UP):
        assert [measures(one, empty)[name] for name in AS_OVERLAP] == [0] * 4


def test_specificity_needs_something_that_is_no_lesion() -> None:
    assert math.isnan(measures(Counts(both=3, truth_only=1), Empty.ONE)["specificity"])


@given(PAIRS)
def test_pooled_counts_obey_the_identity_and_means_lie_above_it(pairs: list[tuple[np.ndarray, np.ndarray]]) -> None:
    found = summary([counts(*pair) for pair in pairs], Empty.ONE)
    assert found.pooled["iou"] == pytest.approx(pooled_iou(found.pooled["dice"]))
    assert found.per_image["iou"] >= pooled_iou(found.per_image["dice"]) - 1e-12


@given(PAIRS)
def test_counting_images_is_counting_their_pixels_laid_together(pairs: list[tuple[np.ndarray, np.ndarray]]) -> None:
    pooled = sum((counts(*pair) for pair in pairs), Counts())
    laid = counts(*(np.concatenate(side) for side in zip(*pairs, strict=True)))
    assert pooled == laid
    assert pooled.pixels == 20 * len(pairs)


@given(MASKS, MASKS)
def test_measures_agree_with_the_plain_functions_and_swap_with_their_arguments(
    guess: np.ndarray, truth: np.ndarray
) -> None:
    one, other = (measures(counts(*pair), Empty.ONE) for pair in ((guess, truth), (truth, guess)))
    assert one["dice"] == pytest.approx(dice(guess, truth))
    assert one["iou"] == pytest.approx(iou(guess, truth))
    assert one["precision"] == other["recall"]
    assert all(0 <= value <= 1 for value in one.values() if not math.isnan(value))


def test_a_summary_says_how_many_images_are_empty() -> None:
    images = [SOME, NOTHING, MADE_UP, NOTHING]
    kept, rewarded = (summary(images, empty) for empty in (Empty.EXCLUDED, Empty.ONE))
    assert (kept.images, kept.empty_truth, kept.both_empty) == (4, 3, 2)
    assert kept.per_image["dice"] == pytest.approx((12 / 18 + 0) / 2)
    assert rewarded.per_image["dice"] == pytest.approx((12 / 18 + 0 + 1 + 1) / 4)
    assert kept.pooled == rewarded.pooled
    assert kept.pooled["dice"] == pytest.approx(12 / 23)


def test_a_constant_silence_looks_good_where_silence_is_rewarded() -> None:
    """Four of five slices without a tumour: 0.8, under a convention that has to be named."""
    slices = [NOTHING] * 8 + [MISSED] * 2
    assert summary(slices, Empty.ONE).per_image["dice"] == pytest.approx(0.8)
    assert summary(slices, Empty.EXCLUDED).per_image["dice"] == 0
    assert math.isnan(summary([NOTHING], Empty.EXCLUDED).per_image["dice"])


def test_which_published_tables_were_pooled() -> None:
    """Breast MRI, Dice and IoU in per cent: whole slices are within a point, those behind a detector are not."""
    whole = [(83.49, 72.07), (83.92, 72.65), (87.73, 78.36), (88.19, 79.70)]
    behind = [(93.49, 91.78), (93.44, 91.74), (93.48, 91.79), (93.62, 91.96)]
    assert all(abs(100 * pooled_iou(one / 100) - other) < 1 for one, other in whole)
    assert all(other - 100 * pooled_iou(one / 100) > 3 for one, other in behind)


def test_several_classes() -> None:
    guess, truth = np.array([[0, 0, 1, 1, 2, 2]]), np.array([[0, 0, 0, 1, 2, 1]])
    found = class_counts(guess, truth, 4)
    assert found[1] == Counts(both=1, mask_only=1, truth_only=1, neither=3)
    assert found[3] == Counts(neither=6)
    values = [4 / 5, 2 / 4, 2 / 3]
    assert class_mean(found) == pytest.approx(sum(values) / 3)
    assert class_mean(found, frequency_weighted=True) == pytest.approx((3 * 0.8 + 2 * 0.5 + 1 * 2 / 3) / 6)
    assert class_mean(found, "recall") == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)
    assert math.isnan(class_mean([Counts(neither=4)]))


def test_weighting_by_frequency_reports_the_background() -> None:
    """Photographs: the published mean of 98.75 is weighted so; that of the classes is 95.8."""
    shares = (0.445, 0.422, 0.124, 0.010)
    values = (0.997, 0.987, 0.955, 0.892)
    found = [
        Counts(both=round(1e6 * n * v), truth_only=round(1e6 * n * (1 - v)), mask_only=round(1e6 * n * (1 - v)))
        for n, v in zip(shares, values, strict=True)
    ]
    assert class_mean(found, frequency_weighted=True) == pytest.approx(0.9875, abs=0.001)
    assert class_mean(found) == pytest.approx(0.958, abs=0.001)


def test_one_class_of_a_batch_of_logits() -> None:
    target = torch.tensor([[[0, 1, 1, 0]], [[0, 0, 0, 0]]])
    logits = torch.nn.functional.one_hot(torch.tensor([[[0, 1, 0, 0]], [[0, 0, 0, 0]]]), 2).movedim(-1, 1).float()
    assert class_dice_per_image(logits, target, 1).tolist() == pytest.approx([2 / 3, math.nan], nan_ok=True)
    assert class_dice_per_image(logits, target, 1, Empty.ZERO).tolist() == pytest.approx([2 / 3, 0])


def test_masks_of_different_grids() -> None:
    wanted = r"Found masks of shapes \(2, 3\) and \(3, 2\); wanted the same\. Bring both"
    with pytest.raises(ValueError, match=wanted):
        counts(np.zeros((2, 3), bool), np.zeros((3, 2), bool))
    with pytest.raises(ValueError, match=wanted):
        class_counts(np.zeros((2, 3), int), np.zeros((3, 2), int), 2)


@pytest.mark.parametrize("value", [-1, 4])
def test_a_class_that_nobody_declared(value: int) -> None:
    with pytest.raises(ValueError, match=r"Found class ids .*; wanted 0 to 3\. Map the labels"):
        class_counts(np.array([[0, 1]]), np.array([[0, value]]), 4)


def test_a_summary_of_nothing() -> None:
    with pytest.raises(ValueError, match=r"Found no images; wanted at least one\. Measure something first"):
        summary([], Empty.ONE)
