"""Deciding inside the crop and pasting labels."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from service.canvas import Canvas, Decided, decide
from service.image import Region
from service.stages import Probability
from tests.fakes import spec

NAMES = {1: "lesion", 2: "fat", 5: "gland"}
ALL = {"labels": ("lesion", "fat", "gland")}


def seen(view: Region, *planes: Any) -> Probability:
    return Probability(view, np.float32(planes))


def decided(view: Region, labels: NDArray[Any], probability: NDArray[Any]) -> Decided:
    return Decided(view, labels.astype(np.uint8), probability.astype(np.float32))


def canvas(width: int = 8, height: int = 6, depth: int = 1) -> Canvas:
    return Canvas(Region(0, 0, width, height, 0, depth), NAMES, list(NAMES))


def test_one_label_is_above_the_threshold_and_not_at_it() -> None:
    out = decide(seen(Region(0, 0, 3, 1), [[0.4, 0.5, 0.6]]), spec("lesion"), 0.5)
    assert out.labels.tolist() == [[0, 0, 1]]
    assert out.probability.tolist() == [[pytest.approx(0.4), 0.5, pytest.approx(0.6)]]


def test_of_several_labels_above_the_threshold_the_likelier_counts() -> None:
    out = decide(
        seen(Region(0, 0, 3, 1), [[0.6, 0.6, 0.1]], [[0.7, 0.1, 0.2]]), spec("a", labels=("lesion", "fat")), 0.5
    )
    assert out.labels.tolist() == [[2, 1, 0]]


def test_exclusive_labels_need_no_threshold_but_more_than_background() -> None:
    # Background has 0.2, 0.4 and 0.1 left.
    planes = [[0.5, 0.35, 0.3]], [[0.3, 0.25, 0.6]]
    out = decide(seen(Region(0, 0, 3, 1), *planes), spec("a", labels=("lesion", "fat"), exclusive=True), 0.99)
    assert out.labels.tolist() == [[1, 0, 2]]


def test_small_and_doubtful_components_are_dropped() -> None:
    plane = np.zeros((10, 10), np.float32)
    plane[0:5, 0:5], plane[7, 7], plane[7:10, 0:3] = 0.9, 0.95, 0.6
    view = Region(0, 0, 10, 10)
    assert [area(plane, view), area(plane, view, min_component=0.02), area(plane, view, keep=0.7)] == [35, 34, 26]
    assert area(plane, view, min_component=0.02, keep=0.7) == 25


def area(plane: NDArray[Any], view: Region, **rules: float) -> int:
    return int(decide(seen(view, plane), spec("a", **rules), 0.5).labels.sum())


@pytest.mark.parametrize(
    ("view", "pixel", "touches"),
    [
        (Region(2, 2, 6, 5), (0, 1), True),
        (Region(2, 2, 6, 5), (2, 1), True),
        (Region(2, 2, 6, 5), (1, 0), True),
        (Region(2, 2, 6, 5), (1, 3), True),
        (Region(2, 2, 6, 5), (1, 1), False),
        (Region(0, 0, 8, 6), (0, 0), False),
        (Region(0, 0, 8, 6), (5, 7), False),
        (Region(0, 2, 4, 5), (1, 0), False),
        (Region(0, 2, 4, 5), (1, 3), True),
    ],
)
def test_only_sides_inside_the_picture_are_touched(view: Region, pixel: tuple[int, int], touches: bool) -> None:
    labels = np.zeros((view.height, view.width), np.uint8)
    labels[pixel] = 1
    assert decided(view, labels, labels).touches_border(Region(0, 0, 8, 6)) is touches


VIEWS = st.builds(
    lambda x, y, w, h: Region(x, y, min(8, x + w), min(6, y + h)),
    *(st.integers(0, 6), st.integers(0, 4), st.integers(1, 8), st.integers(1, 6)),
)


@given(st.lists(st.tuples(VIEWS, st.integers(0, 2**32 - 1)), min_size=1, max_size=5), st.sampled_from([1, 3]))
def test_where_crops_overlap_the_likelier_label_wins_and_background_erases_nothing(
    looks: list[tuple[Region, int]], depth: int
) -> None:
    canvas_, best = canvas(depth=depth), np.zeros((6, 8), np.float32)
    wanted = np.zeros((6, 8), np.uint8)
    for view, seed in looks:
        rng = np.random.default_rng(seed)
        labels, probability = rng.integers(0, 4, (view.height, view.width)), rng.random((view.height, view.width))
        one = decided(view, labels, probability)
        canvas_.put(one)
        here = view.slices[1:]
        wins = (one.labels > 0) & (one.probability > best[here])
        wanted[here][wins] = np.array([0, *NAMES])[one.labels[wins]]
        best[here][wins] = one.probability[wins]
    np.testing.assert_array_equal(canvas_.labels[0], wanted)
    assert not canvas_.labels[1:].any()


def test_a_sure_background_does_not_keep_a_label_from_winning() -> None:
    # The first crop labels with 0.4; the second sees 0.45 and calls it background; the third labels with 0.42 and wins.
    view, one = Region(0, 0, 1, 1), np.ones((1, 1))
    painted = canvas()
    painted.put(decided(view, 1 * one, 0.40 * one))
    painted.put(decided(view, 0 * one, 0.45 * one))
    painted.put(decided(view, 2 * one, 0.42 * one))
    assert painted.labels[0, 0, 0] == 2


def test_a_picture_remembers_all_it_saw_a_volume_what_it_labelled() -> None:
    labels = np.zeros((4, 4))
    labels[1, 1] = labels[2, 2] = 1
    flat, deep = canvas(), canvas(depth=5)
    flat.put(decided(Region(2, 1, 6, 5), labels, np.full((4, 4), 0.75)))
    deep.put(decided(Region(2, 1, 6, 5, 1, 2), 0 * labels, np.full((4, 4), 0.25)))
    deep.put(decided(Region(2, 1, 6, 5, 3, 4), labels, np.full((4, 4), 0.75)))
    deep.close()
    (patch,) = flat.patches
    assert (patch.region, patch.probability.shape) == (Region(2, 1, 6, 5), (1, 4, 4))
    (patch,) = deep.patches
    assert patch.region == Region(3, 2, 5, 4, 3, 4)
    assert patch.probability.tolist() == [[[0.75, 0], [0, 0.75]]]


def test_slices_come_in_order_and_are_done_once() -> None:
    labels = np.zeros((6, 8))
    labels[2, 2] = 1
    deep = canvas(depth=3)
    deep.put(decided(Region(0, 0, 8, 6, 1, 2), labels, labels))
    with pytest.raises(ValueError, match=r"Found a view of slice 0, which is done; wanted slices in order\. Sort the"):
        deep.put(decided(Region(0, 0, 8, 6), labels, labels))
    deep.close()
    with pytest.raises(ValueError, match="Found a view of slice 1, which is done"):
        deep.put(decided(Region(0, 0, 8, 6, 1, 2), labels, labels))


@given(st.lists(st.tuples(VIEWS, st.integers(0, 2), st.integers(0, 2**32 - 1)), min_size=1, max_size=6))
def test_a_canvas_of_one_slice_at_a_time_knows_the_same_parts(looks: list[tuple[Region, int, int]]) -> None:
    whole = canvas(depth=3)
    lean = Canvas(whole.grid, NAMES, list(NAMES), whole=False, probabilities=False)
    for view, z, seed in sorted(looks, key=lambda look: look[1]):
        rng = np.random.default_rng(seed)
        shape = (view.height, view.width)
        one = decided(view.shifted(0, 0, z), rng.integers(0, 4, shape), rng.random(shape))
        whole.put(one)
        lean.put(one)
    for name in NAMES.values():
        assert lean.boxes(name) == whole.boxes(name)
    assert lean.parts == whole.parts
    assert (lean.labels.shape[0], lean.patches) == (1, [])
    assert sum(part.pixels for part in whole.parts) == np.count_nonzero(whole.labels)
    for part in whole.parts:
        x, y, z = part.seed
        assert NAMES[int(whole.labels[z, y, x])] == part.label


def test_boxes_are_the_components_of_one_label_largest_first() -> None:
    painted, labels = canvas(depth=2), np.zeros((6, 8))
    labels[0, 0] = labels[1, 1] = 1
    labels[3:6, 3:7] = 1
    labels[0, 5] = 2
    painted.put(decided(Region(0, 0, 8, 6, 1, 2), labels, np.full((6, 8), 0.75)))
    found = painted.boxes("lesion")
    assert [one.region for one in found] == [Region(3, 3, 7, 6, 1, 2), Region(0, 0, 2, 2, 1, 2)]
    assert [(one.label, one.score) for one in found] == [("lesion", 0.75)] * 2
    assert [one.region for one in painted.boxes("fat")] == [Region(5, 0, 6, 1, 1, 2)]
    assert painted.boxes("gland") == []


def test_a_parts_certainty_is_the_highest_of_all_crops() -> None:
    painted = canvas()
    ones = np.ones((2, 4))
    painted.put(decided(Region(0, 0, 4, 2), ones, 0.6 * ones))
    painted.put(decided(Region(3, 0, 7, 2), ones, 0.8 * ones))
    painted.close()
    (part,) = painted.parts
    assert (part.region, part.seed, part.pixels) == (Region(0, 0, 7, 2), (0, 0, 0), 14)
    assert part.score == pytest.approx((6 * 0.6 + 8 * 0.8) / 14)


def test_the_mask_carries_the_names() -> None:
    painted = canvas()
    painted.put(decided(Region(0, 0, 1, 1), np.full((1, 1), 3), np.ones((1, 1))))
    mask = painted.mask()
    assert mask.names == NAMES
    assert mask.labels.max() == 5
