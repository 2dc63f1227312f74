"""The Celery app of a worker process, and what happens when the worker starts and ends.

    python -m service.jobs                                                        as `serve` and containers start it
    python -m celery -A service.jobs.app worker --without-gossip --without-mingle   the same, by Celery's own command

Only worker processes import this module: it reads the environment.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from celery import signals

from service import log
from service.jobs import tasks
from service.jobs.broker import CALL, WAKE, worker_app
from service.jobs.machine import worker_name
from service.settings import read_settings

settings = read_settings()
name = worker_name()
app = worker_app(settings, name)
app.task(tasks.wake, name=WAKE)
app.task(tasks.call, name=CALL)


def _log(**_: Any) -> None:
    """Celery's own lines as JSON, too, warnings and worse."""
    log.to_stderr()
    for library in ("celery", "kombu"):
        logger = logging.getLogger(library)
        logger.handlers, logger.propagate = list(log.LOGGER.handlers), False
        logger.setLevel(logging.WARNING)


def _open(**_: Any) -> None:
    tasks.PROCESS.open(settings, name)


def _ready(**_: Any) -> None:
    tasks.PROCESS.idle()


def _close(**_: Any) -> None:
    tasks.PROCESS.close()


HANDLERS: dict[Any, Callable[..., None]] = {
    signals.setup_logging: _log,
    signals.worker_init: _open,
    signals.worker_ready: _ready,
    signals.worker_shutdown: _close,
}
for signal, handler in HANDLERS.items():
    signal.connect(handler, weak=False)
