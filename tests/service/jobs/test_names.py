"""Names of workers: who has ended is told from who lives, and nobody is called dead who may live."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from service.jobs import names
from service.jobs.names import is_gone, name_of_this_process, runs_here
from service.jobs.reconcile import bury_gone
from service.jobs.rows import Rows
from tests.service.jobs.making import accepted, claimed

ROOT = Path(__file__).resolve().parents[3]
CODE = "from service.jobs.names import *; print(name_of_this_process('w'), flush=True); input()"


@contextmanager
def another() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process, and the name that it gave itself; it waits until it is killed."""
    with subprocess.Popen(
        [sys.executable, "-c", CODE], cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        yield process, process.stdout.readline().strip()
        process.kill()


def test_a_process_lives_until_it_is_killed() -> None:
    with another() as (process, name):
        assert (is_gone(name), runs_here(name)) == (False, True)
        process.send_signal(signal.SIGSTOP)
        assert (is_gone(name), runs_here(name)) == (False, True)
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert Path(f"/proc/{process.pid}").exists()  # dead, and not yet counted by its parent
        assert (is_gone(name), runs_here(name)) == (True, False)
        process.wait()
        assert (is_gone(name), runs_here(name)) == (True, False)


def test_this_process_lives_and_one_that_began_at_another_time_does_not() -> None:
    name = name_of_this_process("w")
    start = name.split("_")[2].split("-")[0]
    other = name.replace(f"_{start}-", f"_{int(start) + 1}-")
    assert [(is_gone(one), runs_here(one)) for one in (name, other)] == [(False, True), (True, False)]


@pytest.mark.parametrize("name", ["", "w", "w_1", "tests", "embedded_4194305_ab12cd34", "w_x_1-ab_c", "w_4194305_1-_c"])
def test_of_other_names_nothing_is_known(name: str) -> None:
    assert (is_gone(name), runs_here(name)) == (False, False)


def test_a_worker_of_another_pod_is_no_neighbour_though_its_name_begins_alike() -> None:
    """Long names of hosts are cut, and processes have the same numbers in every container."""
    name = name_of_this_process("w")
    elsewhere = name.replace(name.split("-")[-1].split("_")[0], "0123456789ab")
    assert (is_gone(elsewhere), runs_here(elsewhere)) == (False, False)


def test_on_another_host_in_another_container_or_before_a_restart_nothing_is_known(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with another() as (process, name):
        process.kill()
        process.wait()
        for attribute, value in (("BOOT", tmp_path / "boot"), ("PROCESSES", Path("/proc/self/ns/net"))):
            (tmp_path / "boot").write_text("another")
            with monkeypatch.context() as patch:
                patch.setattr(names, attribute, value)
                names._neighbours.cache_clear()
                assert not is_gone(name)
        names._neighbours.cache_clear()
        assert is_gone(name)


def test_where_the_kernel_tells_nothing_nobody_is_gone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(names, "BOOT", tmp_path / "hidden")
    names._neighbours.cache_clear()
    try:
        name = name_of_this_process("w")
        assert (is_gone(name), runs_here(name)) == (False, True)
        assert not is_gone(name.replace(str(os.getpid()), "4194305"))
    finally:
        names._neighbours.cache_clear()


def test_items_of_the_dead_are_freed_at_once(rows: Rows) -> None:
    job_id = accepted(rows, 2)
    with another() as (process, dead):
        for worker in (dead, name_of_this_process("w")):
            claimed(rows, worker)
            rows.beat(worker, "cpu", True, 0)
        assert bury_gone(rows) == []
        process.kill()
        process.wait()
        assert [one.worker for one in bury_gone(rows)] == [dead]
    assert [one.state for one in rows.items(job_id, "", 9, 0)] == ["queued", "running"]
    assert dead not in [one.worker for one in rows.workers()]
    assert bury_gone(rows) == []
