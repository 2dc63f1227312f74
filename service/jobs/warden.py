"""Looks after the item in a worker's hands from a thread of its own: renews its lease, ends it in time, gives it back.

Two endings need no help from the work itself, which may hang in a library: past the hard limit of its item the process
exits and its lease runs out; told to stop, it first waits for the item, then gives it back and exits.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from service.errors import BreastCascadeError, Cancelled, CapacityError, LeaseLost
from service.jobs.model import Claim, DeviceClass
from service.jobs.rows import Rows
from service.log import event

TICK_S = 0.1
# Of a lease; two renewals may fail before it is over.
RENEW_AFTER = 1 / 3
# What ends a process that can no longer end itself: an item over its hard limit, an item given back on the way out.
OVER_LIMIT, GIVEN_BACK = 75, 0
# How long an item that was told to end may take to do so before its process exits without it.
LAST_WORDS_S = 2.0


class Stopping(BreastCascadeError):
    """The worker is told to stop, and its item has had its time: it goes back unharmed."""

    code = "stopping"


@dataclass
class Held:
    """An item in hand. ``ending`` is what its run must raise at the next step; ``late``: its lease was not renewed."""

    claim: Claim
    since: float = field(default_factory=time.monotonic)
    renewed: float = field(default_factory=time.monotonic)
    late: bool = False
    ending: BreastCascadeError | None = None

    def check(self) -> None:
        """Raises LeaseLost, Cancelled or Stopping when the item must not be worked on any more."""
        if self.ending is not None:
            raise self.ending


class Warden:
    """One for each worker process.

    Args:
        rows: where leases are renewed and this worker tells that it lives.
        worker: its name, unlike any other's, and the class of items it takes.
        lease_s: length of a lease, in seconds.
        grace_s: how long an item may go on once the worker is told to stop, in seconds.
        stopping: whether the worker is told to stop.
    """

    def __init__(
        self, rows: Rows, worker: tuple[str, DeviceClass], lease_s: float, grace_s: float, stopping: Callable[[], bool]
    ) -> None:
        self._rows = rows
        self._name, self._device_class = worker
        self._lease_s, self._grace_s = lease_s, grace_s
        self.stopping = stopping
        self._told_to_stop: float | None = None
        self._held: Held | None = None
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._busy = False
        # Items that this worker has ended.
        self.finished = 0
        self._thread = threading.Thread(target=self._run, name="warden", daemon=True)
        self._thread.start()

    def claimed(self) -> Claim | None:
        """The next item for this worker, if one waits."""
        return self._rows.claim(self._name, self._device_class, self._lease_s)

    @contextmanager
    def holding(self, claim: Claim) -> Iterator[Held]:
        """Renew the lease of an item while it is worked on."""
        held = Held(claim)
        with self._lock:
            self._held = held
        if not self._busy:
            self.beat(busy=True)
        try:
            yield held
        finally:
            with self._lock:
                self._held = None

    def beat(self, *, busy: bool) -> None:
        """Tell that this worker lives. Idle, it tells so only from the thread that takes messages."""
        self._busy = busy
        with suppress(CapacityError):
            self._rows.beat(self._name, self._device_class, busy, self.finished)

    def close(self) -> None:
        """Stop looking."""
        self._closed.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._closed.wait(TICK_S):
            with self._lock:
                if self._held is not None:
                    self._tick(self._held)

    def _tick(self, held: Held) -> None:
        try:
            self._look_after(held)
        except Exception as error:
            # Without this thread no lease is renewed and no limit holds: whatever went wrong, it looks again.
            if not held.late:
                event("error", "warden_stumbled", kind=type(error).__name__)
            held.late = True

    def _look_after(self, held: Held) -> None:
        now = time.monotonic()
        if now - held.since > held.claim.hard_limit_s:
            _exit("item_over_limit", OVER_LIMIT)
        self._mind_the_stop(held, now)
        if now - held.renewed >= self._lease_s * RENEW_AFTER:
            self._renew(held, now)

    def _mind_the_stop(self, held: Held, now: float) -> None:
        if self._told_to_stop is None:
            self._told_to_stop = now if self.stopping() else None
            return
        late = now - self._told_to_stop - self._grace_s
        if late > 0 and held.ending is None:
            held.ending = Stopping("a worker that is told to stop", "one that goes on", "Give the item back.")
        if late > LAST_WORDS_S:
            with suppress(CapacityError):
                self._rows.release(held.claim)
            _exit("item_given_back", GIVEN_BACK)

    def _renew(self, held: Held, now: float) -> None:
        try:
            self._rows.renew(held.claim, self._lease_s)
            self._rows.beat(self._name, self._device_class, True, self.finished)
            held.renewed, held.late = now, False
        except (LeaseLost, Cancelled) as error:
            held.ending = held.ending or error
        except CapacityError as error:
            # Not renewed: tried again at the next tick, for the lease may outlast what is wrong with the database.
            if not held.late:
                event("warning", "lease_not_renewed", code=error.code)
            held.late = True


def _exit(name: str, status: int) -> None:
    event("error" if status else "warning", name)
    os._exit(status)
