"""Brings rows, workers and messages in line every few seconds, in one API process at a time.

Any message may be lost and any worker die: here is where that is noticed. Items of workers that are gone are freed, and
those whose lease ran out; idle workers get a hint while items wait and are called else, so that one which takes no
messages is seen to be silent.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from typing import get_args

from service.jobs.model import DeviceClass, WorkerRow
from service.jobs.names import is_gone
from service.jobs.publish import Courier
from service.jobs.rows import Rows
from service.log import event

LOCK = "reconcile"
EVERY_S = 2.0
# The lock outlasts a few rounds that come late.
LOCKED_S = 10.0
CALL_EVERY_S = 10.0
# A worker silent for so long is given up, and its queue with it; should it live, it tells so by itself.
GIVEN_UP_S = 3600.0
CLASSES: tuple[DeviceClass, ...] = get_args(DeviceClass)


def bury_gone(rows: Rows) -> list[WorkerRow]:
    """Free the items of workers whose processes are surely gone, and forget these; which they were.

    Needs no lock: whoever comes second finds nothing. Raises CapacityError.
    """
    found = [one for one in rows.workers() if is_gone(one.worker)]
    for one in found:
        event("warning", "worker_gone", worker=one.worker, freed=rows.bury(one.worker))
    return found


def period(lease_s: float) -> float:
    """Seconds between two rounds: a fraction of a short lease, so that tests of it are quick."""
    return min(EVERY_S, lease_s / 3)


def useful(rows: Rows, device_class: DeviceClass) -> int:
    """Hints that could wake somebody now: one for each idle worker, and no more than items wait."""
    idle = sum(one.device_class == device_class and not one.busy for one in rows.workers())
    return min(idle, rows.waiting(device_class))


class Reconcile:
    """One round at each call.

    Args:
        rows: of the jobs.
        courier: brings messages.
        waiting: called with each class for which items wait.
    """

    def __init__(self, rows: Rows, courier: Courier, waiting: Callable[[DeviceClass], None]) -> None:
        self._rows, self._courier, self._waiting = rows, courier, waiting
        self._holder = uuid.uuid4().hex
        self._called = 0.0

    def __call__(self) -> None:
        """One round, if no other process is at it. Raises CapacityError, OSError."""
        # Without the lock, which may be held elsewhere: only here can be seen who is gone here.
        for worker in bury_gone(self._rows):
            with suppress(OSError):
                self._courier.drop(worker.device_class, worker.worker)
        if not self._rows.lock(LOCK, self._holder, LOCKED_S):
            return
        self._rows.reap()
        for device_class in CLASSES:
            self._hint(device_class)
        self._call(self._rows.workers())

    def close(self) -> None:
        """Let another process have its turn at once."""
        self._rows.unlock(LOCK, self._holder)
        self._courier.close()

    def _hint(self, device_class: DeviceClass) -> None:
        if not self._rows.waiting(device_class):
            return
        self._waiting(device_class)
        if most := useful(self._rows, device_class):
            self._courier.hint(device_class, most)

    def _call(self, workers: tuple[WorkerRow, ...]) -> None:
        now = time.monotonic()
        if now - self._called < CALL_EVERY_S:
            return
        self._called = now
        for worker in workers:
            if worker.silent_s > GIVEN_UP_S:
                self._rows.forget(worker.worker)
                self._courier.drop(worker.device_class, worker.worker)
            elif not worker.busy:
                self._courier.call(worker.device_class, worker.worker)
