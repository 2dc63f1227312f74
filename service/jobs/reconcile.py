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
from pathlib import Path
from typing import get_args

from service.jobs.model import DeviceClass, WorkerRow
from service.jobs.names import is_gone
from service.jobs.owners import laid_to_rest, orphans
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
# Labels of workers that another process owns.
OWNED = ("embedded_", "batch_")
CLASSES: tuple[DeviceClass, ...] = get_args(DeviceClass)


def bury_gone(rows: Rows) -> list[WorkerRow]:
    """Free the items of workers whose processes are surely gone, and forget these; which they were.

    Needs no lock: whoever comes second finds nothing. Raises CapacityError.
    """
    found = [one for one in rows.workers() if is_gone(one.worker)]
    for one in found:
        # The name of a worker that somebody owns is its owner's, with whom it died.
        owned = one.worker.startswith(OWNED)
        freed = rows.free(one.worker) if owned else rows.bury(one.worker)
        event("warning", "worker_gone", worker=one.worker, freed=freed)
    return found


def free_orphaned(rows: Rows, owners: Path) -> list[WorkerRow]:
    """The same of workers that died with who started them: their items are to blame for nothing."""
    orphaned = orphans(owners)
    found = [one for one in rows.workers() if one.worker in orphaned] if orphaned else []
    for worker in orphaned:
        event("warning", "worker_orphaned", worker=worker, freed=rows.free(worker))
        laid_to_rest(owners, worker)
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
        owners: folder of those who own workers on this disk.
    """

    def __init__(self, rows: Rows, courier: Courier, waiting: Callable[[DeviceClass], None], owners: Path) -> None:
        self._rows, self._courier, self._waiting, self._owners = rows, courier, waiting, owners
        self._holder = uuid.uuid4().hex
        self._called = 0.0
        # Workers that were called, while they are there.
        self._known: dict[str, DeviceClass] = {}

    def __call__(self) -> None:
        """One round, if no other process is at it. Raises CapacityError, OSError."""
        # Without the lock, which may be held elsewhere: only here can be seen who is gone here.
        for worker in (*free_orphaned(self._rows, self._owners), *bury_gone(self._rows)):
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
        self._drop_queues_of_the_gone(workers)
        for worker in workers:
            if worker.silent_s > GIVEN_UP_S:
                self._rows.forget(worker.worker)
                self._courier.drop(worker.device_class, worker.worker)
            elif not worker.busy:
                self._known[worker.worker] = worker.device_class
                self._courier.call(worker.device_class, worker.worker)

    def _drop_queues_of_the_gone(self, workers: tuple[WorkerRow, ...]) -> None:
        """A call may have been on its way while its worker ended as it should."""
        for name in self._known.keys() - {one.worker for one in workers}:
            self._courier.drop(self._known[name], name)
            del self._known[name]
