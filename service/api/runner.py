"""A bounded executor: a few slots, a counted waiting line, and an honest word on when to come back."""

from __future__ import annotations

import asyncio
import math
import statistics
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from service.errors import Busy, counted

Result = TypeVar("Result")

REMEMBERED = 32
# Before anything was measured.
FIRST_GUESS_S = 1.0
# No client is sent away for longer, however many were refused before it.
LONGEST_S = 60.0
PROMISES = 1024


class Abandoned(Exception):
    """Raised inside work whose client has gone away."""


class Ticket:
    """Handed to a piece of work so that it can ask, between two steps, whether anybody still wants it."""

    def __init__(self) -> None:
        self._abandoned = threading.Event()

    def abandon(self) -> None:
        """Nobody waits for this work any more."""
        self._abandoned.set()

    def check(self) -> None:
        """Raises Abandoned when nobody waits any more."""
        if self._abandoned.is_set():
            raise Abandoned


class Runner:
    """Runs blocking work in ``slots`` threads, lets ``waiting`` more stand in line and refuses the rest.

    Work that was abandoned in the line never starts; work that runs ends at its next check, and only then is its slot
    free: a thread cannot be stopped, and to count it as free would be a lie.
    """

    def __init__(self, slots: int, waiting: int) -> None:
        self._slots = slots
        self._places = slots + waiting
        self._pool = ThreadPoolExecutor(slots, thread_name_prefix="slot")
        self._seconds: deque[float] = deque(maxlen=REMEMBERED)
        self._promised: deque[float] = deque(maxlen=PROMISES)
        self._admitted = 0
        self._lock = threading.Lock()

    @property
    def admitted(self) -> int:
        """Pieces of work that run or wait."""
        return self._admitted

    @property
    def waiting(self) -> int:
        """Pieces of work that wait for a slot."""
        return max(0, self._admitted - self._slots)

    async def run(self, work: Callable[[Ticket], Result]) -> Result:
        """The result of ``work``. Raises Busy when slots and line are full. To cancel the task abandons the work."""
        ticket = Ticket()
        future = self._admit(work, ticket)
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            ticket.abandon()
            raise

    def check_room(self) -> None:
        """Raises Busy when slots and line are full: nobody should upload a picture only to be turned away."""
        with self._lock:
            if self._admitted >= self._places:
                raise self._busy()

    def close(self) -> None:
        """Take no more work. What runs runs on; what waits is dropped."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _admit(self, work: Callable[[Ticket], Result], ticket: Ticket) -> Future[Result]:
        with self._lock:
            if self._admitted >= self._places:
                raise self._busy()
            self._admitted += 1
        future = self._pool.submit(self._timed, work, ticket)
        future.add_done_callback(self._leave)
        return future

    def _timed(self, work: Callable[[Ticket], Result], ticket: Ticket) -> Result:
        start = time.monotonic()
        try:
            return work(ticket)
        finally:
            self._seconds.append(time.monotonic() - start)

    def _leave(self, _: Future[Any]) -> None:
        with self._lock:
            self._admitted -= 1

    def _busy(self) -> Busy:
        error = Busy(
            f"{counted(self._places, 'request')} running or waiting",
            f"fewer than {self._places}",
            "Send the same request again after the seconds in Retry-After.",
        )
        error.retry_after = math.ceil(self._until_free())
        return error

    def _until_free(self) -> float:
        """Seconds until there is a place for one more, at most LONGEST_S.

        Each caller turned away was promised a place of his own, so a crowd is told to come back one after another; the
        promises beyond LONGEST_S all fall on it, and of more than PROMISES the oldest are forgotten.
        """
        now = time.monotonic()
        while self._promised and self._promised[0] <= now:
            self._promised.popleft()
        each = statistics.median(self._seconds or [FIRST_GUESS_S]) / self._slots
        delay = min(LONGEST_S, each * (1 + len(self._promised)))
        self._promised.append(now + delay)
        return delay
