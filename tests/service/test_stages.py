"""The five kinds of stage, each by itself."""

import numpy as np
import pytest

from service.cascade import Ask, Cascade
from service.frame import Frame
from service.image import Image, Region
from service.manifest import Look
from service.network import Device, OnnxNetwork
from service.stages import Classify, Detect, EmbeddingMemory, Found, Map, Prompt, Segment, build_stage, looked_at
from tests import tiny_graphs
from tests.fakes import (
    CountingReader,
    FakeNetwork,
    constant,
    identity,
    manifest,
    picture,
    scores,
    spec,
    square,
    threshold,
    volume,
)

SIZE = (32, 32)
WHOLE = Region(0, 0, 64, 64)


def test_looked_at_squares_then_grows() -> None:
    look = Look(margin=0.25, square=True)
    assert looked_at(Region(20, 30, 40, 34), look, WHOLE) == Region(15, 17, 45, 47)
    assert looked_at(Region(20, 30, 22, 32), Look(minimum=11), WHOLE) == Region(15, 25, 27, 37)


def test_detect_gives_boxes_in_source_voxels() -> None:
    stage = Detect(spec("find", "detect"), threshold(SIZE))
    (found,) = stage.run(Frame(picture(square(10, 20, 8))), [WHOLE])
    assert found == Found(Region(10, 20, 18, 28), "lesion", pytest.approx(1, abs=1e-3))


def test_detect_drops_what_lies_in_the_padding() -> None:
    bright = FakeNetwork(lambda batch: {"logits": np.where(batch == 0, 10, -10).astype(np.float32)}, (1, *SIZE))
    stage = Detect(spec("find", "detect", input={"letterbox": True}), bright)
    assert list(stage.run(Frame(picture(np.full((16, 64), 255, np.uint8))), [Region(0, 0, 64, 16)])) == []


def test_detect_names_the_label_of_each_map() -> None:
    both = FakeNetwork(
        lambda batch: {"logits": np.concatenate([20 * (batch - 2), 20 * (batch - 0.5)], 1).astype(np.float32)},
        (1, *SIZE),
    )
    stage = Detect(spec("find", "detect", labels=("lesion", "fat")), both)
    (found,) = stage.run(Frame(picture(square(0, 0, 8))), [WHOLE])
    assert found.label == "fat"


def test_segment_gives_probabilities_at_source_resolution() -> None:
    view = Region(5, 7, 37, 39)
    (seen,) = Segment(spec("lesion"), identity(SIZE)).run(Frame(picture(square(10, 20, 8))), [view])
    assert seen.view == view
    np.testing.assert_allclose(seen.labels[0], square(10, 20, 8)[7:39, 5:37] / 255, atol=1e-5)


def test_segment_of_exclusive_labels_leaves_background_out() -> None:
    network = constant(SIZE, 0.0, labels=3)
    stage = Segment(spec("tissue", labels=("fat", "gland"), exclusive=True), network)
    (seen,) = stage.run(Frame(picture(square(10, 20, 8))), [WHOLE])
    np.testing.assert_allclose(seen.labels, np.full((2, 64, 64), 1 / 3), atol=1e-6)


def test_classify_gives_scores_that_sum_to_one() -> None:
    stage = Classify(spec("class", "classify", labels=("benign", "malignant")), scores(SIZE, 0.0, np.log(3)))
    (found,) = stage.run(Frame(picture(square(10, 20, 8))), [WHOLE])
    assert found == {"benign": pytest.approx(0.25), "malignant": pytest.approx(0.75)}


def test_map_is_read_like_a_volume_slice_by_slice() -> None:
    fake = FakeNetwork(lambda batch: {"depth": 2 * batch}, (1, *SIZE))
    planes = np.stack([np.full((40, 48), 51 * z, np.uint8) for z in range(4)])
    frame = Frame(Image(CountingReader(planes[..., np.newaxis])))
    reader = Map(spec("depth", "map"), fake).over(frame)
    assert reader.shape == (4, 40, 48, 1)
    assert fake.runs == 0
    np.testing.assert_allclose(reader[1:3], 2 * planes[1:3, ..., np.newaxis] / 255, atol=1e-6)
    assert fake.runs == 2
    reader[2:3]
    assert fake.runs == 2
    reader[1:2]
    assert fake.runs == 3


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
    given = pipeline.run(picture(two_squares()), Ask(boxes=(Region(36, 36, 60, 60),)))
    assert given.mask.labels[0, 16, 16] == 0
    assert given.mask.labels[0, 48, 48] == 1
    assert given.stages[1].regions[0].region == Region(36, 36, 60, 60)
    assert not given.stages[1].regions[0].widened


def test_every_kind_is_built() -> None:
    kinds = {"detect": Detect, "segment": Segment, "classify": Classify, "map": Map, "prompt": Prompt}
    networks = {role: identity(SIZE) for role in ("network", "encoder", "decoder")}
    for kind, wanted in kinds.items():
        assert type(build_stage(spec("one", kind), networks)) is wanted
