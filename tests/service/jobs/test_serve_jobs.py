"""A real `serve` with its embedded worker, or with Redis and a worker beside it: items are done, whatever is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from sqlalchemy import select

from service.jobs import alive
from service.jobs.launch import environment
from service.jobs.rows import Rows
from service.jobs.store import Store, read
from service.jobs.tables import ITEMS
from service.settings import Settings
from tests.processes import Served, gone, served
from tests.service.jobs.brokers import Broker, redis_server
from tests.service.jobs.pictures import opened, order, picture, volume

FINAL = {"succeeded", "partial", "failed"}
FIELDS = {"threads": "1", "device": "cpu", "lease_seconds": "2", "slots": "1", "decoders": "1", "drain_timeout": "2"}
# A niced worker on a busy computer takes its time to start.
PATIENCE_S = 90.0
LONG = 6000


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


@contextmanager
def service(folder: Path, pipelines: Path, **settings: str) -> Iterator[tuple[Served, Rows, Store, Settings]]:
    """A service, and rows and store that it shares with this process."""
    fields = {**FIELDS, **settings}
    with served(folder, pipelines, **fields) as running:
        same = Settings.model_validate({"data_dir": folder / "data", "pipelines_dir": pipelines, **fields})
        database, rows, store = opened(same)
        try:
            yield running, rows, store, same
        finally:
            database.close()


@contextmanager
def worker(settings: Settings) -> Iterator[subprocess.Popen[bytes]]:
    """A worker process beside the service, killed in the end."""
    command = [sys.executable, "-m", "service.jobs"]
    with subprocess.Popen(command, env=environment(settings), stdout=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.kill()


def ended(rows: Rows, job_id: str) -> bool:
    return rows.job(job_id, "").state in FINAL


def contents(rows: Rows, store: Store, job_id: str) -> list[bytes]:
    """What every result file of a job holds, times of the run aside."""
    files = [file for item in rows.items(job_id, "", 100, 0) for file in item.files]
    return [read(store, file) for file in files if "timings" not in file.name]


def tidy(rows: Rows, store: Store, job_id: str) -> bool:
    """Whether the store holds what the job's rows name, and nothing else."""
    return {one.key for one in store.keys(f"jobs/{job_id}/")} == rows.known_keys_of(f"jobs/{job_id}/")


def half_done(rows: Rows, job_id: str) -> bool:
    """Whether its first item is in the middle of its slices."""
    item = rows.item(job_id, "", 0)
    return item.state == "running" and 0 < item.steps_done < item.steps_total


def worker_of(running: Served) -> int:
    """The embedded worker's process id, 0 while there is none."""
    for pid in running.pids:
        with suppress(OSError):
            if b"service.jobs\0--parent" in Path(f"/proc/{pid}/cmdline").read_bytes():
                return pid
    return 0


def test_embedded_worker_is_killed_in_the_middle_of_an_item(tmp_path: Path, tiny_pipelines: Path) -> None:
    with service(tmp_path, tiny_pipelines) as (running, rows, store, _):
        assert worker_of(running) == 0
        whole = order(rows, store, tiny_pipelines, volume(LONG), b"nothing", picture(30))
        until(lambda: ended(rows, whole.id))
        assert rows.job(whole.id, "").state == "partial"
        assert os.getpriority(os.PRIO_PROCESS, worker_of(running)) == 10
        job = order(rows, store, tiny_pipelines, volume(LONG), b"nothing", picture(30))
        until(lambda: half_done(rows, job.id))
        os.kill(worker_of(running), signal.SIGKILL)
        until(lambda: ended(rows, job.id))
        assert rows.item(job.id, "", 0).attempts == 2
        assert contents(rows, store, job.id) == contents(rows, store, whole.id) != []
        assert tidy(rows, store, job.id)
        assert [one.busy for one in rows.workers()] == [False]
        pids = running.pids
        running.process.terminate()
        assert running.process.wait(30) == 0
        assert rows.workers() == ()
    until(lambda: all(gone(pid) for pid in pids))


def test_service_is_killed_and_started_again(tmp_path: Path, tiny_pipelines: Path) -> None:
    # Longer than this test waits: the worker of the killed service is known to be gone before its lease runs out.
    shared = {"store_url": f"file://{tmp_path / 'data'}", "lease_seconds": "600"}
    with service(tmp_path / "first", tiny_pipelines, **shared) as (running, rows, store, settings):
        job = order(rows, store, tiny_pipelines, volume(LONG), picture())
        until(lambda: half_done(rows, job.id))
        pids = running.pids
        running.process.kill()
        running.process.wait()
        # The kernel ends the worker and its decoders with it.
        until(lambda: all(gone(pid) for pid in pids))
        [dead] = [one.worker for one in rows.workers()]
    with service(tmp_path / "second", tiny_pipelines, **shared, database_url=settings.jobs_database) as again:
        running, rows, store, _ = again
        until(lambda: ended(rows, job.id))
        assert rows.job(job.id, "").state == "succeeded"
        assert rows.item(job.id, "", 0).attempts == 2
        # The item is not to blame for it.
        with rows._database.read() as link:
            assert set(link.scalars(select(ITEMS.c.deaths))) == {0}
        assert tidy(rows, store, job.id)
        assert dead not in [one.worker for one in rows.workers()]
        assert '"event": "worker_gone"' in running.log.read_text()


def test_stopped_item_is_given_back(tmp_path: Path, tiny_pipelines: Path) -> None:
    with service(tmp_path, tiny_pipelines, drain_timeout="0") as (running, rows, store, _):
        job = order(rows, store, tiny_pipelines, volume(4 * LONG))
        until(lambda: half_done(rows, job.id))
        running.process.terminate()
        assert running.process.wait(30) == 0
        item = rows.item(job.id, "", 0)
        assert (item.state, item.attempts) == ("queued", 1)
        # No death was counted: another claim does not run alone, nor would it after three such stops.
        assert rows.reap() == 0


def test_redis_and_a_worker_of_its_own(tmp_path: Path, tiny_pipelines: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The check asks the worker itself, however lately it was heard of.
    monkeypatch.setattr(alive, "FRESH_S", 0)
    with (
        redis_server(tmp_path) as broker,
        service(tmp_path / "service", tiny_pipelines, broker_url=broker.url) as (running, rows, store, settings),
    ):
        with worker(settings) as process:
            until(rows.workers)
            assert alive.fault(settings) == ""
            _lose_everything(broker)
            job = order(rows, store, tiny_pipelines, volume(LONG), picture())
            until(lambda: half_done(rows, job.id))
            process.kill()
            process.wait()
            assert "Found no worker" in alive.fault(settings)
        with worker(settings) as process:
            until(lambda: ended(rows, job.id))
            assert rows.item(job.id, "", 0).attempts == 2
            assert tidy(rows, store, job.id)
            process.terminate()
            assert process.wait(30) == 0
        assert worker_of(running) == 0


def _lose_everything(broker: Broker) -> None:
    broker.stop()
    time.sleep(1)
    broker.start()
    broker.say("FLUSHALL")
