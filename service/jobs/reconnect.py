"""Mends a worker that takes no more messages because it could not acknowledge its last one.

When Redis is away in the moment an item ends, Celery logs that and goes on. The message then counts as being worked on
for ever, so that the worker, which may have one in hand, never asks for the next: it lives, and does nothing.
"""

from __future__ import annotations

from typing import Any

from celery import bootsteps

LOOK_EVERY_S = 1.0


class Reconnect(bootsteps.StartStopStep):  # type: ignore[misc]
    """A step of Celery's consumer, as its documentation wants steps to be written."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def start(self, consumer: Any) -> None:
        """Look every second, from now until the connection ends."""
        # The embedded broker's loop has no timer, and no connection that could break.
        if consumer.hub is not None:
            self._timer = consumer.timer.call_repeatedly(LOOK_EVERY_S, _check, (consumer,))

    def stop(self, consumer: Any) -> None:
        """Look no more."""
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    _timer: Any = None


def _check(consumer: Any) -> None:
    """Raises ConnectionError, at which the consumer connects anew, where a message is in hand and no task runs.

    With a solo pool none can run now: timers have their turn in the thread that runs tasks.
    """
    if not consumer.task_consumer.channel.qos.can_consume():
        raise ConnectionError("a message that could not be acknowledged")
