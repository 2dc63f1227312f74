"""Kinds of stage, each by itself; for the prompt see its own file."""

from __future__ import annotations

import numpy as np
import pytest

from service.frame import Frame
from service.image import Image, Region
from service.manifest import Look
from service.stages import (
    Classify,
    Detect,
    Found,
    Map,
    Prompt,
    Segment,
    build_stage,
    looked_at,
)
from tests.fakes import (
    CountingReader,
    FakeNetwork,
    constant,
    identity,
    picture,
    scores,
    spec,
    square,
    threshold,
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


def test_every_kind_is_built() -> None:
    kinds = {"detect": Detect, "segment": Segment, "classify": Classify, "map": Map, "prompt": Prompt}
    networks = {role: identity(SIZE) for role in ("network", "encoder", "decoder")}
    for kind, wanted in kinds.items():
        assert type(build_stage(spec("one", kind), networks)) is wanted


def test_a_box_may_be_surrounded_by_a_share_of_the_picture() -> None:
    """Twenty of 512 pixels, whatever the size of the box; what leaves the picture is clipped."""
    grid, look = Region(0, 0, 512, 1024), Look(surround=20 / 512)
    for box in (Region(100, 100, 110, 110), Region(100, 100, 400, 900)):
        assert looked_at(box, look, grid) == Region(box.left - 20, box.top - 40, box.right + 20, box.bottom + 40)
    assert looked_at(Region(5, 5, 500, 1000), look, grid) == Region(0, 0, 512, 1024)
    assert looked_at(Region(100, 100, 110, 120), Look(surround=20 / 512, margin=0.1), grid) == Region(75, 50, 135, 170)
