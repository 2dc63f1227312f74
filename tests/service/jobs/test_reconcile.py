"""What is brought in line every few seconds, on a database and a folder of messages."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import update

from service.engine import Engine
from service.jobs import reconcile as module
from service.jobs.owners import owners_folder
from service.jobs.perform import Bench
from service.jobs.publish import Courier
from service.jobs.reconcile import Reconcile, period, useful
from service.jobs.repeat import Repeated
from service.jobs.tables import WORKERS
from service.settings import Settings
from tests.service.jobs.benches import bench_over
from tests.service.jobs.making import new_items
from tests.service.jobs.pictures import new_job
from tests.serving import until


@pytest.fixture
def bench(sqlite_with_tables: Path, tmp_path: Path, tiny_engine: Engine) -> Iterator[Bench]:
    with bench_over(sqlite_with_tables, tmp_path, tiny_engine) as made:
        yield made


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path)


@pytest.fixture
def courier(settings: Settings) -> Iterator[Courier]:
    made = Courier(settings)
    yield made
    made.close()


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def reconcile(bench: Bench, settings: Settings, told: list[str]) -> Iterator[Reconcile]:
    made = Reconcile(bench.rows, Courier(settings), told.append, owners_folder(settings))
    yield made
    made.close()


def accept(bench: Bench, pipelines: Path, items: int) -> str:
    job = new_job(pipelines)
    return bench.rows.accept(job, new_items(job.id, items)).id


def test_one_hint_for_each_idle_worker_while_items_wait(
    bench: Bench, reconcile: Reconcile, courier: Courier, tiny_pipelines: Path, told: list[str]
) -> None:
    reconcile()
    accept(bench, tiny_pipelines, 10_000)
    reconcile()
    # Nobody is there to take a hint, but somebody is wanted.
    assert (courier.depth("cpu"), told) == (0, ["cpu"])
    for name, device_class, busy in (
        ("a", "cpu", False),
        ("b", "cpu", False),
        ("c", "cpu", True),
        ("d", "cuda", False),
    ):
        bench.rows.beat(name, device_class, busy, 0)
    start = time.monotonic()
    for _ in range(20):
        reconcile()
    assert time.monotonic() - start < 5
    assert (courier.depth("cpu"), courier.depth("cuda")) == (2, 0)
    assert set(told) == {"cpu"}
    assert (useful(bench.rows, "cpu"), useful(bench.rows, "cuda")) == (2, 0)


def test_no_more_hints_than_items(bench: Bench, reconcile: Reconcile, courier: Courier, tiny_pipelines: Path) -> None:
    for name in "abc":
        bench.rows.beat(name, "cpu", False, 0)
    accept(bench, tiny_pipelines, 1)
    reconcile()
    assert courier.depth("cpu") == 1


def test_leases_that_ran_out_are_freed(bench: Bench, reconcile: Reconcile, tiny_pipelines: Path) -> None:
    job_id = accept(bench, tiny_pipelines, 1)
    assert bench.rows.claim("dead", "cpu", 0.05)
    time.sleep(0.1)
    reconcile()
    assert bench.rows.item(job_id, "", 0).state == "queued"


def test_idle_workers_are_called_and_busy_ones_are_not(
    bench: Bench, reconcile: Reconcile, courier: Courier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CALL_EVERY_S", 0)
    bench.rows.beat("idle", "cpu", False, 0)
    bench.rows.beat("busy", "cpu", True, 0)
    for _ in range(3):
        reconcile()
    assert (courier.depth("cpu.idle"), courier.depth("cpu.busy")) == (1, 0)


def test_workers_silent_for_an_hour_are_given_up(
    bench: Bench, reconcile: Reconcile, courier: Courier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CALL_EVERY_S", 0)
    bench.rows.beat("gone", "cpu", False, 0)
    reconcile()
    with bench.rows._database.write() as link:
        link.execute(update(WORKERS).values(told=WORKERS.c.told - module.GIVEN_UP_S - 1))
    bench.rows.beat("here", "cpu", False, 0)
    reconcile()
    assert [one.worker for one in bench.rows.workers()] == ["here"]
    assert (courier.depth("cpu.gone"), courier.depth("cpu.here")) == (0, 1)


def test_a_call_to_one_that_ended_meanwhile_stays_in_no_queue(
    bench: Bench, reconcile: Reconcile, courier: Courier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CALL_EVERY_S", 0)
    bench.rows.beat("ends", "cpu", False, 0)
    reconcile()
    bench.rows.forget("ends")
    assert courier.depth("cpu.ends") == 1
    reconcile()
    assert courier.depth("cpu.ends") == 0


def test_one_process_at_a_time(bench: Bench, reconcile: Reconcile, settings: Settings, tiny_pipelines: Path) -> None:
    accept(bench, tiny_pipelines, 1)
    told: list[str] = []
    other = Reconcile(bench.rows, Courier(settings), told.append, owners_folder(settings))
    reconcile()
    other()
    assert told == []
    reconcile.close()
    other()
    assert told == ["cpu"]
    other.close()


def test_period_follows_a_short_lease() -> None:
    assert [period(lease) for lease in (15, 3, 1.5)] == [2.0, 1.0, 0.5]


def test_repeated_work_outlives_its_errors(caplog: pytest.LogCaptureFixture) -> None:
    rounds: list[int] = []

    def work() -> None:
        rounds.append(1)
        if len(rounds) < 4:
            raise OSError

    repeated = Repeated("round", 0.01, work)
    until(lambda: len(rounds) > 5)
    repeated.close(1)
    done = len(rounds)
    time.sleep(0.05)
    assert len(rounds) == done
    # Once for all rounds that failed in a row.
    assert [record.message for record in caplog.records] == ["round_failed"]
