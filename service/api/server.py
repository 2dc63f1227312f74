"""One process that listens: uvicorn, which first refuses new work and then waits for what it has begun."""

from __future__ import annotations

import gc
import math
import socket
import time
from collections.abc import Callable
from types import FrameType

import uvicorn

from service.api.access import check_address
from service.api.app import create_app
from service.api.state import Service, open_engine
from service.engine import Engine
from service.errors import SetupError
from service.settings import Settings

BACKLOG = 2048


class Server(uvicorn.Server):
    """Stops in two steps: told to stop, it drains; once idle, or after the drain timeout, it exits."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service
        self._deadline = math.inf

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal drains, the second stops at once."""
        if self._service.draining:
            self.should_exit = self.force_exit = True
            return
        self._service.drain()
        self._deadline = time.monotonic() + self._service.settings.drain_timeout

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second: whether to leave the main loop."""
        if self._service.draining and (self._service.runner.admitted == 0 or time.monotonic() > self._deadline):
            self.should_exit = True
        return await super().on_tick(counter)


def _opened(settings: Settings) -> Engine:
    """The engine; what lives by then lives as long as the process."""
    engine = open_engine(settings)
    # Else the collector looks at all of it now and then, and every request waits for a tenth of a second.
    gc.collect()
    gc.freeze()
    return engine


def serve(settings: Settings, host: str, port: int, announce: Callable[[str], None]) -> None:
    """Listen until told to stop; ``announce`` gets the address once it is taken. Port 0 means a free one.

    Raises SetupError when the address must not or cannot be taken, or a pipeline cannot be loaded.
    """
    failures: list[BaseException] = []

    def failed(error: BaseException) -> None:
        failures.append(error)
        server.should_exit = True

    app = create_app(settings, _opened, failed)
    check_address(host, settings.access, app.state.service.keys)
    listener = listen(host, port)
    server = Server(server_config(app, settings), app.state.service)
    announce(_url(host, listener.getsockname()[1]))
    server.run(sockets=[listener])
    if failures:
        raise failures[0]


def server_config(app: object, settings: Settings) -> uvicorn.Config:
    """How uvicorn runs the app."""
    return uvicorn.Config(
        app,  # type: ignore[arg-type]
        # Addresses of clients come from the socket alone; our own log lines hold no query and no file name.
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_config=None,
        lifespan="on",
        ws="none",
        timeout_graceful_shutdown=math.ceil(settings.drain_timeout),
    )


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one. Raises SetupError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise SetupError(
            f"address {host} port {port}, which cannot be taken ({error.strerror})",
            "a free port of this computer",
            "Choose another --port (0 finds a free one), or stop what holds it.",
            "address_in_use",
        ) from error


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
