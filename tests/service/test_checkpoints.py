"""A run over a volume that is ended between two batches and gone on with comes to the result of an undisturbed one."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.cascade import Ask, Cascade
from service.image import Point, Region
from service.network import Device, OnnxNetwork
from service.stages import build_stage
from service.watch import QUIET, Checked, Keeper
from tests import tiny_graphs
from tests.fakes import cascade, manifest, spec, square, threshold, volume
from tests.service.checkpointed import (
    BUILDS,
    MASKED,
    SIZE,
    Build,
    Desk,
    Ended,
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
