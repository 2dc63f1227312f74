"""What one worker process is made of, opened from its settings."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache

from service.decoding.pool import Decoders
from service.engine import Engine
from service.errors import CapacityError
from service.jobs import alone
from service.jobs.database import Database
from service.jobs.model import Claim, Done, Failed
from service.jobs.names import name_of_this_process
from service.jobs.perform import Bench, ItemWatch, perform
from service.jobs.rows import Rows
from service.jobs.store import open_store
from service.jobs.warden import Held, Warden
from service.jobs.worker import Worker
from service.settings import Settings

DAY_S = 86400.0
# Its own name for a worker process, where whoever started it must know it.
NAME = "BREAST_CASCADE_WORKER"


def open_rows(settings: Settings) -> tuple[Database, Rows]:
    """The database, brought to this version, and its rows. Raises SetupError, DatabaseAway."""
    database = Database.open(settings.jobs_database)
    database.upgrade()
    return database, Rows(database, item_seconds=settings.item_seconds, keep_seconds=settings.keep_days * DAY_S)


@contextmanager
def open_bench(settings: Settings) -> Iterator[Bench]:
    """What items are worked on with. The engine and the decoder are started when first needed. Raises SetupError."""
    database, rows = open_rows(settings)
    decoders = Decoders(settings.job_decoder_bounds)

    @cache
    def engine() -> Engine:
        return Engine.open(settings.pipeline_roots, settings.device, settings.network_threads, settings.gpu_memory)

    try:
        yield Bench(rows, open_store(settings.jobs_store), engine, decoders, settings.job_limits)
    finally:
        decoders.close()
        database.close()


@contextmanager
def open_worker(settings: Settings, name: str, stopping: Callable[[], bool]) -> Iterator[tuple[Worker, Warden]]:
    """The worker of this process and who looks after its item; forgotten in the end. Raises SetupError."""

    def run(claim: Claim, held: Held) -> Done | Failed:
        if claim.alone:
            return alone.run(settings, claim, held)
        return perform(bench, claim, ItemWatch(bench, claim, held.check))

    with open_bench(settings) as bench:
        worker = (name, settings.device_class)
        warden = Warden(bench.rows, worker, settings.lease_seconds, settings.drain_timeout, stopping)
        try:
            yield Worker(bench, run, warden), warden
        finally:
            warden.close()
            with suppress(CapacityError):
                bench.rows.forget(name)


def worker_name() -> str:
    """Of this process: given by who started it, else made of host and process id. Never the same twice."""
    return os.environ.get(NAME) or name_of_this_process(host_name())


def host_name() -> str:
    """Of this computer or container, in characters that any queue may have in its name."""
    return re.sub(r"[^A-Za-z0-9-]", "-", socket.gethostname())[:24]
