"""The loop of a worker in this process: real rows, files and networks, and endings brought about on purpose."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from service.engine import Engine
from service.errors import Cancelled, DatabaseAway, LeaseLost, SetupError, StoreAway
from service.jobs import worker as module
from service.jobs.model import Claim, Done, Failed
from service.jobs.perform import Bench, ItemWatch, perform
from service.jobs.warden import Held, Stopping, Warden
from service.jobs.worker import Unwell, Worker
from tests.service.jobs.benches import bench_over
from tests.service.jobs.pictures import order, picture, volume

NOWHERE = ("a test", "none", "Nothing.")


@pytest.fixture
def bench(sqlite_with_tables: Path, tmp_path: Path, tiny_engine: Engine) -> Iterator[Bench]:
    with bench_over(sqlite_with_tables, tmp_path, tiny_engine) as made:
        yield made


@contextmanager
def worker(bench: Bench, run: Any = None, stopping: Callable[[], bool] = lambda: False) -> Iterator[Worker]:
    def performed(claim: Claim, held: Held) -> Done | Failed:
        return perform(bench, claim, ItemWatch(bench, claim, held.check))

    warden = Warden(bench.rows, ("w", "cpu"), 30, 0, stopping)
    try:
        yield Worker(bench, run or performed, warden)
    finally:
        warden.close()


def keys(bench: Bench, job_id: str) -> list[str]:
    """Of a job, without what is the same of each."""
    return [one.key.removeprefix(f"jobs/{job_id}/") for one in bench.store.keys(f"jobs/{job_id}/")]


def write_and(bench: Bench, error: BaseException, before: Callable[[], object] = lambda: None) -> Any:
    """A run that writes one file and then fails."""

    def run(claim: Claim, _: Held) -> Done | Failed:
        bench.store.put(f"jobs/{claim.job_id}/{claim.n}/{claim.attempt}/half", b"half")
        before()
        raise error

    return run


def test_items_are_done_until_none_waits(bench: Bench, tiny_pipelines: Path) -> None:
    jobs = [order(bench.rows, bench.store, tiny_pipelines, picture(), b"nothing", volume(4)) for _ in range(2)]
    with worker(bench) as one:
        one.work()
    for job in jobs:
        assert [item.state for item in bench.rows.items(job.id, "", 9, 0)] == ["succeeded", "failed", "succeeded"]
        assert bench.rows.job(job.id, "").state == "partial"
        problem = bench.rows.item(job.id, "", 1).problem
        assert problem is not None
        assert problem.code == "unknown_format"
        assert set(keys(bench, job.id)) >= {"0/input", "0/1/answer.json", "0/1/answer.mask.png", "1/input"}
    assert [(row.busy, row.finished) for row in bench.rows.workers()] == [(False, 6)]


def test_worker_told_to_stop_takes_no_item(bench: Bench, tiny_pipelines: Path) -> None:
    job = order(bench.rows, bench.store, tiny_pipelines, picture())
    with worker(bench, stopping=lambda: True) as one:
        one.work()
    assert bench.rows.item(job.id, "", 0).attempts == 0


@pytest.mark.parametrize("error", [StoreAway(*NOWHERE), OSError(errno.ENOSPC, "full"), Stopping(*NOWHERE)])
def test_surroundings_are_no_fault_of_an_item(
    bench: Bench, tiny_pipelines: Path, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAUSE_S", 0.01)
    job = order(bench.rows, bench.store, tiny_pipelines, picture())
    with worker(bench, write_and(bench, error)) as one:
        for _ in range(5):
            one.work()
    item = bench.rows.item(job.id, "", 0)
    assert (item.state, item.attempts) == ("queued", 5)
    assert keys(bench, job.id) == ["0/input"]
    with worker(bench) as one:
        one.work()
    assert bench.rows.job(job.id, "").state == "succeeded"


def test_pauses_grow_and_end_with_success(
    bench: Bench, tiny_pipelines: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(module, "LONGEST_PAUSE_S", 0.05)
    monkeypatch.setattr(module.time, "sleep", slept.append)
    monkeypatch.setattr(module, "PAUSE_S", 0.02)
    order(bench.rows, bench.store, tiny_pipelines, picture())
    with (
        caplog.at_level(logging.WARNING, "breast_cascade"),
        worker(bench, write_and(bench, StoreAway(*NOWHERE))) as one,
    ):
        for _ in range(3):
            one.work()
    assert 0 < max(slept) <= 0.02
    assert [record.message for record in caplog.records] == ["worker_pauses"] * 3


def test_a_commit_that_is_not_answered_is_told_of_once(
    bench: Bench, tiny_pipelines: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "AGAIN_S", 0.01)
    job = order(bench.rows, bench.store, tiny_pipelines, picture())
    commit, refusals = type(bench.rows).commit, iter(range(5))

    def later(*given: Any) -> bool:
        if next(refusals, None) is not None:
            raise DatabaseAway(*NOWHERE)
        return commit(*given)

    monkeypatch.setattr(type(bench.rows), "commit", later)
    with worker(bench) as one:
        one.work()
    assert bench.rows.job(job.id, "").state == "succeeded"
    assert [record.message for record in caplog.records].count("commit_not_answered") == 1


@pytest.mark.parametrize("error", [LeaseLost(*NOWHERE), Cancelled(*NOWHERE)])
def test_item_that_is_lost_leaves_nothing(bench: Bench, tiny_pipelines: Path, error: Exception) -> None:
    job = order(bench.rows, bench.store, tiny_pipelines, picture())
    with worker(bench, write_and(bench, error)) as one:
        one.work()
    assert keys(bench, job.id) == ["0/input"]


def test_late_worker_changes_nothing(bench: Bench, tiny_pipelines: Path) -> None:
    """It was stopped for so long that another has done its item: what it writes then is removed."""
    job = order(bench.rows, bench.store, tiny_pipelines, picture())
    finished: list[list[str]] = []

    def run(claim: Claim, held: Held) -> Done | Failed:
        if claim.attempt == 1:
            bench.rows.bury("w")
            with worker(bench) as other:
                other.work()
            finished.append(keys(bench, job.id))
        return perform(bench, claim, ItemWatch(bench, claim))

    with worker(bench, run) as one:
        one.work()
    assert "0/2/answer.json" in finished[0]
    assert keys(bench, job.id) == finished[0]
    assert bench.rows.job(job.id, "").state == "succeeded"


@pytest.mark.parametrize("error", [RuntimeError("a bug"), MemoryError(), OSError("of a library")])
def test_crash_is_a_death_and_ends_the_process(bench: Bench, tiny_pipelines: Path, error: Exception) -> None:
    job = order(bench.rows, bench.store, tiny_pipelines, picture())
    with worker(bench, write_and(bench, error)) as one:
        for _ in range(4):
            with pytest.raises(Unwell, match=type(error).__name__):
                one.work()
    item = bench.rows.item(job.id, "", 0)
    assert item.state == "failed"
    assert item.problem is not None
    assert item.problem.code == "poisoned"


def test_after_three_deaths_an_item_runs_alone(bench: Bench, tiny_pipelines: Path) -> None:
    order(bench.rows, bench.store, tiny_pipelines, picture())
    alone: list[bool] = []

    def run(claim: Claim, held: Held) -> Done | Failed:
        alone.append(claim.alone)
        raise RuntimeError

    with worker(bench, run) as one:
        for _ in range(4):
            with pytest.raises(Unwell):
                one.work()
    assert alone == [False, False, False, True]


def test_worker_that_cannot_load_is_no_fault_of_an_item(bench: Bench, tiny_pipelines: Path) -> None:
    job = order(bench.rows, bench.store, tiny_pipelines, picture())
    with worker(bench, write_and(bench, SetupError(*NOWHERE))) as one:
        for _ in range(5):
            with pytest.raises(Unwell, match="setup_error"):
                one.work()
    assert bench.rows.item(job.id, "", 0).state == "queued"


def test_what_an_earlier_attempt_left_is_removed(bench: Bench, tiny_pipelines: Path) -> None:
    job = order(bench.rows, bench.store, tiny_pipelines, picture())
    with worker(bench, write_and(bench, RuntimeError())) as one, pytest.raises(Unwell):
        one.work()
    assert "0/1/half" in keys(bench, job.id)
    with worker(bench) as one:
        one.work()
    assert sorted(keys(bench, job.id)) == [
        "0/2/answer.json", "0/2/answer.mask.png", "0/2/timings.json", "0/input"
    ]  # fmt: skip


def test_erased_job_leaves_nothing(bench: Bench, tiny_pipelines: Path) -> None:
    job = order(bench.rows, bench.store, tiny_pipelines, picture())

    def run(claim: Claim, held: Held) -> Done | Failed:
        for key in bench.rows.erase(job.id, ""):
            bench.store.delete(key)
        return perform(bench, claim, ItemWatch(bench, claim))

    with worker(bench, run) as one:
        one.work()
    assert keys(bench, job.id) == []


def test_signal_that_ends_the_process_gives_the_item_back(bench: Bench, tiny_pipelines: Path) -> None:
    job = order(bench.rows, bench.store, tiny_pipelines, picture())
    with worker(bench, write_and(bench, SystemExit())) as one, pytest.raises(SystemExit):
        one.work()
    assert bench.rows.item(job.id, "", 0).state == "queued"
    assert keys(bench, job.id) == ["0/input"]
