"""What keeping checkpoints takes: little time, little memory, and no voxel goes to the disk."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from service import saving
from service.cascade import Ask
from service.errors import BadParameter
from service.image import Image
from service.watch import Keeper
from tests.fakes import cascade, spec, square, threshold, volume
from tests.service.checkpointed import (
    DEPTH,
    SIZE,
    Desk,
    at_every_batch,
    ended_at,
    found_and_classified,
    scan,
)


@pytest.fixture(autouse=True, scope="module")
def every_batch() -> Iterator[None]:
    with at_every_batch():
        yield


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
