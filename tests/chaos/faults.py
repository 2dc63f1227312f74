"""What can happen to a house, drawn at random."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress

from tests.chaos.house import House
from tests.service.jobs.brokers import Broker

# How long something is away or stopped, in seconds: some are shorter than a lease, some longer.
AWAY = (0.5, 8.0)


class Faults:
    """Strikes a house; what was stopped or taken away comes back after a while."""

    def __init__(self, house: House, broker: Broker | None, chance: random.Random) -> None:
        self._house, self._broker, self.chance = house, broker, chance
        self._mending: list[tuple[float, Callable[[], None]]] = []
        self.done: list[str] = []

    def strike(self) -> None:
        """One fault."""
        kinds: list[Callable[[], bool]] = [self.worker_killed] * 4 + [self.worker_stopped] * 2 + [self.web_killed]
        if self._broker is not None:
            kinds += [self.broker_restarted, self.broker_flushed, self.broker_away]
        kind = self.chance.choice(kinds)
        if kind():
            self.done.append(kind.__name__)

    def mend_during(self, seconds: float, step: float) -> None:
        """Let time pass: replace the dead, bring back what has been away for long enough."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._mend(time.monotonic())
            self._house.man()
            time.sleep(step)

    def mend_all(self) -> None:
        """Bring everything back."""
        self._mend(float("inf"))
        self._house.man()

    def worker_killed(self) -> bool:
        """SIGKILL of one of the workers."""
        return self._signalled(signal.SIGKILL) != 0

    def worker_stopped(self) -> bool:
        """SIGSTOP of one of the workers, for longer or shorter than its lease."""
        pid = self._signalled(signal.SIGSTOP)
        self._later(lambda: _signal(pid, signal.SIGCONT))
        return pid != 0

    def web_killed(self) -> bool:
        """SIGKILL of the web process, and its worker with it where it has one; started again."""
        self._house.kill_web()
        self._house.open()
        return True

    def broker_restarted(self) -> bool:
        """All messages and connections are gone."""
        return self._taken_away() and self._brought_back()

    def broker_flushed(self) -> bool:
        """All messages are gone."""
        if self._broker is None or self._broker.process is None:
            return False
        self._broker.say("FLUSHALL")
        return True

    def broker_away(self) -> bool:
        """Nobody can be told anything for a while."""
        if not self._taken_away():
            return False
        self._later(lambda: self._brought_back() and None)
        return True

    def _signalled(self, number: int) -> int:
        """One that takes messages: to strike while it starts would show nothing. 0: there is none."""
        if not self._house.rows.workers():
            return 0
        pids = [one.pid for one in self._house.crew if one.poll() is None] or [self._house.worker_pid()]
        pid = self.chance.choice(pids)
        return pid if pid and _signal(pid, number) else 0

    def _taken_away(self) -> bool:
        if self._broker is None or self._broker.process is None:
            return False
        self._broker.stop()
        return True

    def _brought_back(self) -> bool:
        if self._broker is not None and self._broker.process is None:
            self._broker.start()
        return True

    def _later(self, work: Callable[[], object]) -> None:
        self._mending.append((time.monotonic() + self.chance.uniform(*AWAY), lambda: work() and None))

    def _mend(self, now: float) -> None:
        due = [work for when, work in self._mending if when <= now]
        self._mending = [(when, work) for when, work in self._mending if when > now]
        for work in due:
            work()


def _signal(pid: int, number: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
        return True
    return False
