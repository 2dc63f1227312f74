"""The worker that a service starts for itself: when needed, again when it ends, and gone with the service."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.jobs.alive import fault
from service.jobs.desk import Desk
from service.settings import Settings
from tests.processes import gone
from tests.service.jobs.pictures import order, picture
from tests.service.jobs.test_serve_jobs import ended, half_done, until, volume


@pytest.fixture
def settings(tmp_path: Path, tiny_pipelines: Path) -> Settings:
    return Settings(data_dir=tmp_path, pipelines_dir=tiny_pipelines, device="cpu", threads=2, lease_seconds=1)


@pytest.fixture
def desk(settings: Settings) -> Iterator[Desk]:
    made = Desk(settings)
    yield made
    made.close()


def test_frozen_worker_is_replaced(desk: Desk, tiny_pipelines: Path) -> None:
    assert desk.worker_pid is None
    job = order(desk.rows, desk.store, tiny_pipelines, volume(6000))
    desk.publisher.wake(job.id, desk.device_class)
    until(lambda: half_done(desk.rows, job.id))
    first = desk.worker_pid
    assert first
    os.kill(first, signal.SIGSTOP)
    until(lambda: ended(desk.rows, job.id))
    assert desk.worker_pid not in (None, first)
    assert gone(first)
    assert desk.rows.item(job.id, "", 0).attempts == 2


def test_no_worker_where_none_is_wanted(settings: Settings, tiny_pipelines: Path) -> None:
    desk = Desk(settings.model_copy(update={"workers_embedded": 0}))
    job = order(desk.rows, desk.store, tiny_pipelines, picture())
    desk.publisher.wake(job.id, "cpu")
    until(lambda: list((settings.data_dir / "broker" / "in").iterdir()))
    assert desk.worker_pid is None
    assert "Found no worker" in fault(settings)
    desk.close()


def test_jobs_of_another_class_want_no_worker(settings: Settings) -> None:
    desk = Desk(settings.model_copy(update={"jobs_device": "cuda"}))
    assert desk.device_class == "cuda"
    desk.publisher.wake("f00d", "cuda")
    desk.drain()
    assert desk.worker_pid is None
    desk.close()
