"""A checkpoint that is damaged, foreign or of no use is passed over aloud, and the run starts from zero."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from service.cascade import Ask, Cascade
from service.checkpoint import DIGEST, LENGTH, belonging, unpacked
from service.image import Image, Region
from tests.fakes import manifest, spec, volume
from tests.service.checkpointed import (
    DEPTH,
    Desk,
    at_every_batch,
    ended_at,
    found_and_classified,
    scan,
    told,
)


@pytest.fixture(autouse=True, scope="module")
def every_batch() -> Iterator[None]:
    with at_every_batch():
        yield


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
