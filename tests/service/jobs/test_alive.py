"""The health check of a worker: work, or an answer to a message."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import update

from service.jobs import alive
from service.jobs.launch import environment
from service.jobs.machine import NAME, host_name, open_rows, worker_name
from service.jobs.rows import Rows
from service.jobs.tables import WORKERS
from service.settings import Settings

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path, device="cpu")


@pytest.fixture
def rows(settings: Settings) -> Iterator[Rows]:
    database, rows = open_rows(settings)
    yield rows
    database.close()


def silence(rows: Rows, seconds: float) -> None:
    """Everybody was last heard of so long ago."""
    with rows._database.write() as link:
        link.execute(update(WORKERS).values(told=WORKERS.c.told - seconds))


def test_name_is_new_each_time_and_fit_for_a_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(NAME, raising=False)
    one, two = worker_name(), worker_name()
    assert one != two
    assert one.startswith(f"{host_name()}_{os.getpid()}_")
    assert set(one) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
    monkeypatch.setenv(NAME, "given")
    assert worker_name() == "given"


def test_only_workers_that_run_here_count(settings: Settings, rows: Rows) -> None:
    rows.beat("elsewhere_1_ab", "cpu", False, 0)
    rows.beat(f"{host_name()}_4194305_ab", "cpu", False, 0)
    assert alive.fault(settings).startswith("Found no worker of this host")
    rows.beat(worker_name(), "cpu", False, 0)
    assert alive.fault(settings) == ""


def test_busy_worker_lives_by_its_lease(settings: Settings, rows: Rows) -> None:
    name = worker_name()
    rows.beat(name, "cpu", True, 0)
    silence(rows, 2 * settings.lease_seconds - 5)
    assert alive.fault(settings) == ""
    silence(rows, 6)
    assert f"{name} silent" in alive.fault(settings)


def test_idle_worker_that_takes_no_message_is_not_alive(
    settings: Settings, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alive, "ANSWER_WITHIN_S", 0.3)
    name = worker_name()
    rows.beat(name, "cpu", False, 0)
    silence(rows, 100)
    assert f"{name} silent" in alive.fault(settings)
    # It was called, and will show that it lives when it can.
    assert [path.name.partition(".")[2] for path in (settings.data_dir / "broker" / "in").iterdir()] == [
        f"cpu.{name}.msg"
    ]


def test_idle_worker_that_answers_is_alive(settings: Settings, rows: Rows) -> None:
    name = worker_name()
    rows.beat(name, "cpu", False, 0)
    silence(rows, 100)

    def answer() -> None:
        while not list((settings.data_dir / "broker" / "in").glob("*.msg")):
            time.sleep(0.01)
        rows.beat(name, "cpu", False, 0)

    (settings.data_dir / "broker" / "in").mkdir(parents=True)
    thread = threading.Thread(target=answer)
    thread.start()
    assert alive.fault(settings) == ""
    thread.join()


def test_command_has_a_status_and_a_reason(settings: Settings, rows: Rows) -> None:
    command = [sys.executable, "-m", "service.jobs.alive"]
    done = subprocess.run(command, cwd=ROOT, env=environment(settings), capture_output=True)
    assert done.returncode == 1
    assert done.stderr.startswith(b"Found no worker of this host")
    rows.beat(worker_name(), "cpu", False, 0)
    done = subprocess.run(command, cwd=ROOT, env=environment(settings), capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
    away = settings.model_copy(update={"database_url": "postgresql://127.0.0.1:1/none"})
    done = subprocess.run(command, cwd=ROOT, env=environment(away), capture_output=True)
    assert done.returncode == 1
    assert done.stderr.startswith(b"The check itself failed: Found")
