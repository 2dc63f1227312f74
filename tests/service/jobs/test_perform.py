"""One item from input to outputs, its progress and its checkpoints."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from service.engine import Engine
from service.errors import BadParameter, Cancelled, LeaseLost, UnknownPipeline
from service.jobs import perform as module
from service.jobs.model import Claim, Done, Failed, NewJob
from service.jobs.perform import Bench, ItemWatch, attempt_prefix, item_prefix, parameters_of, perform
from service.jobs.pinned import pinned, weights_digest
from service.settings import Settings
from service.watch import Keeper
from tests.service.jobs.benches import bench_over
from tests.service.jobs.pictures import new_job, order, picture, volume

DIFFERENT = "0" * 64


@pytest.fixture
def bench(sqlite_with_tables: Path, tmp_path: Path, tiny_engine: Engine) -> Iterator[Bench]:
    with bench_over(sqlite_with_tables, tmp_path, tiny_engine) as made:
        yield made


def claimed(bench: Bench) -> Claim:
    claim = bench.rows.claim("w", "cpu", 60)
    assert claim is not None
    return claim


def performed(bench: Bench) -> Done | Failed:
    claim = claimed(bench)
    return perform(bench, claim, ItemWatch(bench, claim))


def code(outcome: Done | Failed) -> str:
    assert isinstance(outcome, Failed)
    return outcome.problem.code


def test_parameters_reach_the_networks(bench: Bench, tiny_pipelines: Path) -> None:
    order(bench.rows, bench.store, tiny_pipelines, picture(), parameters={"box": ["0,0,8,8"], "spacing": ["0.5"]})
    outcome = performed(bench)
    assert isinstance(outcome, Done)
    assert outcome.summary["findings"] == []


def test_pipeline_is_pinned() -> None:
    asked = {"pipeline": ["other"], "threshold": ["0.4"]}
    parameters = parameters_of(NewJob("id", "", "tiny", "1.0.0", DIFFERENT, ("json",), asked, "f"))
    assert (parameters.pipeline, parameters.version, parameters.threshold) == ("tiny", "1.0.0", 0.4)


def test_other_weights_fail_the_item(bench: Bench, tiny_pipelines: Path) -> None:
    order(bench.rows, bench.store, tiny_pipelines, picture(), weights=DIFFERENT)
    assert code(performed(bench)) == "pipeline_changed"


def test_weights_are_one_digest(tiny_engine: Engine, tiny_pipelines: Path) -> None:
    manifest = tiny_engine.pipeline("tiny").manifest
    job = new_job(tiny_pipelines)
    assert pinned(tiny_engine, job).manifest is manifest
    assert len(weights_digest(manifest)) == 64
    with pytest.raises(UnknownPipeline, match=r"tiny 1\.0\.0 with other weights.*Send the job again"):
        pinned(tiny_engine, replace(job, weights=DIFFERENT))
    with pytest.raises(UnknownPipeline, match="tiny 9"):
        pinned(tiny_engine, replace(job, version="9"))


def test_item_fails_where_no_output_can_be_had(bench: Bench, tiny_pipelines: Path) -> None:
    order(bench.rows, bench.store, tiny_pipelines, picture(), outputs=("dicom-seg", "dicom-sr"))
    assert code(performed(bench)) == "needs_dicom"
    order(bench.rows, bench.store, tiny_pipelines, picture(), outputs=("json", "dicom-seg"))
    assert isinstance(performed(bench), Done)


def test_box_in_a_volume_without_its_slice_fails_the_item(bench: Bench, tiny_pipelines: Path) -> None:
    order(bench.rows, bench.store, tiny_pipelines, volume(3), parameters={"box": ["0,0,8,8"]})
    assert code(performed(bench)) == "bad_parameter"


def test_input_that_is_not_what_was_stored_fails_the_item(bench: Bench, tiny_pipelines: Path) -> None:
    order(bench.rows, bench.store, tiny_pipelines, picture())
    claim = claimed(bench)
    bench.store.put(claim.item.key, picture(30))
    assert code(perform(bench, claim, ItemWatch(bench, claim))) == "damaged_file"
    bench.store.delete(claim.item.key)
    assert code(perform(bench, claim, ItemWatch(bench, claim))) == "missing_file"


def test_no_limit_of_slices(bench: Bench, tiny_pipelines: Path) -> None:
    order(bench.rows, bench.store, tiny_pipelines, volume(6))
    narrow = replace(bench, limits=Settings(max_slices=2).job_limits)
    assert isinstance(performed(narrow), Done)


def test_same_input_gives_the_same_bytes(bench: Bench, tiny_pipelines: Path) -> None:
    digests = []
    for _ in range(2):
        order(bench.rows, bench.store, tiny_pipelines, volume(6), outputs=("json", "mask", "nifti"))
        outcome = performed(bench)
        assert isinstance(outcome, Done)
        digests.append([file.sha256 for file in outcome.files if "timings" not in file.name])
    assert digests[0] == digests[1]
    assert len(digests[0]) == 3


def test_progress_is_told_but_not_too_often(
    bench: Bench, tiny_pipelines: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = order(bench.rows, bench.store, tiny_pipelines, volume(3))
    watch = ItemWatch(bench, claimed(bench))
    before = bench.rows.job(job.id, "").seq
    for done in range(1000):
        watch.step("localise", done, 1000)
    assert bench.rows.job(job.id, "").seq - before < 5
    monkeypatch.setattr(module, "TELL_EVERY_S", 0)
    watch.step("localise", 1000, 1000)
    item = bench.rows.item(job.id, "", 0)
    assert (item.stage, item.steps_done, item.steps_total) == ("localise", 1000, 1000)


def test_watch_ends_the_run(bench: Bench, tiny_pipelines: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TELL_EVERY_S", 0)
    job = order(bench.rows, bench.store, tiny_pipelines, volume(3))
    claim = claimed(bench)
    bench.rows.cancel(job.id, "")
    with pytest.raises(Cancelled):
        perform(bench, claim, ItemWatch(bench, claim))

    def stop() -> None:
        raise BadParameter("a", "b", "c")

    with pytest.raises(BadParameter):
        ItemWatch(bench, claim, stop).step("localise", 0, 3)


def test_checkpoint_takes_the_place_of_the_last(bench: Bench, tiny_pipelines: Path) -> None:
    order(bench.rows, bench.store, tiny_pipelines, volume(3))
    claim = claimed(bench)
    watch = ItemWatch(bench, claim)
    assert isinstance(watch, Keeper)
    assert watch.load() is None
    watch.save(b"one")
    watch.save(b"two")
    prefix = f"{item_prefix(claim)}checkpoint/"
    assert [one.key for one in bench.store.keys(prefix)] == [f"{prefix}{claim.token}-2"]
    bench.rows.bury("w")
    again = claimed(bench)
    assert ItemWatch(bench, again).load() == b"two"
    assert attempt_prefix(again) != attempt_prefix(claim)


def test_checkpoint_of_an_item_that_is_another_workers_leaves_nothing(bench: Bench, tiny_pipelines: Path) -> None:
    order(bench.rows, bench.store, tiny_pipelines, volume(3))
    claim = claimed(bench)
    bench.rows.bury("w")
    with pytest.raises(LeaseLost, match="given to another"):
        ItemWatch(bench, claim).save(b"state")
    assert [one.key for one in bench.store.keys(item_prefix(claim))] == [claim.item.key]


def test_checkpoint_that_is_damaged_is_none(bench: Bench, tiny_pipelines: Path) -> None:
    order(bench.rows, bench.store, tiny_pipelines, volume(3))
    claim = claimed(bench)
    ItemWatch(bench, claim).save(b"one")
    bench.rows.bury("w")
    again = claimed(bench)
    assert again.checkpoint is not None
    bench.store.put(again.checkpoint.key, b"other")
    assert ItemWatch(bench, again).load() is None


def test_long_volume_resumes(bench: Bench, tiny_pipelines: Path) -> None:
    """A run that is ended behind its first checkpoint goes on from there, with the same bytes in the end."""
    order(bench.rows, bench.store, tiny_pipelines, volume(600))
    outcome = performed(bench)
    assert isinstance(outcome, Done)
    order(bench.rows, bench.store, tiny_pipelines, volume(600))
    claim = claimed(bench)
    watch = Interrupted(bench, claim)
    with pytest.raises(KeyboardInterrupt):
        perform(bench, claim, watch)
    bench.rows.bury("w")
    again = claimed(bench)
    assert again.checkpoint is not None
    resumed = perform(bench, again, ItemWatch(bench, again))
    assert isinstance(resumed, Done)
    assert [f.sha256 for f in resumed.files[:2]] == [f.sha256 for f in outcome.files[:2]]


class Interrupted:
    """An item's watch that ends the run at the first step behind a checkpoint."""

    def __init__(self, bench: Bench, claim: Claim) -> None:
        self._watch, self._saved = ItemWatch(bench, claim), False

    def step(self, stage: str, done: int, total: int) -> None:
        if self._saved:
            raise KeyboardInterrupt
        self._watch.step(stage, done, total)

    def load(self) -> bytes | None:
        return self._watch.load()

    def save(self, state: bytes) -> None:
        self._saved = True
        self._watch.save(state)
