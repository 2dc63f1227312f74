"""Where a cascade looks: once more and wider, at given boxes, slice by slice, within a focus."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from service.cascade import Ask, Cascade
from service.errors import BadParameter
from service.image import Image, Region
from tests.fakes import (
    CountingReader,
    FakeNetwork,
    cascade,
    picture,
    raising,
    scores,
    spec,
    square,
    threshold,
    volume,
)
from tests.service.cascades import BLACK_BUT_ONE, CLASSES, SIZE, codes, how, pipeline


def half_seen(first: Region, plane: np.ndarray) -> tuple[Cascade, Ask, Image]:
    """A pipeline whose box is given as ``first``."""
    chain = (spec("find", "detect"), threshold(SIZE)), (spec("lesion", on="find"), threshold(SIZE))
    return cascade(*chain), Ask(boxes=(first,)), picture(plane)


def test_a_mask_that_touches_the_border_is_looked_at_once_more_and_wider() -> None:
    plane = square(20, 20, 16)
    run, ask, image = half_seen(Region(16, 16, 34, 40), plane)
    result = run.run(image, ask)
    (look,) = result.stages[1].regions
    assert look.region == Region(11, 10, 39, 46)
    assert (look.widened, look.touches_border, codes(result)) == (True, False, [])
    assert result.stages[1].network_runs == 2
    found = result.mask.labels[0]
    assert (found[:, 20:36] == (plane[:, 20:36] > 0)).mean() > 0.98
    assert not found[:, :18].any()


def test_the_second_result_stands_also_where_it_is_cut_again() -> None:
    plane = square(2, 2, 60)
    run, ask, image = half_seen(Region(20, 20, 40, 40), plane)
    result = run.run(image, ask)
    (look,) = result.stages[1].regions
    assert look.region == Region(15, 15, 45, 45)
    assert (look.widened, look.touches_border, codes(result)) == (True, True, ["mask_touches_region"])
    assert result.mask.labels.sum() == 30 * 30
    assert result.stages[1].network_runs == 2


def test_a_second_look_that_finds_nothing_stands() -> None:
    answers = itertools.chain([10.0], itertools.repeat(-10.0))
    fickle = FakeNetwork(lambda batch: {"logits": np.full_like(batch, next(answers))}, (1, *SIZE))
    run = cascade((spec("find", "detect"), threshold(SIZE)), (spec("lesion", on="find"), fickle))
    result = run.run(picture(square(20, 20, 16)))
    assert result.status == "none_found"
    assert result.stages[1].regions[0].widened


def test_the_smallest_box_is_widened_too() -> None:
    run, ask, image = half_seen(Region(30, 30, 31, 31), square(20, 20, 20))
    assert run.run(image, ask).stages[1].regions[0].region == Region(29, 29, 32, 32)


def test_a_side_on_the_pictures_edge_does_not_count() -> None:
    run, ask, image = half_seen(Region(0, 0, 40, 40), square(0, 0, 16))
    (look,) = run.run(image, ask).stages[1].regions
    assert (look.widened, look.touches_border) == (False, False)
    whole = cascade((spec("lesion"), threshold(SIZE))).run(picture(square(30, 30, 34)))
    assert not whole.stages[0].regions[0].widened


def test_each_of_several_looks_is_widened_by_itself() -> None:
    plane = np.maximum(square(4, 4, 10), square(40, 40, 16))
    run, _, image = half_seen(Region(0, 0, 1, 1), plane)
    result = run.run(image, Ask(boxes=(Region(0, 0, 20, 20), Region(36, 36, 54, 54))))
    assert [look.widened for look in result.stages[1].regions] == [False, True]


def test_those_that_are_cut_off_are_looked_at_again_together() -> None:
    plane = np.maximum(square(4, 4, 10), square(40, 40, 16))
    run, _, image = half_seen(Region(0, 0, 1, 1), plane)
    result = run.run(image, Ask(boxes=(Region(0, 0, 12, 12), Region(36, 36, 54, 54))))
    assert [look.widened for look in result.stages[1].regions] == [True, True]
    assert result.stages[1].network_runs == 2


def test_given_boxes_take_the_place_of_the_localiser() -> None:
    find = raising(SIZE, AssertionError("the localiser must not run"))
    lesion = spec("lesion", on="find")
    run = cascade(
        (spec("find", "detect"), find),
        (lesion, threshold(SIZE)),
        (spec("class", "classify", on="lesion", labels=CLASSES), scores(SIZE, 0.0, 0.0)),
    )
    plane = square(10, 20, 12)
    result = run.run(picture(plane), Ask(boxes=(Region(5, 15, 37, 47),)))
    assert (result.status, how(result)) == ("found", ["given", "given", "found"])
    np.testing.assert_array_equal(result.mask.labels[0], plane > 0)
    assert [stage.regions[0].score for stage in result.stages[:2]] == [None, None]
    assert result.stages[2].regions[0].score is not None
    assert find.runs == 0


def test_a_box_over_the_edge_is_clipped() -> None:
    result = pipeline().run(picture(square(0, 0, 12)), Ask(boxes=(Region(-50, -50, 20, 20),)))
    assert result.stages[0].regions[0].region == Region(0, 0, 20, 20)
    assert codes(result) == ["box_clipped"]


def test_a_box_up_to_the_edge_is_not_clipped() -> None:
    result = pipeline().run(picture(square(0, 0, 12)), Ask(boxes=(Region(0, 0, 20, 20), Region(0, 0, 64, 64))))
    assert codes(result) == []


@pytest.mark.parametrize("plane", [square(10, 20, 12), np.zeros((64, 64), np.uint8)])
def test_a_box_outside_is_refused(plane: np.ndarray) -> None:
    with pytest.raises(BadParameter, match="wanted a box that meets the picture"):
        pipeline().run(picture(plane), Ask(boxes=(Region(64, 0, 70, 5),)))


def test_a_box_for_a_pipeline_that_looks_at_whole_images_is_refused() -> None:
    with pytest.raises(BadParameter, match="Found a box; wanted no box: stage lesion looks at the whole image"):
        cascade((spec("lesion"), threshold(SIZE))).run(picture(square(0, 0, 8)), Ask(boxes=(Region(0, 0, 8, 8),)))


def scan() -> np.ndarray:
    """A ball's slices: nothing, small, large, small, nothing."""
    sides = [0, 8, 16, 8, 0]
    return np.stack([square(32 - side // 2, 32 - side // 2, side) for side in sides])


def test_a_volume_is_localised_slice_by_slice() -> None:
    result = pipeline().run(volume(scan()))
    np.testing.assert_array_equal(result.mask.labels, scan() > 0)
    assert [look.region.z0 for look in result.stages[0].regions] == [1, 2, 3]
    assert [look.region.z0 for look in result.stages[1].regions] == [1, 2, 3]
    assert result.stages[2].regions[0].region == Region(24, 24, 40, 40, 2, 3)


def test_a_given_box_lies_in_its_slice() -> None:
    result = pipeline().run(volume(scan()), Ask(boxes=(Region(16, 16, 48, 48, 2, 3),)))
    assert np.flatnonzero(result.mask.labels.any((1, 2))).tolist() == [2]
    deep = pipeline().run(volume(scan()), Ask(boxes=(Region(16, 16, 48, 48, 0, 9),)))
    assert np.flatnonzero(deep.mask.labels.any((1, 2))).tolist() == [1, 2, 3]


def test_a_dark_volume_is_none_found_and_classified_by_the_mean_of_its_slices() -> None:
    answers = iter([[0.0, 0.0], [0.0, 100.0]])
    network = FakeNetwork(lambda batch: {"logits": np.float32([next(answers) for _ in batch])}, (1, *SIZE))
    run = cascade((spec("lesion"), threshold(SIZE)), (spec("class", "classify", labels=CLASSES), network))
    result = run.run(volume(np.stack([BLACK_BUT_ONE] * 2)))
    assert (result.status, how(result)) == ("none_found", ["whole_image", "whole_image"])
    assert result.classification.scores == {"benign": pytest.approx(0.25), "malignant": pytest.approx(0.75)}


def test_empty_slices_are_not_looked_at_and_counted() -> None:
    seen: list[int] = []
    network = FakeNetwork(lambda batch: seen.append(len(batch)) or {"logits": 20 * (batch - 0.5)}, (1, *SIZE))
    slices = np.stack([*scan(), np.full((64, 64), 255, np.uint8), BLACK_BUT_ONE])
    result = cascade((spec("lesion"), network)).run(volume(slices))
    assert seen == [4]
    assert [look.region.z0 for look in result.stages[0].regions] == [1, 2, 3, 6]
    assert not result.mask.labels[5].any()
    (flag,) = result.flags
    assert (flag.code, flag.text) == ("empty_slices", "3 of 7 slices not looked at: all pixels have the same value.")


def test_a_given_box_in_an_empty_slice_finds_nothing() -> None:
    result = pipeline().run(volume(scan()), Ask(boxes=(Region(16, 16, 48, 48, 0, 1),)))
    assert (result.status, how(result)) == ("none_found", ["given", "given", "not_found"])
    assert [stage.network_runs for stage in result.stages] == [0, 0, 0]


def test_a_volume_of_empty_slices_is_not_evaluated() -> None:
    result = pipeline().run(volume(np.arange(5, dtype=np.uint8)[:, None, None] * np.ones((16, 16), np.uint8)))
    assert (result.status, codes(result), result.stages) == ("not_evaluated", ["empty_slices", "no_contrast"], ())
    assert result.mask.labels.shape == (5, 16, 16)


def test_a_volume_whose_probabilities_nobody_wants_leaves_none() -> None:
    lean, full = (pipeline().run(volume(scan()), Ask(probabilities=wanted)) for wanted in (False, True))
    assert (lean.patches, len(full.patches)) == ((), 3)
    assert lean.parts == full.parts
    np.testing.assert_array_equal(lean.mask.labels, full.mask.labels)
    assert pipeline().run(picture(scan()[2]), Ask(probabilities=False)).patches != ()


def test_a_lazy_volume_goes_through_every_stage_slice_by_slice() -> None:
    reader = CountingReader(np.repeat(scan(), 4, 0)[..., np.newaxis])
    result = pipeline().run(Image(reader, depth_axis="space"))
    assert result.status == "found"
    # Each slice once to see whether it is empty; for the detector and the segmenter those with something in them.
    assert reader.reads == 20 + 12 + 12 + 1
    # What is remembered is the lesion's own pixels, not the volume's.
    assert sum(patch.probability.size for patch in result.patches) == (result.mask.labels > 0).sum()


def test_nothing_outside_of_the_focus_is_looked_at() -> None:
    plane = np.maximum(square(10, 20, 12), square(50, 50, 10))
    image = picture(plane, focus=Region(0, 0, 40, 48))
    result = pipeline().run(image)
    np.testing.assert_array_equal(result.mask.labels[0], square(10, 20, 12) > 0)
    assert all(look.region.clipped(image.field) == look.region for stage in result.stages for look in stage.regions)


def test_a_region_is_not_widened_beyond_the_focus() -> None:
    result = pipeline({"look": {}}).run(picture(square(4, 4, 36), focus=Region(8, 8, 48, 48)))
    assert Region.around(result.mask.labels) == Region(8, 8, 40, 40)


def test_only_the_slice_in_focus_is_looked_at() -> None:
    slices = np.stack([square(4, 4, 10), square(20, 20, 12), square(40, 40, 8)])
    result = pipeline().run(volume(slices, focus=Region(0, 0, 64, 64, 1, 2)))
    assert [bool(plane.any()) for plane in result.mask.labels] == [False, True, False]
    assert {look.region.z0 for stage in result.stages for look in stage.regions} == {1}


def test_a_given_box_must_meet_the_focus() -> None:
    image = picture(square(10, 20, 12), focus=Region(0, 0, 40, 40))
    with pytest.raises(BadParameter, match="meets the picture"):
        pipeline().run(image, Ask(boxes=(Region(50, 50, 60, 60),)))


def test_a_focus_without_contrast_is_not_evaluated() -> None:
    result = pipeline().run(picture(square(50, 50, 10), focus=Region(0, 0, 40, 40)))
    assert (result.status, codes(result)) == ("not_evaluated", ["no_contrast"])
