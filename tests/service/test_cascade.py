"""What a whole run says and does: localisation, misses, widening, overlaps, asks."""

import itertools
from typing import Any

import numpy as np
import pytest

from service.cascade import Ask, Cascade
from service.errors import BadParameter
from service.frame import Meter
from service.image import Image, Region
from service.manifest import StageSpec
from service.result import CascadeResult
from tests.fakes import (
    CountingReader,
    FakeNetwork,
    cascade,
    constant,
    identity,
    picture,
    raising,
    scores,
    spec,
    square,
    threshold,
    volume,
)

SIZE = (32, 32)
CLASSES = ("benign", "malignant")
BLACK_BUT_ONE = np.zeros((64, 64), np.uint8)
BLACK_BUT_ONE[0, 0] = 20


def pipeline(lesion: dict[str, Any] | None = None, on_miss: str = "empty") -> Cascade:
    """Find bright things, segment around them, classify."""
    changes = {"on": "find", "label": "lesion", "on_miss": on_miss, "look": {"margin": 0.5}, **(lesion or {})}
    return cascade(
        (spec("find", "detect"), threshold(SIZE)),
        (spec("lesion", **changes), threshold(SIZE)),
        (spec("class", "classify", on="lesion", labels=CLASSES), scores(SIZE, 0.0, 1.0)),
    )


def how(result: CascadeResult) -> list[str]:
    return [stage.localisation for stage in result.stages]


def codes(result: CascadeResult) -> list[str]:
    return [flag.code for flag in result.flags]


def test_found_from_end_to_end() -> None:
    plane = square(10, 20, 12)
    result = pipeline().run(picture(plane))
    assert (result.status, how(result), codes(result)) == ("found", ["found"] * 3, [])
    np.testing.assert_array_equal(result.mask.labels[0], plane > 0)
    assert result.mask.names == {1: "lesion"}
    find, lesion, classify = result.stages
    assert find.regions[0].region == Region(10, 20, 22, 32)
    assert lesion.regions[0].region == Region(4, 14, 28, 38)
    assert lesion.regions[0].score == find.regions[0].score == pytest.approx(1, abs=1e-3)
    assert classify.regions[0].region == Region(10, 20, 22, 32)
    assert result.classification.scores == {
        "benign": pytest.approx(0.269, abs=1e-3),
        "malignant": pytest.approx(0.731, abs=1e-3),
    }
    assert [stage.network_runs for stage in result.stages] == [1, 1, 1]
    assert all(0 < stage.network_ms <= stage.milliseconds for stage in result.stages)


def test_several_boxes_are_all_segmented() -> None:
    plane = np.maximum(square(4, 4, 10), square(44, 40, 8))
    result = pipeline().run(picture(plane))
    np.testing.assert_array_equal(result.mask.labels[0], plane > 0)
    assert len(result.stages[1].regions) == 2
    # Both crops share a batch; the classifier sees the largest finding alone.
    assert result.stages[1].network_runs == 1
    assert [look.region for look in result.stages[2].regions] == [Region(4, 4, 14, 14)]


def test_a_miss_with_empty_is_none_found() -> None:
    result = pipeline().run(picture(BLACK_BUT_ONE))
    assert (result.status, how(result), codes(result)) == ("none_found", ["not_found"] * 3, [])
    assert not result.mask.labels.any()
    assert result.classification.scores is None
    assert result.classification.reason == "Stage lesion found nothing to classify."
    assert [stage.network_runs for stage in result.stages] == [1, 0, 0]


def test_a_miss_with_stop_is_not_evaluated() -> None:
    result = pipeline(on_miss="stop").run(picture(BLACK_BUT_ONE))
    assert (result.status, how(result)) == ("not_evaluated", ["not_found"] * 3)


def test_a_miss_with_whole_image_looks_everywhere_and_says_so() -> None:
    # Found by the segmenter's lower threshold only.
    plane = square(10, 20, 12) // 3
    result = pipeline({"threshold": 0.01}, on_miss="whole_image").run(picture(plane))
    assert (result.status, how(result), codes(result)) == (
        "found",
        ["not_found", "whole_image", "found"],
        ["whole_image_fallback"],
    )
    assert result.flags[0].text == "Stage find found nothing; stage lesion looked at the whole image instead."
    assert result.stages[1].regions[0].region == Region(0, 0, 64, 64)
    assert result.stages[1].regions[0].score is None


def test_a_stage_on_the_image_looks_at_all_of_it_without_a_flag() -> None:
    result = cascade((spec("lesion"), threshold(SIZE))).run(picture(square(10, 20, 12)))
    assert (result.status, how(result), codes(result)) == ("found", ["whole_image"], [])
    assert result.classification.reason == "This pipeline has no classifying stage."


def test_whole_image_classification_needs_no_finding() -> None:
    whole = spec("class", "classify", on="find", on_miss="whole_image", labels=CLASSES)
    run = cascade((spec("find", "detect"), threshold(SIZE)), (spec("lesion", on="find"), threshold(SIZE)),
                  (whole, scores(SIZE, 0.0, 0.0))).run(picture(BLACK_BUT_ONE))  # fmt: skip
    assert run.classification.scores == {"benign": 0.5, "malignant": 0.5}
    assert codes(run) == ["whole_image_fallback"]


def test_a_stopped_stage_stops_those_that_look_at_it_and_no_other() -> None:
    breast, tissue = spec("breast", "detect"), spec("tissue", on="breast", on_miss="stop", labels=("fat",))
    lesion = spec("lesion", on="tissue", on_miss="empty")
    blind = constant(SIZE)
    stopped = cascade((breast, blind), (tissue, blind), (lesion, blind)).run(picture(BLACK_BUT_ONE))
    assert stopped.status == "not_evaluated"
    # Here the mask was made and is empty; that the classifier had nothing to do changes nothing about that.
    late = spec("class", "classify", on="lesion", on_miss="stop", labels=CLASSES)
    made = cascade((spec("lesion"), blind), (late, scores(SIZE, 0.0, 0.0))).run(picture(BLACK_BUT_ONE))
    assert made.status == "none_found"


def test_a_detector_within_a_detector() -> None:
    chain = [spec("breast", "detect"), spec("find", "detect", on="breast"), spec("lesion", on="find")]
    plane = square(10, 20, 12)
    result = cascade(*((one, threshold(SIZE)) for one in chain)).run(picture(plane))
    assert how(result) == ["found"] * 3
    missed = cascade(*zip(chain, (constant(SIZE), threshold(SIZE), threshold(SIZE)), strict=True)).run(picture(plane))
    assert (missed.status, how(missed)) == ("none_found", ["not_found"] * 3)


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


def tissue_then_lesion() -> Cascade:
    """Fat is dark grey and gland bright; the lesion is looked for in gland."""

    def tissue(batch: np.ndarray) -> dict[str, np.ndarray]:
        value = batch[:, 0]
        background, fat, gland = value < 0.2, (value >= 0.2) & (value < 0.7), value >= 0.7
        return {"logits": np.stack([background, fat, gland], 1).astype(np.float32) * 12}

    return cascade(
        (spec("tissue", labels=("fat", "gland"), exclusive=True), FakeNetwork(tissue, (1, *SIZE))),
        (spec("lesion", on="tissue", label="gland", on_miss="stop"), threshold(SIZE, 0.9)),
    )


def mammogram() -> np.ndarray:
    plane = square(8, 8, 48) // 2
    plane[24:40, 24:40] = 200
    plane[28:32, 28:32] = 255
    return plane


def test_exclusive_labels_and_a_stage_that_looks_at_one_of_them() -> None:
    result = tissue_then_lesion().run(picture(mammogram()))
    assert how(result) == ["whole_image", "found"]
    assert [look.label for look in result.stages[1].regions] == ["gland"]
    assert result.stages[1].regions[0].region == Region(24, 24, 40, 40)
    np.testing.assert_array_equal(result.mask.labels[0], mammogram() == 255)


def test_stage_asks_for_the_mask_of_an_earlier_one() -> None:
    result = tissue_then_lesion().run(picture(mammogram()), Ask(stage="tissue"))
    assert result.mask.names == {2: "fat", 3: "gland"}
    wanted = np.digitize(mammogram(), [51, 179]).astype(np.uint8)
    np.testing.assert_array_equal(result.mask.labels[0], np.array([0, 2, 3])[wanted])


def test_a_given_box_is_whatever_the_later_stage_looks_for() -> None:
    result = tissue_then_lesion().run(picture(mammogram()), Ask(boxes=(Region(16, 16, 48, 48),)))
    assert (result.status, how(result)) == ("found", ["given", "given"])


def test_a_box_cannot_take_the_place_of_the_stage_whose_mask_is_wanted() -> None:
    with pytest.raises(BadParameter, match="Found a box; wanted no box: stage tissue looks at the whole image"):
        tissue_then_lesion().run(picture(mammogram()), Ask(stage="tissue", boxes=(Region(16, 16, 48, 48),)))


@pytest.mark.parametrize("name", ["class", "find", "other", ""])
def test_a_stage_without_a_mask_is_refused(name: str) -> None:
    with pytest.raises(BadParameter, match=rf"Found stage '{name}'; wanted one of \['lesion'\]"):
        pipeline().run(picture(square(0, 0, 8)), Ask(stage=name))


def test_threshold_is_that_of_the_wanted_stage_only() -> None:
    ramp = np.tile(np.linspace(0, 255, 64).astype(np.uint8), (64, 1))
    size = (64, 64)
    two = (spec("whole", labels=("fat",), size=size), identity(size)), (spec("lesion", size=size), identity(size))
    for asked in (0.25, 0.75):
        result = cascade(*two).run(picture(ramp), Ask(threshold=asked))
        np.testing.assert_array_equal(result.mask.labels[0] > 0, ramp / 255 > asked)
        first = cascade(*two).run(picture(ramp), Ask(threshold=asked, stage="whole"))
        np.testing.assert_array_equal(first.mask.labels[0] == 2, ramp / 255 > asked)


@pytest.mark.parametrize("value", [-0.1, 1.1, 2, float("nan"), float("inf")])
def test_a_threshold_that_is_no_probability_is_refused(value: float) -> None:
    with pytest.raises(BadParameter, match=f"Found threshold={value}; wanted a number from 0 to 1"):
        pipeline().run(picture(square(0, 0, 8)), Ask(threshold=value))


def test_a_threshold_for_exclusive_labels_is_refused() -> None:
    with pytest.raises(BadParameter, match="wanted no threshold: the labels exclude each other"):
        tissue_then_lesion().run(picture(mammogram()), Ask(stage="tissue", threshold=0.5))


@pytest.mark.parametrize("value", [0, 9, 255])
@pytest.mark.parametrize("shape", [(64, 64), (64, 64, 3), (1, 1)])
def test_a_picture_without_contrast_is_not_evaluated(value: int, shape: tuple[int, ...]) -> None:
    result = pipeline().run(picture(np.full(shape, value, np.uint8)))
    assert (result.status, codes(result), result.stages) == ("not_evaluated", ["no_contrast"], ())
    assert result.mask.labels.shape == (1, *shape[:2])
    assert result.classification.reason == "Nothing was evaluated."


def test_multi_label_masks_carry_the_manifests_ids() -> None:
    both = FakeNetwork(
        lambda batch: {"logits": np.concatenate([20 * (0.7 - batch), 20 * (batch - 0.5)], 1).astype(np.float32)},
        (1, *SIZE),
    )
    result = cascade((spec("tissue", labels=("gland", "lesion")), both)).run(picture(square(16, 16, 32)))
    assert result.mask.names == {3: "gland", 1: "lesion"}
    np.testing.assert_array_equal(result.mask.labels[0], np.where(square(16, 16, 32) > 0, 1, 3))


def test_a_map_goes_into_a_later_stage_beside_the_image() -> None:
    depth = FakeNetwork(lambda batch: {"depth": 3 * batch}, (1, *SIZE))
    seen: list[np.ndarray] = []
    network = FakeNetwork(lambda batch: seen.append(batch) or {"logits": batch[:, :1]}, (2, *SIZE))
    result = cascade((spec("depth", "map"), depth), (spec("lesion", **{"with": ("depth",)}), network)).run(
        picture(square(16, 16, 32))
    )
    assert how(result) == ["whole_image", "whole_image"]
    assert result.stages[0].kind == "map"
    image, maps = seen[0][0]
    assert image.max() == 1
    # Enlarged to the picture and made small again, so edges differ.
    assert np.abs(maps - 3 * image).mean() < 0.05
    assert maps.max() == pytest.approx(3)


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


def test_flags_of_different_stages_are_all_kept() -> None:
    find, blind = spec("find", "detect"), constant(SIZE)
    looks: list[tuple[StageSpec, FakeNetwork]] = [
        (spec(name, on="find", on_miss="whole_image"), threshold(SIZE)) for name in ("one", "two")
    ]
    result = cascade((find, blind), *looks).run(picture(square(0, 0, 20)))
    assert codes(result) == ["whole_image_fallback"] * 2
    assert "stage one" in result.flags[0].text
    assert "stage two" in result.flags[1].text


def test_a_networks_error_comes_out() -> None:
    with pytest.raises(RuntimeError, match="out of memory"):
        cascade((spec("lesion"), raising(SIZE, RuntimeError("out of memory")))).run(picture(square(0, 0, 8)))


def test_runs_do_not_share_a_meter() -> None:
    one = pipeline()
    first, second = (one.run(picture(square(10, 20, 12))) for _ in range(2))
    assert [stage.network_runs for stage in first.stages] == [stage.network_runs for stage in second.stages]
    assert Meter().runs == 0


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
