"""A real server in a thread, and an engine that can be held up."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from service.api.app import create_app
from service.api.server import Server, listen, server_config
from service.api.state import Service
from service.decoding.pool import Decoders
from service.engine import Answer, Engine, Request
from service.image import Image
from service.settings import Settings
from service.watch import QUIET, Watch

PATIENCE_S = 20.0
# One pool for all servers of a test session: to start it takes as long as all the rest of a server.
DECODERS = Decoders()


@dataclass(frozen=True)
class Running:
    """One server, its state, a client of it and the thread it runs in."""

    client: httpx.Client
    service: Service
    server: Server
    thread: threading.Thread


@contextmanager
def serving(
    settings: Settings,
    engine: Any,
    *,
    ready: bool = True,
    failed: Any = lambda _: None,
    decoders: Decoders = DECODERS,
    host: str = "127.0.0.1",
    port: int = 0,
) -> Iterator[Running]:
    """A server on a free port, or ``port``, stopped afterwards. ``engine`` may be a callable that opens one."""
    opener = engine if callable(engine) else lambda _: engine
    app = create_app(settings, opener, failed, decoders)
    listener = listen(host, port)
    server = Server(server_config(app, settings), app.state.service)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    url = f"http://{host}:{listener.getsockname()[1]}"
    thread.start()
    try:
        with httpx.Client(base_url=url, timeout=PATIENCE_S, trust_env=False) as client:
            if ready:
                until(lambda: client.get("/health/ready").status_code == 200)
            yield Running(client, app.state.service, server, thread)
    finally:
        server.should_exit = True
        thread.join(PATIENCE_S)


def until(condition: Any) -> None:
    """Wait for ``condition()``; AssertionError when it does not come."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


class HeldEngine:
    """An engine whose answers wait until they are released."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.provider = engine.provider
        self.started = threading.Semaphore(0)
        self.release = threading.Event()
        self.calls = 0

    def pipelines(self) -> Any:
        return self._engine.pipelines()

    def pipeline(self, name: str, version: str | None = None) -> Any:
        return self._engine.pipeline(name, version)

    def raw_modalities(self, request: Request) -> Any:
        return self._engine.raw_modalities(request)

    def around(self, request: Request) -> int:
        return self._engine.around(request)

    def segment(self, image: Image, request: Request, watch: Watch = QUIET) -> Answer:
        self.calls += 1
        self.started.release()
        assert self.release.wait(PATIENCE_S)
        return self._engine.segment(image, request, watch)

    def wait_started(self) -> None:
        """Return once one more call has begun."""
        assert self.started.acquire(timeout=PATIENCE_S)
