"""What one running service holds: its engine once loaded, its slots, and whether it is still taking work."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

from starlette.requests import HTTPConnection

from service.answers import outputs
from service.api.keys import Keys
from service.api.metrics import Metrics
from service.api.runner import Runner
from service.decoding.pool import Decoders
from service.engine import Engine
from service.errors import CapacityError, Draining
from service.jobs.desk import Desk
from service.log import event
from service.settings import Settings

Opener = Callable[[Settings], Engine]


class Service:
    """The state behind all routes of one app.

    ``decoders`` given from outside are shared: they are not closed here. Raises SetupError for keys that
    cannot be read.
    """

    def __init__(self, settings: Settings, decoders: Decoders | None = None) -> None:
        self.settings = settings
        self.limits = settings.limits
        self.keys = Keys(settings.access_keys) if settings.access_keys else None
        self.runner = Runner(settings.slots, settings.queue_length)
        self.decoders = decoders or Decoders(settings.decoder_bounds)
        self._owns_decoders = decoders is None
        self.jobs: Desk | None = None
        self.metrics = Metrics(self.runner, lambda: self.jobs.rows if self.jobs else None)
        self.draining = False
        self._engine: Engine | None = None
        self._opening = threading.Lock()

    @property
    def loaded(self) -> Engine | None:
        """The engine, None before it is loaded and warm."""
        return self._engine

    @property
    def engine(self) -> Engine:
        """The engine. Raises Draining, or CapacityError with code ``starting``."""
        if self.draining:
            raise Draining("a service that is stopping", "a running one", "Send the request to another one, or later.")
        if self._engine is None:
            raise CapacityError(
                "a service that is still loading its pipelines", "a ready one", "Try again in a moment.", "starting"
            )
        return self._engine

    @property
    def desk(self) -> Desk:
        """Rows, files and workers of jobs. Raises CapacityError with code ``starting``."""
        if self.jobs is None:
            raise CapacityError("a service whose jobs are not open yet", "a ready one", "Try again.", "starting")
        return self.jobs

    async def load(self, opener: Opener) -> None:
        """Open all that is needed in threads of their own, so that the service can say meanwhile that it lives."""
        opened = asyncio.to_thread(opener, self.settings), asyncio.to_thread(self.decoders.start)
        engine, *_ = await asyncio.gather(*opened, asyncio.to_thread(outputs.warm), asyncio.to_thread(self._open_desk))
        self._engine = engine
        names = [f"{loaded.manifest.name}/{loaded.manifest.version}" for loaded in engine.pipelines()]
        event("info", "ready", pipelines=names, provider=engine.provider)

    def drain(self) -> None:
        """Refuse new work from now on."""
        if not self.draining:
            self.draining = True
            event("info", "draining", admitted=self.runner.admitted)
            if self.jobs is not None:
                self.jobs.drain()

    def _open_desk(self) -> None:
        with self._opening:
            # A service that was told to stop while it started has been closed before.
            if not self.draining:
                self.jobs = Desk(self.settings)

    def close(self) -> None:
        """End what runs beside this process, and take no more work."""
        self.drain()
        with self._opening:
            if self.jobs is not None:
                self.jobs.close()
        self.runner.close()
        if self._owns_decoders:
            self.decoders.close()


def open_engine(settings: Settings) -> Engine:
    """All pipelines that the settings name, checked and warm. Raises SetupError."""
    return Engine.open(settings.pipeline_roots, settings.device, settings.network_threads, settings.gpu_memory)


def service_of(connection: HTTPConnection) -> Service:
    """The state behind a request."""
    service: Service = connection.app.state.service
    return service
