"""Processes that find the same settings, and end with the one that started them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from service.jobs.launch import environment
from service.settings import PREFIX, Settings, read_settings
from tests.processes import gone
from tests.serving import until

ROOT = Path(__file__).resolve().parents[3]
CHILD = """
import os, time
from service.jobs.lifeline import die_with
die_with({})
print(os.getpid(), flush=True)
time.sleep(60)
"""
PARENT = f"""
import os, subprocess, sys, time
code = {CHILD!r}.format(os.getpid())
subprocess.Popen([sys.executable, "-c", code])
time.sleep(60)
"""


def test_another_process_reads_the_same_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(f"{PREFIX}SLOTS", "3")
    monkeypatch.setenv(f"{PREFIX}WORKER", "a name that is another's")
    given = Settings(data_dir=tmp_path, slots=5, broker_url="redis://:p@host/1", keep_bytes=7, lease_seconds=1.5)
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)
    told = environment(given)
    assert f"{PREFIX}WORKER" not in told
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    assert read_settings() == given


def test_child_dies_with_a_parent_that_is_killed() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, cwd=ROOT)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.send_signal(signal.SIGKILL)
    parent.communicate()
    until(lambda: gone(child))


def test_child_of_a_parent_that_is_gone_ends_at_once() -> None:
    done = subprocess.run([sys.executable, "-c", CHILD.format(1)], cwd=ROOT, timeout=60, stdout=subprocess.PIPE)
    assert (done.returncode, done.stdout) == (0, b"")


def test_command_says_what_is_wrong_with_a_setting(tmp_path: Path) -> None:
    variables = {**os.environ, f"{PREFIX}DATA_DIR": str(tmp_path), f"{PREFIX}DEVICE": "tpu"}
    done = subprocess.run([sys.executable, "-m", "service.jobs"], cwd=ROOT, env=variables, capture_output=True)
    assert done.returncode == 3
    assert b"The worker cannot start. Found BREAST_CASCADE_DEVICE='tpu'" in done.stderr
    assert b"Traceback" not in done.stderr
