"""What a whole run says and does: localisation, misses, labels, thresholds, flags."""

from __future__ import annotations

import numpy as np
import pytest

from service.cascade import Ask, Cascade
from service.errors import BadParameter
from service.frame import Meter
from service.image import Region
from service.manifest import StageSpec
from tests.fakes import (
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
)
from tests.service.cascades import BLACK_BUT_ONE, CLASSES, SIZE, codes, how, pipeline


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
