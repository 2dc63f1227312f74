"""How Celery is set up, once for those who publish and those who work: JSON, ids, one message at a time, no results.

Messages are hints and may be lost or come twice; the truth lies in rows. Without Redis they are small files under the
data directory, through kombu's filesystem transport.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from celery import Celery
from kombu.entity import Exchange, Queue

from service.jobs.reconnect import Reconnect
from service.settings import Settings

NAME = "breast_cascade"
# Tasks by name: who publishes needs no code of them.
WAKE, CALL = f"{NAME}.wake", f"{NAME}.call"
EMBEDDED = "filesystem://localhost//"
# What every broker has: it takes a message to the queue of its routing key.
ANONYMOUS = Exchange("")  # type: ignore[no-untyped-call]
# Between two looks at the folder of messages.
POLLING_S = 0.05
# A hint that nobody acknowledged comes again after this many hard limits of one item.
PATIENCE = 2
# Longest that a publisher waits for the broker to take its connection, and for each answer.
ANSWER_WITHIN_S = 1.0


@dataclass(frozen=True)
class Folders:
    """Where the embedded broker keeps its messages.

    Attributes:
        root: all of it.
        inbox: messages that wait. Each appears there whole, by a rename.
        read: messages that were read, which nobody needs any more.
    """

    root: Path

    @property
    def inbox(self) -> Path:
        return self.root / "in"

    @property
    def read(self) -> Path:
        return self.root / "read"

    @property
    def control(self) -> Path:
        return self.root / "control"

    @property
    def outboxes(self) -> Path:
        """One folder for each publisher, in which it writes."""
        return self.root / "out"

    def outbox(self) -> Path:
        """A folder for one more publisher."""
        return self.outboxes / uuid.uuid4().hex

    def make(self, outbox: Path) -> None:
        """Create what is not there."""
        for folder in (self.inbox, self.read, self.control, outbox):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)


def folders_of(settings: Settings) -> Folders | None:
    """The embedded broker's; None with Redis."""
    return None if settings.broker_url else Folders(settings.data_dir.absolute() / "broker")


def own_queue(device_class: str, worker: str) -> str:
    """The queue that one worker alone listens to."""
    return f"{device_class}.{worker}"


def queue(name: str) -> Queue:
    """A queue that is found by its name alone: with no binding there is none that a broker's restart could lose."""
    return Queue(name, ANONYMOUS, name)  # type: ignore[no-untyped-call]


def worker_app(settings: Settings, worker: str) -> Celery:
    """The app of one worker: it listens to the queue of its device class and to its own."""
    folders = folders_of(settings)
    if folders:
        folders.make(folders.inbox)
    app = _app(settings, _transport(settings, folders.inbox if folders else None))
    # Else Celery binds each queue to one, and a binding outlives its worker.
    app.amqp.default_exchange = ANONYMOUS
    kind = settings.device_class
    app.steps["consumer"].add(Reconnect)
    app.conf.update(
        task_queues=[queue(kind), queue(own_queue(kind, worker))],
        task_default_queue=kind,
        worker_pool="solo",
        worker_concurrency=1,
        worker_prefetch_multiplier=1,
        # Celery's own soft shutdown sleeps in the one thread that a solo pool works in; the keeper does it instead.
        worker_soft_shutdown_timeout=0.0,
        worker_cancel_long_running_tasks_on_connection_loss=True,
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_proc_alive_timeout=60.0,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
    )
    return app


def publisher_app(settings: Settings, outbox: Path | None) -> Celery:
    """The app of one publisher: one try, no patience."""
    folders = folders_of(settings)
    if folders and outbox:
        folders.make(outbox)
    options = _transport(settings, outbox)
    if settings.broker_url:
        options |= {"socket_timeout": ANSWER_WITHIN_S, "socket_connect_timeout": ANSWER_WITHIN_S}
    app = _app(settings, options)
    app.conf.update(broker_connection_timeout=ANSWER_WITHIN_S, task_publish_retry=False)
    return app


def _app(settings: Settings, transport: dict[str, Any]) -> Celery:
    app = Celery(NAME, broker=settings.broker_url or EMBEDDED, set_as_current=False)
    visible = PATIENCE * settings.item_seconds
    app.conf.update(
        broker_transport_options={**transport, "visibility_timeout": visible},
        result_backend_transport_options={"visibility_timeout": visible},
        visibility_timeout=visible,
        result_backend=None,
        task_ignore_result=True,
        task_store_errors_even_if_ignored=False,
        task_serializer="json",
        accept_content=["json"],
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_acks_on_failure_or_timeout=True,
        task_create_missing_queues=True,
        task_default_delivery_mode="persistent",
        enable_utc=True,
    )
    return app


def _transport(settings: Settings, outbox: Path | None) -> dict[str, Any]:
    folders = folders_of(settings)
    if folders is None:
        return {"global_keyprefix": f"{NAME}:"}
    return {
        "data_folder_in": str(folders.inbox),
        "data_folder_out": str(outbox),
        "control_folder": str(folders.control),
        # Else a message that is read passes through the temporary folder, and stays there if its reader is killed.
        "store_processed": True,
        "processed_folder": str(folders.read),
        "polling_interval": POLLING_S,
    }
