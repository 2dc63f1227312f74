"""The worker that `serve` starts for itself, as soon as an item waits, and watches until the service ends.

It is a child in a process group of its own, so that Ctrl-C in a terminal does not reach it, and the kernel kills it
when the service dies, however. When it ends or falls silent its items are freed at once and another one is started.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from service.errors import CapacityError
from service.jobs.launch import ONE_THREAD, environment
from service.jobs.machine import NAME
from service.jobs.names import name_of_this_process
from service.jobs.owners import Owned, owners_folder
from service.jobs.rows import Rows
from service.log import event
from service.settings import Settings

LOOK_EVERY_S = 0.2
ASK_EVERY_S = 1.0
# Rows are asked so often in a row: when a database comes back, they are old for a moment.
SILENT_ANSWERS = 3
# A request in the same moment comes first.
NICENESS = 10
# Until it first tells that it lives; imports take their time on a busy machine.
START_WITHIN_S = 180.0
# A busy worker tells that it lives with every renewal of its lease.
SILENT_LEASES = 2.0
# An idle one tells whenever it is called, which reconcile does every few seconds.
IDLE_SILENT_S = 60.0
# After it ended by itself the next one waits: at first not at all, then ever longer.
LONGEST_BACKOFF_S = 30.0
STEADY_S = 60.0
# Beyond the time that its item has when it is told to stop.
STOP_WITHIN_S = 10.0


class Embedded:
    """Starts and watches one worker process at a time, from a thread of its own.

    The thread lives as long as the worker may: the kernel counts a thread that ends as a parent that died.
    """

    def __init__(self, settings: Settings, rows: Rows) -> None:
        self._settings, self._rows = settings, rows
        self._needed, self._stop = threading.Event(), threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._name = ""
        self._owned: Owned | None = None
        self._started = 0.0
        self._asked, self._silences = 0.0, 0
        self._failures = 0
        self._thread = threading.Thread(target=self._run, name="embedded-worker", daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int | None:
        """Of the worker, None while there is none."""
        process = self._process
        return process.pid if process else None

    def need(self) -> None:
        """Items wait: have a worker from now on."""
        self._needed.set()

    def drain(self) -> None:
        """Tell the worker to stop, and start no other. Returns at once."""
        self._stop.set()
        self._needed.set()

    def close(self) -> None:
        """Stop the worker and wait for its end."""
        self.drain()
        self._thread.join()

    def _run(self) -> None:
        self._needed.wait()
        while not self._stop.is_set():
            if self._process is None:
                self._start()
            self._stop.wait(LOOK_EVERY_S)
            self._look()
        self._end()

    def _start(self) -> None:
        # Of this process: the worker dies with it.
        self._name = name_of_this_process("embedded")
        self._owned = Owned(owners_folder(self._settings), self._name)
        self._started = self._asked = time.monotonic()
        self._silences = 0
        command = [sys.executable, "-m", "service.jobs", f"--parent={os.getpid()}", f"--nice={NICENESS}"]
        self._process = subprocess.Popen(
            command,
            env=environment(self._settings) | ONE_THREAD | {NAME: self._name, "BREAST_CASCADE_THREADS": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            process_group=0,
        )
        event("info", "embedded_worker_started", worker=self._name)

    def _look(self) -> None:
        process = self._process
        if process is None:
            return
        if process.poll() is None and self._silent():
            event("error", "embedded_worker_silent", worker=self._name)
            process.kill()
            process.wait()
        if process.returncode is not None:
            self._ended(process.returncode)

    def _silent(self) -> bool:
        """Whether it shows no sign of life: stopped, or stuck in a place where no lease ends it."""
        now = time.monotonic()
        if now - self._asked > ASK_EVERY_S:
            self._asked = now
            with suppress(CapacityError):
                self._silences = self._silences + 1 if self._seems_silent(now) else 0
        return self._silences >= SILENT_ANSWERS

    def _seems_silent(self, now: float) -> bool:
        found = [one for one in self._rows.workers() if one.worker == self._name]
        if not found:
            return now - self._started > START_WITHIN_S
        patience = SILENT_LEASES * self._settings.lease_seconds if found[0].busy else IDLE_SILENT_S
        return found[0].silent_s > patience

    def _ended(self, status: int) -> None:
        event("error", "embedded_worker_ended", worker=self._name, status=status)
        self._process = None
        self._see_to_what_it_left(self._rows.bury)
        self._failures = 0 if time.monotonic() - self._started > STEADY_S else self._failures + 1
        if self._failures > 1:
            self._stop.wait(min(LONGEST_BACKOFF_S, 2.0 ** (self._failures - 2)))

    def _see_to_what_it_left(self, by: Callable[[str], int]) -> None:
        # Where this fails its leases run out.
        with suppress(CapacityError):
            by(self._name)
        if self._owned:
            self._owned.close()

    def _end(self) -> None:
        process = self._process
        if process is None:
            return
        process.terminate()
        killed = False
        try:
            process.wait(self._settings.drain_timeout + STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            killed = True
            process.kill()
            process.wait()
        self._process = None
        # Its item is not to blame that there was no time left.
        self._see_to_what_it_left(self._rows.free if killed else self._rows.bury)
