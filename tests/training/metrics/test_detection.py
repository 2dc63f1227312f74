"""Lesions found and made up, and the curve between both."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.image import Region
from training.metrics.detection import Candidates, Responses, froc, lesion_rates, match_boxes, match_masks

IMAGES = st.lists(
    st.integers(1, 3).flatmap(
        lambda lesions: st.lists(
            st.tuples(st.integers(0, 5).map(float), st.none() | st.integers(0, lesions - 1)), max_size=5
        ).map(lambda rows: Candidates(tuple(r[0] for r in rows), tuple(r[1] for r in rows), lesions))
    ),
    min_size=1,
    max_size=5,
)


def _picture() -> tuple[np.ndarray, np.ndarray]:
    """Two lesions, the first found in two pieces, the second not; one candidate elsewhere."""
    truth, probability = np.zeros((20, 20), bool), np.zeros((20, 20))
    truth[2:8, 2:8] = truth[12:18, 12:18] = True
    probability[2:4, 2:8], probability[5:8, 2:8], probability[15:17, 2:4] = 0.7, 0.9, 0.6
    return probability, truth


def test_parts_of_a_map_are_matched_with_parts_of_the_truth() -> None:
    found = match_masks(*_picture())
    assert found == Candidates((0.7, 0.9, 0.6), (0, 0, None), 2)
    assert match_masks(*_picture(), threshold=0.65).hits == (0, 0)
    assert match_masks(*_picture(), iou=0.4).hits == (None, 0, None)


def test_a_mask_may_stand_for_its_probability() -> None:
    probability, truth = _picture()
    assert match_masks(probability > 0.5, truth).scores == (1, 1, 1)


def test_pictures_without_lesions_or_without_candidates() -> None:
    probability, truth = _picture()
    assert match_masks(probability, np.zeros_like(truth)).hits == (None, None, None)
    assert match_masks(np.zeros_like(probability), truth) == Candidates((), (), 2)
    assert match_boxes([Region(0, 0, 2, 2)], [0.5], []) == Candidates((0.5,), (None,), 0)
    assert match_boxes([], [], [Region(0, 0, 2, 2)]) == Candidates((), (), 1)


def test_a_volume_has_lesions_through_its_slices() -> None:
    truth = np.zeros((3, 6, 6), bool)
    truth[0, 1:3, 1:3] = truth[1, 3:5, 3:5] = True
    assert match_masks(truth.astype(float), truth) == Candidates((1.0,), (0,), 1)


def test_no_overlap_at_all_is_no_hit() -> None:
    probability, truth = _picture()
    assert match_masks(probability, truth, iou=0.0).hits == (0, 0, None)


def test_boxes_hit_the_lesion_that_they_overlap_best() -> None:
    lesions = [Region(0, 0, 10, 10), Region(8, 0, 18, 10)]
    boxes = [Region(7, 0, 17, 10), Region(0, 0, 10, 10), Region(30, 30, 40, 40)]
    assert match_boxes(boxes, [0.3, 0.8, 0.9], lesions).hits == (1, 0, None)
    assert match_boxes(boxes, [0.3, 0.8, 0.9], lesions, iou=0.9).hits == (None, 0, None)


def test_rates_at_a_threshold() -> None:
    images = [match_masks(*_picture()), Candidates((0.95,), (None,), 0)]
    every, strict = lesion_rates(images), lesion_rates(images, 0.65)
    assert (every.sensitivity, every.false_positives, every.lesions, every.images) == (0.5, 1.0, 2, 2)
    assert (strict.sensitivity, strict.false_positives) == (0.5, 0.5)
    assert math.isnan(lesion_rates([Candidates((), (), 0)]).sensitivity)


def test_the_curve_of_a_picture() -> None:
    curve = froc([Candidates((0.9, 0.8, 0.7, 0.6), (0, None, 1, None), 2)])
    assert curve.thresholds == (math.inf, 0.9, 0.8, 0.7, 0.6)
    assert curve.sensitivity == (0, 0.5, 0.5, 1, 1)
    assert curve.false_positives == (0, 0, 1, 1, 2)
    assert [curve.at(rate) for rate in (0, 0.5, 1, 8)] == [0.5, 0.5, 1, 1]
    assert curve.mean() == pytest.approx((3 * 0.5 + 4 * 1) / 7)


def test_the_most_lenient_point_counts() -> None:
    """One lesion, found by the lowest score of all."""
    assert froc([Candidates((0.9, 0.1), (None, 0), 1)]).at(1) == 1


@given(IMAGES)
def test_the_curve_rises_and_ends_at_all_that_was_found(images: list[Candidates]) -> None:
    curve = froc(images)
    assert list(curve.sensitivity) == sorted(curve.sensitivity)
    assert list(curve.false_positives) == sorted(curve.false_positives)
    assert (curve.sensitivity[0], curve.false_positives[0]) == (0, 0)
    last = lesion_rates(images)
    assert (curve.sensitivity[-1], curve.false_positives[-1]) == (last.sensitivity, last.false_positives)
    assert 0 <= curve.mean() <= last.sensitivity + 1e-9
    assert curve.at(math.inf) == last.sensitivity <= 1


def test_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match=r"Found 2 scores for 1 boxes; wanted one each\. Give each box"):
        match_boxes([Region(0, 0, 1, 1)], [1, 2], [])
    with pytest.raises(
        ValueError, match=r"Found a map of shape \(2, 2\) and a truth of \(3, 3\); wanted the same\. Bring"
    ):
        match_masks(np.zeros((2, 2)), np.zeros((3, 3), bool))
    with pytest.raises(ValueError, match=r"Found no images; wanted at least one\. Measure"):
        lesion_rates([])
    with pytest.raises(ValueError, match=r"Found no lesions; wanted at least one\. A sensitivity needs"):
        froc([Candidates((0.5,), (None,), 0)])


@given(IMAGES, st.data())
def test_arrays_give_the_mean_sensitivity_of_the_curve(images: list[Candidates], data: st.DataObject) -> None:
    places = st.integers(0, len(images) - 1)
    drawn = data.draw(st.lists(places, min_size=1, max_size=6))
    responses = Responses.of(images)
    assert responses.mean(np.arange(len(images))) == pytest.approx(froc(images).mean())
    assert responses.mean(np.array(drawn)) == pytest.approx(froc([images[one] for one in drawn]).mean())


def test_pictures_without_a_lesion_have_no_sensitivity() -> None:
    silent, alarmed = Candidates((), (), 0), Candidates((0.9,), (None,), 0)
    assert math.isnan(Responses.of([silent, alarmed]).mean(np.arange(2)))
    found = Candidates((0.8,), (0,), 1)
    # At 1/8 to 1/2 false positives an image the alarm of 0.9 is one too many.
    assert Responses.of([alarmed, found]).mean(np.arange(2)) == pytest.approx(5 / 7)
