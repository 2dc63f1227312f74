"""Being told to end, at any moment."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from service.cli.signals import Told, heeding
from tests.processes import HEARING


def _told_twice(number: int) -> None:
    with heeding():
        try:
            signal.raise_signal(number)
        finally:
            # The second one finds it ending.
            signal.raise_signal(number)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_it_is_heeded_once(number: int, status: int) -> None:
    before = signal.signal(number, signal.SIG_DFL)
    try:
        with pytest.raises(Told) as caught:
            _told_twice(number)
        assert caught.value.status == status
        assert signal.getsignal(number) is signal.SIG_DFL
    finally:
        signal.signal(number, before)


def test_what_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with heeding():
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_other_threads_are_left_alone() -> None:
    failures: list[BaseException] = []

    def work() -> None:
        try:
            with heeding():
                pass
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert failures == []


def test_ctrl_c_while_it_starts_ends_it_without_a_word(tmp_path: Path) -> None:
    # A hook of the interpreter's own: it presses Ctrl-C in the middle of the imports.
    (tmp_path / "sitecustomize.py").write_text(PRESSES)
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{Path(__file__).parents[2]}"}
    command = [*HEARING, sys.executable, "-m", "service.cli", "--version"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


PRESSES = """
import os, signal, sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "service.cli.batch":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
"""
