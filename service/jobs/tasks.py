"""The tasks behind the two messages: items wait; show that you take messages."""

from __future__ import annotations

from contextlib import ExitStack, closing, suppress

from celery.worker import state

from service.jobs.machine import open_worker
from service.jobs.publish import Courier
from service.jobs.warden import Warden
from service.jobs.worker import Unwell, Worker
from service.log import event
from service.settings import Settings

# What a worker process ends with that should be started anew.
UNWELL = 70


class Process:
    """The one worker of this process, opened by Celery's signals."""

    def __init__(self) -> None:
        self._closing = ExitStack()
        self._worker: Worker | None = None
        self._warden: Warden | None = None

    def open(self, settings: Settings, name: str) -> None:
        """Open rows and store; the engine waits for the first item. Raises SetupError."""
        # Called last, when nobody knows of this worker any more.
        self._closing.callback(drop_queue, settings, name)
        self._worker, self._warden = self._closing.enter_context(open_worker(settings, name, stopping))
        event("info", "worker_started", worker=name, device_class=settings.device_class)

    def work(self) -> None:
        """Do what waits; end this process, after what Celery has in hand, when it is unwell."""
        if self._worker is None:
            return
        try:
            self._worker.work()
        except Unwell as error:
            event("error", "worker_unwell", reason=str(error))
            state.should_stop = UNWELL

    def idle(self) -> None:
        """Tell that this worker takes messages and has nothing to do."""
        if self._warden is not None:
            self._warden.beat(busy=False)

    def close(self) -> None:
        """Forget the worker: it has ended as it should."""
        self._worker = self._warden = None
        self._closing.close()


def drop_queue(settings: Settings, name: str) -> None:
    """Leave no queue of a worker behind, as far as the broker can be told."""
    with closing(Courier(settings)) as courier, suppress(OSError):
        courier.drop(settings.device_class, name)


PROCESS = Process()


def stopping() -> bool:
    """Whether Celery was told to stop this process."""
    return any(flag is not None and flag is not False for flag in (state.should_stop, state.should_terminate))


def wake(job_id: str = "") -> None:
    """Items wait; not necessarily those of this job, for the next worker woken may be another."""
    PROCESS.work()


def call() -> None:
    """Show that this worker takes messages."""
    PROCESS.idle()
