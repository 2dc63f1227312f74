"""Prompt stages: boxes and points, what is remembered of a slice, their place in a cascade."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.cascade import Ask, Cascade
from service.errors import BadParameter
from service.frame import Frame
from service.image import Image, Point, Region
from service.manifest import InputSpec
from service.network import Device, EmbeddingMemory, OnnxNetwork
from service.preprocess import place
from service.stages import (
    Detect,
    Prompt,
    Segment,
    check_points,
    network_box,
    network_points,
)
from tests import tiny_graphs
from tests.fakes import (
    CountingReader,
    identity,
    manifest,
    picture,
    raising,
    spec,
    square,
    threshold,
    volume,
)

SIZE = (32, 32)
WHOLE = Region(0, 0, 64, 64)


def prompt(memory: EmbeddingMemory | None = None, **changes: object) -> Prompt:
    """A SAM of two real ONNX files: bright pixels inside the box."""
    encoder = OnnxNetwork(tiny_graphs.encoder(), "encoder", Device())
    decoder = OnnxNetwork(tiny_graphs.decoder(), "decoder", Device())
    return Prompt(spec("lesion", "prompt", **changes), encoder, decoder, memory or EmbeddingMemory())


def two_squares() -> np.ndarray:
    return np.maximum(square(8, 8, 16), square(40, 40, 16))


@pytest.mark.parametrize("letterbox", [False, True])
@pytest.mark.parametrize("height", [64, 48])
def test_prompt_segments_what_the_box_points_at(letterbox: bool, height: int) -> None:
    plane = two_squares()[:height]
    stage = prompt(input={"letterbox": letterbox})
    seen = list(stage.run(Frame(picture(plane)), [Region(4, 4, 28, 28), Region(36, 32, 60, 48)]))
    assert [one.view for one in seen] == [Region(0, 0, 64, height)] * 2
    for one, box in zip(seen, [np.s_[8:24, 8:24], np.s_[40:48, 40:56]], strict=True):
        wanted = np.zeros((height, 64), bool)
        wanted[box] = plane[box] > 0
        found = one.labels[0] > 0.5
        # The embedding has a sixteenth of the picture's pixels: an edge may move by one of its own.
        assert (found & wanted).sum() / (found | wanted).sum() > 0.75
        assert found[box].mean() > 0.8


def pointing(decoder: bytes | None = None, **changes: object) -> Prompt:
    """A SAM of two real ONNX files that takes points: bright pixels near them, or in the box."""
    encoder = OnnxNetwork(tiny_graphs.encoder(), "encoder", Device())
    return Prompt(
        spec("lesion", "prompt", **changes), encoder, OnnxNetwork(decoder or tiny_graphs.pointer(), "d", Device())
    )


FIRST, SECOND = np.s_[8:24, 8:24], np.s_[40:56, 40:56]


@pytest.mark.parametrize("letterbox", [False, True])
def test_prompt_segments_what_points_tell_of(letterbox: bool) -> None:
    stage, frame = pointing(input={"letterbox": letterbox}), Frame(picture(two_squares()))
    one = stage.at(frame, [Point(14, 14), Point(18, 18)])
    assert one.view == Region(0, 0, 64, 64)
    found = one.labels[0] > 0.5
    assert found[FIRST].mean() > 0.8
    assert not found[SECOND].any()
    # Each point more says more: the second square comes in, a corner of the first goes out.
    found = stage.at(frame, [Point(14, 14), Point(48, 48), Point(23, 23, inside=False)]).labels[0] > 0.5
    assert found[SECOND].mean() > 0.8
    assert found[9, 9]
    assert not found[22, 22]


def test_prompt_takes_points_within_a_box() -> None:
    stage, frame = pointing(), Frame(picture(two_squares()))
    (boxed,) = stage.run(frame, [Region(36, 36, 60, 60)])
    both = stage.at(frame, [Point(40, 40, inside=False)], Region(36, 36, 60, 60))
    for found in (boxed.labels[0] > 0.5, both.labels[0] > 0.5):
        assert found[52, 52]
        assert not found[FIRST].any()
    assert boxed.labels[0, 42, 42] > 0.5 > both.labels[0, 42, 42]
    assert (prompt().places, stage.places) == (0, 6)


def test_a_box_says_the_same_to_either_form_of_decoder() -> None:
    frame, boxes = Frame(picture(two_squares())), [Region(4, 4, 28, 28), Region(36, 36, 60, 60)]
    for one, other in zip(prompt().run(frame, boxes), pointing().run(frame, boxes), strict=True):
        np.testing.assert_array_equal(one.labels > 0.5, other.labels > 0.5)


@given(
    source=st.tuples(st.integers(1, 200), st.integers(1, 200)),
    size=st.tuples(st.integers(1, 64), st.integers(1, 64)),
    letterbox=st.booleans(),
)
def test_the_whole_slice_is_the_whole_content_and_centres_stay_centres(
    source: tuple[int, int], size: tuple[int, int], letterbox: bool
) -> None:
    height, width = source
    placement = place(source, InputSpec(size=size, letterbox=letterbox))
    box = network_box(Region(0, 0, width, height), placement)
    content = (placement.left, placement.top, placement.left + placement.width, placement.top + placement.height)
    assert box.tolist() == pytest.approx(content, abs=1e-4)
    corners = network_points([Point(0, 0), Point(width - 1, height - 1)], placement)
    # A pixel's centre lies half a source pixel inside the edge; whole numbers are centres, so edges are half less.
    half = np.array([placement.width / width, placement.height / height]) / 2
    np.testing.assert_allclose(corners[0] + 0.5, np.array(content[:2]) + half, atol=1e-4)
    np.testing.assert_allclose(corners[1] + 0.5, np.array(content[2:]) - half, atol=1e-4)


@pytest.mark.parametrize(
    ("points", "boxes", "message"),
    [
        ([Point(1, 1)] * 5, [], "Found 5 points in parameter points; wanted at most 4 points for stage lesion"),
        ([Point(1, 1)], [Region(0, 0, 9, 9)] * 2, "Found points beside 2 boxes; wanted at most one box"),
        ([Point(1, 1), Point(1, 1, 1)], [], "Found points in several slices; wanted one slice"),
        ([Point(1, 1, 1)], [Region(0, 0, 9, 9)], "Found points in several slices; wanted one slice"),
        ([Point(1, 1, inside=False)], [], "Found no point inside the object; wanted at least one, or a box"),
        ([Point(1, 1), Point(64, 1)], [], r"Found point 64,1; wanted a point inside the picture \(0, 0, 64, 64\)"),
        ([Point(1, 1, 2)], [], "Found point 1,1; wanted a point inside the picture"),
    ],
)
def test_points_that_cannot_be_served(points: list[Point], boxes: list[Region], message: str) -> None:
    with pytest.raises(BadParameter, match=message):
        check_points(pointing(), points, boxes, WHOLE)


def test_points_for_a_stage_that_takes_none() -> None:
    for stage in (prompt(), Segment(spec("lesion"), identity(SIZE))):
        with pytest.raises(BadParameter, match="Found 1 point in parameter points; wanted at most 0 points for stage"):
            check_points(stage, [Point(1, 1)], [], WHOLE)


def test_prompt_encodes_each_slice_once_and_remembers_it_by_content() -> None:
    stage, boxes = prompt(), [Region(4, 4, 28, 28), Region(36, 36, 60, 60)]
    runs = []
    for plane in (two_squares(), two_squares().copy(), square(8, 8, 16)):
        frame = Frame(picture(plane))
        list(stage.run(frame, boxes))
        runs.append(frame.meter.runs)
    assert runs == [3, 2, 3]


def test_prompt_keeps_the_slices_of_a_volume_apart() -> None:
    scan = volume(np.stack([two_squares(), square(8, 8, 16), two_squares()]))
    frame, box = Frame(scan), Region(36, 36, 60, 60)
    seen = list(prompt().run(frame, [box.shifted(0, 0, z) for z in range(3)]))
    assert [bool((one.labels > 0.5).any()) for one in seen] == [True, False, True]
    assert frame.meter.runs == 5  # the first and the last slice look the same


def test_prompt_reads_no_slice_without_a_box() -> None:
    reader = CountingReader(two_squares()[np.newaxis, ..., np.newaxis].repeat(5, 0))
    assert list(prompt().run(Frame(Image(reader)), [])) == []
    assert reader.reads == 0


def embedding(kilobytes: int) -> dict[str, np.ndarray]:
    return {"a": np.zeros(kilobytes * 128, np.float32), "b": np.zeros(kilobytes * 128, np.float32)}


def test_memory_forgets_the_longest_unused_beyond_its_bytes() -> None:
    memory = EmbeddingMemory(limit=3 * 1024)
    for key in "abc":
        memory.put(key, embedding(1))
    assert memory.bytes == 3 * 1024
    assert memory.get("a") is not None
    memory.put("d", embedding(1))
    assert memory.bytes == 3 * 1024
    assert [memory.get(key) is not None for key in "abcd"] == [True, False, True, True]


def test_memory_does_not_empty_itself_for_what_it_cannot_hold() -> None:
    memory = EmbeddingMemory(limit=3 * 1024)
    memory.put("a", embedding(2))
    memory.put("large", embedding(4))
    assert memory.get("large") is None
    assert memory.get("a") is not None


def test_memory_counts_a_key_once() -> None:
    memory = EmbeddingMemory(limit=3 * 1024)
    for _ in range(5):
        memory.put("a", embedding(2))
    assert memory.bytes == 2 * 1024


def test_prompt_within_a_cascade_answers_a_given_box() -> None:
    find = spec("find", "detect")
    lesion = spec("lesion", "prompt", on="find", labels=("lesion",))
    stage = Prompt(lesion, prompt().encoder, prompt().decoder)
    pipeline = Cascade(manifest([find, lesion]), (Detect(find, threshold(SIZE)), stage))
    found = pipeline.run(picture(two_squares()))
    assert len(found.stages[1].regions) == 2
    assert found.mask.labels[0, 16, 16] == found.mask.labels[0, 48, 48] == 1
    told = pipeline.run(picture(two_squares()), Ask(boxes=(Region(36, 36, 60, 60),)))
    assert told.mask.labels[0, 16, 16] == 0
    assert told.mask.labels[0, 48, 48] == 1
    assert told.stages[1].regions[0].region == Region(36, 36, 60, 60)
    assert not told.stages[1].regions[0].widened


def pointed_cascade() -> Cascade:
    find, lesion = spec("find", "detect"), spec("lesion", "prompt", on="find")
    stage = pointing()
    return Cascade(manifest([find, lesion]), (Detect(find, raising(SIZE, AssertionError("must not run"))),
                                              Prompt(lesion, stage.encoder, stage.decoder)))  # fmt: skip


def test_given_points_take_the_place_of_the_localiser() -> None:
    result = pointed_cascade().run(picture(two_squares()), Ask(points=(Point(46, 46), Point(50, 51))))
    assert result.status == "found"
    assert [stage.localisation for stage in result.stages] == ["given", "given"]
    assert result.stages[0].regions == ()
    assert [look.region for look in result.stages[1].regions] == [Region(46, 46, 51, 52)]
    assert result.mask.labels[0][SECOND].mean() > 0.8
    assert not result.mask.labels[0][FIRST].any()


def test_a_given_box_with_a_point_is_one_object() -> None:
    ask = Ask(boxes=(Region(36, 36, 60, 60),), points=(Point(40, 40, inside=False),))
    result = pointed_cascade().run(picture(two_squares()), ask)
    assert [look.region for stage in result.stages for look in stage.regions] == [Region(36, 36, 60, 60)] * 2
    assert result.mask.labels[0, 52, 52] == 1
    assert result.mask.labels[0, 42, 42] == 0


def test_a_prompt_stage_on_the_image_looks_at_what_is_given_or_at_all_of_it() -> None:
    lesion, stage = spec("lesion", "prompt"), pointing()
    tissue = spec("tissue", labels=("fat",))
    alone = Cascade(
        manifest([tissue, lesion]),
        (Segment(tissue, threshold(SIZE)), Prompt(lesion, stage.encoder, stage.decoder)),
    )
    image = picture(two_squares())
    whole, boxed = alone.run(image), alone.run(image, Ask(boxes=(Region(36, 36, 60, 60),)))
    pointed = alone.run(image, Ask(points=(Point(16, 16),)))
    assert [result.stages[1].localisation for result in (whole, boxed, pointed)] == ["whole_image", "given", "given"]
    assert [bool(result.mask.labels[0][FIRST].any()) for result in (whole, boxed, pointed)] == [True, False, True]
    assert [bool(result.mask.labels[0][SECOND].any()) for result in (whole, boxed, pointed)] == [True, True, False]
    # The other stage on the image is told nothing.
    assert boxed.stages[0].localisation == "whole_image"
    assert boxed.stages[0].regions[0].region == WHOLE
