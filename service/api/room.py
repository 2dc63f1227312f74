"""Back-pressure of jobs: how many items may wait, how full the disk may get, and when to come back."""

from __future__ import annotations

import math

from service.errors import DiskFull, QueueFull, TooLarge
from service.jobs.desk import Desk
from service.jobs.intake import IntakeLimits
from service.settings import Settings

# Over how many seconds the pace of the workers is measured: lately where they ended anything, else over longer.
LATELY_S, LONGER_S = 60.0, 900.0
LONGEST_S = 3600


class Room:
    """What room there is for new jobs. Every method asks the rows or the store and may block."""

    def __init__(self, desk: Desk, settings: Settings) -> None:
        self._desk, self._settings = desk, settings

    @property
    def limits(self) -> IntakeLimits:
        """Of one job."""
        return IntakeLimits(bytes=self._settings.max_job_bytes, item_bytes=self._settings.max_job_item_bytes)

    def check_line(self, more: int = 1) -> None:
        """Raises QueueFull when ``more`` items would not fit behind those that wait, TooLarge when they never will."""
        most = self._settings.max_waiting_items
        if more > most:
            raise TooLarge(f"a job of {more} items", f"at most {most}", "Send it in several jobs.", "too_many_files")
        waiting = self._desk.rows.waiting(self._desk.device_class)
        if waiting + more > most:
            raise QueueFull(
                f"{waiting} items of jobs waiting",
                f"at most {most - more} before this one",
                "Send the same request again after the seconds in Retry-After.",
                retry_after=self._until_free(waiting + more - most),
            )

    def check_disk(self, free: int | None, coming: int) -> None:
        """Raises DiskFull when ``coming`` bytes would leave less of ``free`` than the settings keep."""
        free = self._desk.store.free() if free is None else free
        kept = self._settings.min_free_bytes
        if free is not None and free - coming < kept:
            raise DiskFull(
                f"room for {max(0, free - kept)} more bytes of jobs",
                f"room for {coming}",
                "Come back later: finished jobs are erased when their time is over, or at once by DELETE.",
            )

    def _until_free(self, excess: int) -> int:
        """Whole seconds until so many items will have been taken out of the line, at the pace measured.

        Where nothing ended for long, no less than that can be expected.
        """
        for window in (LATELY_S, LONGER_S):
            finished = self._desk.rows.finished_within(self._desk.device_class, window)
            if finished:
                return max(1, min(LONGEST_S, math.ceil(excess * window / finished)))
        waited = self._desk.rows.figures(self._desk.device_class).oldest_waiting_s
        return max(QueueFull.retry_after, min(LONGEST_S, math.ceil(waited)))
