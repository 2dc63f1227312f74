"""Raw network output to probabilities and boxes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.decode import Candidate, candidates, label_probabilities, sigmoid, softmax
from service.manifest import Decode
from tests.fakes import Float, logits_of

COMPONENTS = Decode(kind="components")


@given(st.lists(st.floats(-1e4, 1e4, width=32), min_size=1, max_size=20))
def test_sigmoid_is_a_probability_that_rises_with_the_logit(logits: list[float]) -> None:
    p = sigmoid(np.sort(np.float32(logits)))
    assert p.dtype == np.float32
    assert (np.diff(p) >= 0).all()
    assert 0 <= p[0] <= p[-1] <= 1


def test_sigmoid_of_zero_is_a_half() -> None:
    np.testing.assert_allclose(sigmoid(np.float32([0, 2, -2])), [0.5, 0.880797, 0.119203], atol=1e-6)


@given(st.lists(st.floats(-1e4, 1e4, width=32), min_size=2, max_size=5))
def test_softmax_sums_to_one(logits: list[float]) -> None:
    p = softmax(np.float32(logits))
    assert p.dtype == np.float32
    assert p.sum() == pytest.approx(1, abs=1e-5)
    assert p[int(np.argmax(logits))] == p.max()


def test_exclusive_labels_leave_background_out() -> None:
    logits = np.float32([[[0]], [[0]], [[0]]])
    np.testing.assert_allclose(label_probabilities(logits, exclusive=True), np.full((2, 1, 1), 1 / 3), atol=1e-6)
    np.testing.assert_array_equal(label_probabilities(logits, exclusive=False), np.full((3, 1, 1), 0.5))


def heat(*boxes: tuple[int, int, int, int, float], size: int = 20) -> Float:
    """Logits of a map that has a probability inside each (left, top, right, bottom)."""
    plane = np.full((1, size, size), 0.01)
    for left, top, right, bottom, p in boxes:
        plane[0, top:bottom, left:right] = p
    return logits_of(plane)


def test_components_become_boxes_by_falling_score() -> None:
    found = candidates({"logits": heat((2, 3, 6, 5, 0.7), (10, 12, 11, 13, 0.9))}, COMPONENTS)
    assert [one.box for one in found] == [(10, 12, 11, 13), (2, 3, 6, 5)]
    assert [one.score for one in found] == pytest.approx([0.9, 0.7], abs=1e-6)


def test_presence_lowers_the_score() -> None:
    outputs = {"logits": heat((2, 3, 6, 5, 0.8)), "presence": logits_of(np.array([0.25]))}
    (one,) = candidates(outputs, COMPONENTS)
    assert one.score == pytest.approx(0.2, abs=1e-6)


def test_min_score_min_area_and_max_regions_cut() -> None:
    logits = heat((0, 0, 4, 4, 0.7), (6, 6, 10, 10, 0.9), (12, 12, 13, 13, 0.99))
    assert len(candidates({"logits": logits}, COMPONENTS)) == 3
    assert len(candidates({"logits": logits}, Decode(kind="components", min_score=0.8))) == 2
    large = candidates({"logits": logits}, Decode(kind="components", min_area=0.03))
    assert [one.box for one in large] == [(6, 6, 10, 10), (0, 0, 4, 4)]
    assert len(candidates({"logits": logits}, Decode(kind="components", max_regions=1))) == 1


def test_each_label_has_its_own_map() -> None:
    logits = np.concatenate([heat((0, 0, 4, 4, 0.7)), heat((2, 2, 8, 8, 0.9))])
    found = candidates({"logits": logits}, COMPONENTS)
    assert [(one.label, one.box) for one in found] == [(1, (2, 2, 8, 8)), (0, (0, 0, 4, 4))]


def test_nothing_above_the_threshold_is_nothing() -> None:
    assert candidates({"logits": heat()}, COMPONENTS) == []


def yolo(*rows: tuple[float, ...]) -> dict[str, Float]:
    """(x, y, width, height, scores ...) per anchor, as (4 + labels, anchors)."""
    return {"output0": np.float32(rows).T}


def test_yolo_rows_become_corners() -> None:
    (one,) = candidates(yolo((10, 20, 4, 6, 0.75), (50, 50, 4, 4, 0.1)), Decode(kind="yolo"))
    assert one == Candidate((8, 17, 12, 23), 0, 0.75)


def test_yolo_suppresses_what_overlaps_within_a_label_only() -> None:
    rows = yolo((10, 10, 8, 8, 0.9, 0), (11, 10, 8, 8, 0.8, 0), (10, 10, 8, 8, 0, 0.7), (40, 40, 8, 8, 0.6, 0))
    found = candidates(rows, Decode(kind="yolo", threshold=0.3))
    assert [(one.label, one.score) for one in found] == [(0, pytest.approx(0.9)), (1, pytest.approx(0.7)),
                                                         (0, pytest.approx(0.6))]  # fmt: skip


def test_yolo_finds_nothing_without_complaint() -> None:
    assert candidates(yolo((10, 10, 8, 8, 0.1)), Decode(kind="yolo")) == []


def test_yolo_scores_stay_probabilities() -> None:
    (one,) = candidates(yolo((10, 10, 8, 8, 1.0001)), Decode(kind="yolo"))
    assert one.score == 1
