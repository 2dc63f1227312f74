"""The time of a stage, over all the processes that worked on it."""

from __future__ import annotations

import time

from service.checkpoint import Progress
from service.frame import Meter


class Stopwatch:
    """Times a stage over all the processes that worked on it."""

    def __init__(self, meter: Meter, now: Progress) -> None:
        self._meter, self._now = meter, now
        self._start = time.perf_counter() - now.seconds
        self._runs, self._network = meter.runs - now.runs, meter.seconds - now.network_seconds

    def noted(self) -> Progress:
        """The progress, with the time until now."""
        self._now.seconds = time.perf_counter() - self._start
        self._now.runs, self._now.network_seconds = self._meter.runs - self._runs, self._meter.seconds - self._network
        return self._now
