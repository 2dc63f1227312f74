"""Hints to workers that items wait: never more in a queue than somebody could use, and nobody ever waits for one."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from celery import Celery
from kombu.exceptions import KombuError

from service.jobs.broker import CALL, WAKE, Folders, folders_of, own_queue, publisher_app, queue
from service.jobs.model import DeviceClass
from service.log import event
from service.settings import Settings

# Longest wait for the publishing thread when the service stops.
CLOSE_WITHIN_S = 3.0


class Courier:
    """Takes messages to the broker, one try each; blocks for about a second at most. Not for two threads at once."""

    def __init__(self, settings: Settings) -> None:
        self._folders = folders_of(settings)
        self._outbox = self._folders.outbox() if self._folders else None
        self._app: Celery = publisher_app(settings, self._outbox)

    def hint(self, device_class: DeviceClass, most: int, job_id: str = "") -> int:
        """Bring the hints that wait for workers of a class up to ``most``; how many were sent. Raises OSError."""
        with self._channel() as channel:
            missing = max(0, most - _waiting(channel, device_class))
            for _ in range(missing):
                self._send(channel, WAKE, device_class, job_id)
        return missing

    def call(self, device_class: DeviceClass, worker: str) -> None:
        """Ask one worker to show that it takes messages, unless it has been asked already. Raises OSError."""
        name = own_queue(device_class, worker)
        with self._channel() as channel:
            if not _waiting(channel, name):
                self._send(channel, CALL, name)

    def depth(self, name: str) -> int:
        """Messages that wait in a queue. Raises OSError."""
        with self._channel() as channel:
            return _waiting(channel, name)

    def drop(self, device_class: DeviceClass, worker: str) -> None:
        """Remove the queue of a worker that is gone. Raises OSError."""
        with self._channel() as channel:
            channel.queue_purge(own_queue(device_class, worker))

    def close(self) -> None:
        """Leave nothing behind."""
        self._app.close()
        if self._outbox:
            shutil.rmtree(self._outbox, ignore_errors=True)

    @contextmanager
    def _channel(self) -> Iterator[Any]:
        # A connection of its own for each time: none is kept that a broker has forgotten.
        connection = self._app.connection_for_write()
        try:
            with _failing_as_os_error(connection), closing(connection):
                connection.ensure_connection(max_retries=0, reraise_as_library_errors=False)
                with closing(connection.channel()) as channel:
                    yield channel
        finally:
            self._deliver()

    def _send(self, channel: Any, task: str, name: str, *ids: str) -> None:
        producer = self._app.amqp.Producer(channel, auto_declare=False)
        self._app.send_task(task, args=[one for one in ids if one], queue=queue(name), producer=producer, retry=False)

    def _deliver(self) -> None:
        if self._folders and self._outbox:
            _move(self._outbox, self._folders)


def _move(outbox: Path, folders: Folders) -> None:
    """A reader must never see half a message: what was written elsewhere appears by a rename."""
    for path in outbox.iterdir():
        path.rename(folders.inbox / path.name)


def _waiting(channel: Any, name: str) -> int:
    return int(channel.queue_declare(queue=name).message_count)


@contextmanager
def _failing_as_os_error(connection: Any) -> Iterator[None]:
    try:
        yield
    except (*connection.connection_errors, *connection.channel_errors, KombuError) as error:
        if isinstance(error, OSError):
            raise
        raise ConnectionError(type(error).__name__) from error


class Publisher:
    """Publishes from a thread of its own. What could not be published is forgotten: reconcile sees to it."""

    def __init__(
        self,
        courier: Courier,
        wanted: Callable[[DeviceClass], None] = lambda _: None,
        useful: Callable[[DeviceClass], int] = lambda _: 1,
    ) -> None:
        """``wanted`` is called, at once, with the class that is woken; ``useful``, later, for how many could wake."""
        self._courier, self._called, self._useful = courier, wanted, useful
        self._wanted: dict[DeviceClass, str] = {}
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)
        self._thread.start()

    def wake(self, job_id: str, device_class: DeviceClass) -> None:
        """Let workers of a class know that items wait. Returns at once and never raises."""
        self._called(device_class)
        with self._changed:
            self._wanted[device_class] = job_id
            self._changed.notify()

    def close(self) -> None:
        """Publish no more."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(CLOSE_WITHIN_S)
        if not self._thread.is_alive():
            self._courier.close()

    def _run(self) -> None:
        while (wanted := self._next()) is not None:
            device_class, job_id = wanted
            with suppress(Exception):
                self._publish(device_class, job_id)

    def _next(self) -> tuple[DeviceClass, str] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._wanted or self._closed)
            return None if self._closed else self._wanted.popitem()

    def _publish(self, device_class: DeviceClass, job_id: str) -> None:
        try:
            self._courier.hint(device_class, max(1, self._useful(device_class)), job_id)
        except Exception as error:
            event("warning", "hint_not_published", kind=type(error).__name__)
