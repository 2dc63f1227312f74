"""Figures for Prometheus: requests by route and status, where their time went, how full the line is, how jobs stand."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from service.answers.clock import Clock
from service.api.job_metrics import JobCollector
from service.api.runner import Runner
from service.jobs.rows import Rows

PARTS = ("queue", "decode", "stages", "encode")
BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """The figures of one app, in a registry of their own.

    Args:
        runner: of its requests.
        rows: of its jobs, None as long as they are not open.
    """

    def __init__(self, runner: Runner, rows: Callable[[], Rows | None] = lambda: None) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(JobCollector(rows))
        self._requests = Counter(
            "breast_cascade_requests", "Answers by route and status.", ("route", "status"), registry=self._registry
        )
        self._seconds = Histogram(
            "breast_cascade_segment_seconds",
            "Where the time of POST /segment went.",
            ("part",),
            buckets=BUCKETS_S,
            registry=self._registry,
        )
        self._gauge("breast_cascade_admitted", "Requests that run or wait.").set_function(lambda: runner.admitted)
        self._gauge("breast_cascade_waiting", "Requests that wait for a slot.").set_function(lambda: runner.waiting)

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(name, text, registry=self._registry)

    def answered(self, route: str, status: int) -> None:
        """Count one answer."""
        self._requests.labels(route, str(status)).inc()

    def segmented(self, clock: Clock) -> None:
        """Count where the time of one segmentation went."""
        for part in PARTS:
            self._seconds.labels(part).observe(clock[part] / 1000)

    def text(self) -> bytes:
        """All figures in Prometheus' text format; asks the database of jobs."""
        return generate_latest(self._registry)
