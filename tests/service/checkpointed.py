"""Cascades over small volumes that can be ended at any step, and desks that keep their checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from service import saving
from service.cascade import Ask, Cascade
from service.image import Image, Region
from service.network import Device, OnnxNetwork
from service.result import CascadeResult
from service.stages import build_stage
from tests import tiny_graphs
from tests.fakes import FakeNetwork, cascade, manifest, scores, spec, threshold

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


@contextmanager
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
