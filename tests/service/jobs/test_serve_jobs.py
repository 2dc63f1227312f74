"""A real `serve` with its embedded worker, and one with Redis and a worker beside it: items are done, whatever is killed."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from service.jobs.rows import Rows
from service.jobs.store import Store, read
from service.settings import Settings
from tests.processes import Served, gone, served
from tests.service.jobs.pictures import opened, order, picture
from tests.serving import until

LEASE = 2.0
FINAL = {"succeeded", "partial", "failed"}
OTHER = {"threads": "1", "device": "cpu", "lease_seconds": str(LEASE), "slots": "1", "decoders": "1"}


@contextmanager
def service(folder: Path, pipelines: Path, **settings: str) -> Iterator[tuple[Served, Rows, Store, Settings]]:
    """A service, and rows and store that it shares with this process."""
    with served(folder, pipelines, **OTHER, **settings) as running:
        same = Settings(data_dir=folder / "data", pipelines_dir=pipelines, **{**OTHER, **settings})
        database, rows, store = opened(same)
        try:
            yield running, rows, store, same
        finally:
            database.close()


def ended(rows: Rows, job_id: str) -> bool:
    return rows.job(job_id, "").state in FINAL


def contents(rows: Rows, store: Store, job_id: str) -> list[bytes]:
    """What every result file of a job holds, times of the run aside."""
    files = [file for item in rows.items(job_id, "", 100, 0) for file in item.files]
    return [read(store, file) for file in files if "timings" not in file.name]


def worker_of(running: Served) -> int:
    """The embedded worker's process id."""
    for pid in running.pids:
        if b"service.jobs" in Path(f"/proc/{pid}/cmdline").read_bytes():
            return pid
    return 0


def test_embedded(tmp_path: Path, tiny_pipelines: Path) -> None:
    with service(tmp_path, tiny_pipelines) as (running, rows, store, _):
        assert worker_of(running) == 0
        job = order(rows, store, tiny_pipelines, picture(), b"nothing", picture(30))
        until(lambda: ended(rows, job.id))
        assert rows.job(job.id, "").state == "partial"
        first = contents(rows, store, job.id)
        assert len(first) == 4
        worker = worker_of(running)
        os.kill(worker, signal.SIGKILL)
        again = order(rows, store, tiny_pipelines, picture(), b"nothing", picture(30))
        until(lambda: ended(rows, again.id))
        assert contents(rows, store, again.id) == first
        pids = running.pids
        running.process.terminate()
        running.process.wait(20)
    print([(p, Path(f"/proc/{p}/status").read_text().splitlines()[:7]) for p in pids if not gone(p)])
    assert all(gone(pid) for pid in pids)
    assert not list((tmp_path / "data" / "broker" / "in").iterdir())
