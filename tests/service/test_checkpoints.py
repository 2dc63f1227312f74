"""A run over a volume that is ended between two batches and gone on with comes to the result of an undisturbed one."""

from __future__ import annotations

import hashlib
import logging
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from service import saving
from service.cascade import Ask, Cascade
from service.checkpoint import DIGEST, LENGTH, belonging, unpacked
from service.errors import BadParameter
from service.image import Image, Point, Region
from service.network import Device, OnnxNetwork
from service.result import CascadeResult
from service.stages import build_stage
from service.watch import QUIET, Checked, Keeper
from tests import tiny_graphs
from tests.fakes import FakeNetwork, cascade, manifest, scores, spec, square, threshold, volume

SIZE = (32, 32)
CLASSES = ("benign", "malignant")
DEPTH = 9
MASKED = np.zeros((64, 64), np.uint8)


class Ended(Exception):
    """Somebody ended the run."""


@dataclass
class Desk:
    """Keeps the last checkpoint; ends the run at its ``end``-th step, counted from 1."""

    end: int = 0
    kept: bytes | None = None
    steps: list[tuple[str, int, int]] = field(default_factory=list)
    saves: int = 0

    def step(self, stage: str, done: int, total: int) -> None:
        self.steps.append((stage, done, total))
        if len(self.steps) == self.end:
            raise Ended

    def load(self) -> bytes | None:
        return self.kept

    def save(self, state: bytes) -> None:
        self.kept, self.saves = state, self.saves + 1


@pytest.fixture(autouse=True, scope="module")
def at_every_batch() -> Iterator[None]:
    """Checkpoints after every batch, whatever they cost."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(saving, "EVERY", 1)
        patch.setattr(saving, "SHARE", np.inf)
        yield


def scan(seed: int, depth: int = DEPTH) -> NDArray[np.uint8]:
    """Slices with none, one or several bright rectangles on a dark ground, some of them empty."""
    rng = np.random.default_rng(seed)
    slices = np.zeros((depth, 64, 64), np.uint8)
    for plane in slices:
        for _ in range(rng.integers(0, 4)):
            left, top = rng.integers(0, 48, 2)
            plane[top : top + rng.integers(3, 16), left : left + rng.integers(3, 16)] = rng.integers(100, 256)
    return slices


def found_and_classified(batch: int) -> tuple[Cascade, Ask]:
    """Find, segment what was found, classify the largest."""
    lesion = spec("lesion", on="find", look={"margin": 0.2})
    run = cascade(
        (spec("find", "detect"), threshold(SIZE)),
        (lesion, threshold(SIZE)),
        (spec("class", "classify", on="lesion", labels=CLASSES), scores(SIZE, 0.0, 1.0)),
    )
    return batched(run, batch), Ask()


def two_masks(batch: int) -> tuple[Cascade, Ask]:
    """Tissue of exclusive labels, then a lesion in one of them; the first mask is asked for, and no float."""
    parts = FakeNetwork(lambda x: {"logits": 9 * np.concatenate([0.3 - x, x * 0, x - 0.6], 1)}, (1, *SIZE))
    run = cascade(
        (spec("tissue", labels=("fat", "gland"), exclusive=True), parts),
        (spec("lesion", on="tissue", label="gland", on_miss="whole_image"), threshold(SIZE, 0.8)),
        (spec("class", "classify", labels=CLASSES), scores(SIZE, 0.5, 1.0)),
    )
    return batched(run, batch), Ask(stage="tissue", probabilities=False)


def mapped(batch: int) -> tuple[Cascade, Ask]:
    """A map beside the image, and a threshold of the caller's."""
    both = FakeNetwork(lambda x: {"logits": 20 * (x[:, :1] * x[:, 1:] - 0.5)}, (2, *SIZE))
    run = cascade(
        (spec("depth", "map"), FakeNetwork(lambda x: {"depth": x}, (1, *SIZE))),
        (spec("lesion", **{"with": ("depth",)}), both),
    )
    return batched(run, batch), Ask(threshold=0.3)


def given_boxes(batch: int) -> tuple[Cascade, Ask]:
    """Boxes of the caller's through several slices; they overlap and cut what they show."""
    boxes = (Region(0, 0, 40, 40, 0, DEPTH), Region(20, 20, 64, 64, 2, 7), Region(10, 10, 30, 60, 3, 4))
    run, _ = found_and_classified(batch)
    return run, Ask(boxes=boxes)


def prompted(batch: int) -> tuple[Cascade, Ask]:
    """Found boxes prompt a mask each, by networks in ONNX."""
    find, mask = spec("find", "detect"), spec("lesion", "prompt", on="find")
    networks = {
        "encoder": OnnxNetwork(tiny_graphs.encoder(), "encoder", Device()),
        "decoder": OnnxNetwork(tiny_graphs.decoder(), "decoder", Device()),
    }
    stages = build_stage(find, {"network": threshold(SIZE)}), build_stage(mask, networks)
    return batched(Cascade(manifest([find, mask]), stages), batch), Ask()


def in_onnx(batch: int) -> tuple[Cascade, Ask]:
    """Random convolutions on whole slices."""
    one = spec("lesion", input={"mean": (0.5,), "std": (0.25,)})
    return batched(cascade((one, OnnxNetwork(tiny_graphs.convolutions(), "tiny", Device()))), batch), Ask()


def batched(run: Cascade, batch: int) -> Cascade:
    for stage in run.stages:
        for role in ("network", "encoder"):
            if hasattr(stage, role):
                getattr(stage, role).batch = batch
    return run


def told(result: CascadeResult) -> dict[str, Any]:
    """All that a result says, but for the time it took; a prompt may look at a slice again that it had in memory."""
    stages = [replace(one, milliseconds=0, network_ms=0, network_runs=0) for one in result.stages]
    runs = [one.network_runs for one in result.stages if one.kind != "prompt"]
    patches = [(patch.region, patch.probability.tobytes()) for patch in result.patches]
    whole = (result.mask.labels.tobytes(), result.mask.names, result.parts, patches)
    return {"said": (result.status, result.classification, result.flags), "stages": stages, "runs": runs, "mask": whole}


def ended_at(run: Cascade, image: Image, ask: Ask, step: int, kept: bytes | None = None) -> Desk | None:
    """What the run leaves behind that is ended at this step; None if it comes to its end before."""
    desk = Desk(step, kept)
    try:
        run.run(image, ask, desk)
    except Ended:
        return desk
    return None


Build = Callable[[int], tuple[Cascade, Ask]]
BUILDS: list[Build] = [found_and_classified, two_masks, mapped, given_boxes, prompted, in_onnx]


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 8))
@pytest.mark.parametrize("build", BUILDS)
def test_a_run_ended_at_any_batch_comes_to_the_same_result(build: Build, seed: int, batch: int) -> None:
    run, ask = build(batch)
    image = volume(scan(seed))
    undisturbed = told(run.run(image, ask))
    assert told(run.run(image, ask, Desk())) == undisturbed
    step = 1
    while (left := ended_at(run, image, ask, step)) is not None:
        again = Desk(kept=left.kept)
        assert told(run.run(image, ask, again)) == undisturbed
        # It goes on after the last whole slice, and says so.
        assert (left.kept is None) == (left.saves == 0)
        if left.saves:
            assert again.steps[0] != left.steps[0] or len(left.steps) < 3
        step += 1
    assert step > 1 or not image.voxels.any()  # type: ignore[union-attr]


@pytest.mark.parametrize("build", BUILDS)
def test_a_run_that_is_ended_again_and_again_gets_there(build: Build) -> None:
    run, ask = build(2)
    image = volume(scan(5))
    kept, lives = None, 0
    # Each life ends at its third step: its first says where it is, so that is two batches.
    while (left := ended_at(run, image, ask, 3, kept)) is not None:
        kept, lives = left.kept, lives + 1
        assert lives < 60
    assert lives > 1
    assert told(run.run(image, ask, Desk(kept=kept))) == told(run.run(image, ask))


def test_progress_is_told_at_the_start_of_a_stage_and_after_each_batch() -> None:
    run, ask = found_and_classified(4)
    desk = Desk()
    slices = np.stack([square(8 + z, 8, 12) for z in range(6)])
    run.run(volume(slices), ask, desk)
    assert desk.steps == [("find", 0, 6), ("find", 4, 6), ("find", 6, 6), ("lesion", 0, 6), ("lesion", 4, 6),
                          ("lesion", 6, 6), ("class", 0, 1), ("class", 1, 1)]  # fmt: skip


def test_points_are_one_step() -> None:
    network = {
        "encoder": OnnxNetwork(tiny_graphs.encoder(), "encoder", Device()),
        "decoder": OnnxNetwork(tiny_graphs.pointer(), "decoder", Device()),
    }
    one = spec("lesion", "prompt")
    desk = Desk()
    stages = (build_stage(one, network),)
    Cascade(manifest([one]), stages).run(volume(scan(3)), Ask(points=(Point(9, 9, 2),)), desk)
    assert desk.steps == [("lesion", 0, 1), ("lesion", 1, 1)]


def test_the_work_ends_between_two_batches() -> None:
    network = threshold(SIZE)
    network.batch = 2
    asked = iter([None, None, Ended()])

    def check() -> None:
        if (error := next(asked)) is not None:
            raise error

    with pytest.raises(Ended):
        cascade((spec("lesion"), network)).run(volume(np.stack([square(9, 9, 9)] * 8)), Ask(), Checked(check))
    assert network.runs == 2


def test_a_picture_has_no_checkpoints() -> None:
    run, ask = found_and_classified(8)
    desk = Desk(kept=b"none of ours")
    result = run.run(volume(np.stack([square(9, 9, 9), MASKED]), focus=Region(0, 0, 64, 64, 0, 1)), ask, desk)
    assert (result.status, desk.saves, len(desk.steps)) == ("found", 0, 6)


def test_who_keeps_checkpoints_is_told_by_its_methods() -> None:
    assert isinstance(Desk(), Keeper)
    assert not isinstance(QUIET, Keeper)


def in_the_middle() -> tuple[Cascade, Image, bytes]:
    """A run, its image, and a checkpoint from its second stage."""
    run, ask = found_and_classified(2)
    image = volume(scan(1))
    left = ended_at(run, image, ask, 9)
    assert left is not None
    assert left.kept is not None
    assert left.steps[-1][0] == "lesion"
    return run, image, left.kept


def ignored(kept: bytes, run: Cascade, image: Image, ask: Ask, caplog: pytest.LogCaptureFixture) -> str:
    """Why a run with this checkpoint starts from zero; and that it does, to the right result."""
    caplog.clear()
    desk = Desk(kept=kept)
    with caplog.at_level(logging.INFO, "breast_cascade"):
        result = run.run(image, ask, desk)
    assert told(result) == told(run.run(image, ask))
    assert desk.steps[0][:2] == ("find", 0)
    (record,) = caplog.records
    assert record.getMessage() == "checkpoint_ignored"
    assert record.levelname == "WARNING"
    return str(record.fields["reason"])  # type: ignore[attr-defined]


def test_a_damaged_checkpoint_is_ignored_aloud(caplog: pytest.LogCaptureFixture) -> None:
    run, image, kept = in_the_middle()
    for cut in (0, 1, DIGEST, 2 * DIGEST + LENGTH, len(kept) // 2, len(kept) - 1):
        assert ignored(kept[:cut], run, image, Ask(), caplog) == "damaged"
    for at in (*range(0, len(kept), max(1, len(kept) // 12)), len(kept) - 1):
        changed = bytearray(kept)
        changed[at] ^= 0x20
        assert ignored(bytes(changed), run, image, Ask(), caplog) == "damaged"
    assert ignored(kept + b"\0", run, image, Ask(), caplog) == "damaged"


def test_a_foreign_checkpoint_is_ignored_aloud(caplog: pytest.LogCaptureFixture) -> None:
    run, image, kept = in_the_middle()
    assert isinstance(image.voxels, np.ndarray)
    other = image.voxels.copy()
    other[4, 10, 10, 0] ^= 1
    for different in (replace(image, voxels=other), replace(image, focus=Region(0, 0, 64, 63, 0, DEPTH))):
        assert ignored(kept, run, different, Ask(), caplog) == "foreign"
    assert ignored(kept, run, image, Ask(threshold=0.4), caplog) == "foreign"
    newer = Cascade(run.manifest.model_copy(update={"version": "1.0.1"}), run.stages)
    assert ignored(kept, newer, image, Ask(), caplog) == "foreign"
    retrained = [spec("find", "detect", weights={"network": {"file": "a.onnx", "sha256": "1" * 64, "licence": "none"}})]
    again = Cascade(manifest([*retrained, *(stage.spec for stage in run.stages[1:])]), run.stages)
    assert ignored(kept, again, image, Ask(), caplog) == "foreign"
    assert ignored(kept, found_and_classified(3)[0], image, Ask(), caplog) == "foreign"


@pytest.mark.parametrize(
    "head",
    [b"", b"{}", b"\xff\xfe", b'{"state": {}, "canvases": {"lesion": {"parts": [], "slices": [], "patches": []}}}',
     b'{"state": {"found": {"image": [{"region": {"left": 5, "top": 0, "right": 1, "bottom": 1}, "label": "a", '
     b'"score": 1}]}}, "canvases": {}, "sizes": []}'],
)  # fmt: skip
def test_a_checkpoint_that_says_nothing_of_use_is_ignored_aloud(head: bytes, caplog: pytest.LogCaptureFixture) -> None:
    run, image, _ = in_the_middle()
    belongs = belonging(run.manifest, [stage.network for stage in run.stages], image, Ask())  # type: ignore[union-attr]
    body = belongs + len(head).to_bytes(LENGTH, "big") + head
    content = hashlib.sha256(body).digest() + body
    assert unpacked(content, belongs) == "unreadable"
    assert ignored(content, run, image, Ask(), caplog) == "unreadable"


def test_going_on_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    run, image, kept = in_the_middle()
    desk = Desk(kept=kept)
    with caplog.at_level(logging.INFO, "breast_cascade"):
        run.run(image, Ask(), desk)
    (record,) = caplog.records
    fields = record.fields  # type: ignore[attr-defined]
    assert (record.getMessage(), fields["stage"], fields["done"]) == ("checkpoint_resumed", *desk.steps[0][:2])


def test_a_checkpoint_holds_no_voxel() -> None:
    run, ask = found_and_classified(2)
    noise = np.random.default_rng(0).integers(0, 90, (DEPTH, 64, 64)).astype(np.uint8)
    left = ended_at(run, volume(np.maximum(scan(1), noise)), ask, 9)
    assert left is not None
    assert len(left.kept or b"") < noise.size / 4


def test_an_error_in_keeping_ends_the_run() -> None:
    @dataclass
    class Full(Desk):
        def save(self, state: bytes) -> None:
            raise BadParameter("a full disk", "room", "Make some.")

    run, ask = found_and_classified(2)
    with pytest.raises(BadParameter, match="a full disk"):
        run.run(volume(scan(1)), ask, Full())


def test_keeping_takes_a_small_share_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclass
    class Slow(Desk):
        def save(self, state: bytes) -> None:
            time.sleep(0.05)
            super().save(state)

    monkeypatch.setattr(saving, "EVERY", 4)
    monkeypatch.setattr(saving, "SHARE", 0.05)
    network = threshold(SIZE)
    network.batch = 1
    desk = Slow()
    run = cascade((spec("lesion"), network))
    run.run(volume(np.stack([square(9, 9, 9)] * 40)), Ask(), desk)
    # Forty batches take a small part of the second that has to pass before the next one is worth it.
    assert (desk.saves, len(desk.steps)) == (1, 41)
    monkeypatch.setattr(saving, "SHARE", np.inf)
    quick = Desk()
    run.run(volume(np.stack([square(9, 9, 9)] * 40)), Ask(), quick)
    assert quick.saves == 10


@dataclass
class Drawn:
    """A volume that exists slice by slice only: a square that moves, over noise."""

    depth: int

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(np.uint8)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.depth, 128, 128, 1

    def __getitem__(self, key: slice) -> NDArray[np.uint8]:
        (z,) = range(*key.indices(self.depth))
        plane = np.random.default_rng(z).integers(0, 100, (128, 128)).astype(np.uint8)
        plane[30:90, 20 + z % 32 : 80 + z % 32] = 255
        return plane[np.newaxis, ..., np.newaxis]


def beyond_the_mask(depth: int, watch: Keeper) -> int:
    """Most bytes that were held at once, but for those of the mask."""
    run, _ = found_and_classified(8)
    tracemalloc.start()
    try:
        result = run.run(Image(Drawn(depth), depth_axis="space"), Ask(probabilities=False), watch)
        return tracemalloc.get_traced_memory()[1] - result.mask.labels.nbytes
    finally:
        tracemalloc.stop()


def test_memory_is_bounded_by_the_batch_and_the_mask() -> None:
    beyond_the_mask(8, Desk())
    few, many = (beyond_the_mask(depth, Desk()) for depth in (16, 96))
    # A slice has 16 kB here; what is told of each in words, and its packed labels in a checkpoint, stays below half.
    assert many - few < 80 * 8192
