"""Figures of jobs for Prometheus, read from the rows each time they are asked for: every API process tells the same.

Labels are device class, state, outcome and reason, all of a few fixed values: no job, owner, file or worker is named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import get_args

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from service.errors import CapacityError
from service.jobs.model import DeviceClass, Figures
from service.jobs.rows import Rows

CLASSES: tuple[DeviceClass, ...] = get_args(DeviceClass)
PREFIX = "breast_cascade_job"


class JobCollector(Collector):
    """Collects from ``rows()``, which is None as long as jobs are not open; blocks while it asks the database."""

    def __init__(self, rows: Callable[[], Rows | None]) -> None:
        self._rows = rows

    def collect(self) -> Iterator[Metric]:
        """All figures; where the database does not answer only that it does not."""
        found = self._found()
        answers = GaugeMetricFamily(f"{PREFIX}_database_up", "Whether the database of jobs answered, 1 or 0.")
        answers.add_metric([], float(found is not None))
        yield answers
        if found is not None:
            yield from _gauges(found)
            yield from _counters(found)

    def _found(self) -> tuple[Figures, ...] | None:
        rows = self._rows()
        try:
            return None if rows is None else tuple(rows.figures(one) for one in CLASSES)
        except CapacityError:
            return None


def _gauges(found: tuple[Figures, ...]) -> Iterator[Metric]:
    items = GaugeMetricFamily(f"{PREFIX}_items", "Items that wait or are worked on.", labels=("device", "state"))
    oldest = _gauge("oldest_waiting_seconds", "Age of the oldest job of which an item waits; 0 when none does.")
    workers = GaugeMetricFamily("breast_cascade_workers", "Workers known to the database.", labels=("device", "state"))
    told = _gauge("worker_last_seen_timestamp_seconds", "When any worker last told that it lives, by the database.")
    silence = _gauge("worker_longest_silence_seconds", "Since the most silent of the known workers last told so.")
    for one in found:
        device = one.device_class
        for state, count in (("queued", one.queued), ("running", one.running)):
            items.add_metric([device, state], count)
        for state, count in (("idle", one.idle), ("busy", one.busy)):
            workers.add_metric([device, state], count)
        oldest.add_metric([device], one.oldest_waiting_s)
        if one.last_told is not None:
            told.add_metric([device], one.last_told)
            silence.add_metric([device], one.longest_silence_s)
    yield from (items, oldest, workers, told, silence)


def _gauge(name: str, text: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"{PREFIX}_{name}", text, labels=("device",))


def _counters(found: tuple[Figures, ...]) -> Iterator[Metric]:
    ended = CounterMetricFamily(f"{PREFIX}_items_ended", "Items that ended.", labels=("device", "outcome"))
    attempts = CounterMetricFamily(f"{PREFIX}_attempts", "Times that a worker began an item.", labels=("device",))
    lost = CounterMetricFamily(
        f"{PREFIX}_attempts_lost", "Attempts whose worker died or let its lease expire.", labels=("device", "reason")
    )
    for one in found:
        device, count = one.device_class, one.tallies
        attempts.add_metric([device], count["attempts"])
        for outcome in ("succeeded", "failed", "cancelled"):
            ended.add_metric([device, outcome], count[outcome])
        for reason in ("lease_expired", "worker_died"):
            lost.add_metric([device, reason], count[reason])
    yield from (ended, attempts, lost)
