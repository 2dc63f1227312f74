"""A worker process that must not go on ends with a status of its own, and its item is as it was."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from celery.worker import state

from service.jobs.launch import environment
from service.jobs.publish import Courier
from service.jobs.tasks import UNWELL, Process, stopping
from service.settings import Settings
from tests.service.jobs.pictures import opened, order, picture

PATIENCE_S = 90


def test_worker_without_its_pipelines_ends(tmp_path: Path, tiny_pipelines: Path) -> None:
    settings = Settings(data_dir=tmp_path, pipelines_dir=tmp_path / "nowhere", device="cpu")
    database, rows, store = opened(settings)
    job = order(rows, store, tiny_pipelines, picture())
    courier = Courier(settings)
    courier.hint("cpu", 1)
    command = [sys.executable, "-m", "service.jobs"]
    done = subprocess.run(command, env=environment(settings), capture_output=True, timeout=PATIENCE_S)
    assert done.returncode == UNWELL
    assert b"worker_unwell" in done.stderr
    assert rows.item(job.id, "", 0).state == "queued"
    assert rows.workers() == ()
    courier.close()
    database.close()


def test_celery_says_when_to_stop() -> None:
    assert not stopping()
    for flag in ("should_stop", "should_terminate"):
        for value in (0, 1, True):
            setattr(state, flag, value)
            assert stopping()
        setattr(state, flag, None)
    assert not stopping()


def test_process_without_a_worker_does_nothing() -> None:
    process = Process()
    process.work()
    process.idle()
    process.close()
