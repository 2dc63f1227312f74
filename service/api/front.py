"""The outermost layer: who may ask, what every answer carries, and nothing unexpected ever shown."""

from __future__ import annotations

import time

from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect, HTTPConnection
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api import problem
from service.api.access import OWNER, check_request
from service.api.runner import Abandoned
from service.api.state import Service, service_of
from service.errors import InputError
from service.log import event

_COMMON = "connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
PAGE_POLICY = f"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; {_COMMON}"
# Swagger UI draws its icons from data addresses and sets style attributes.
DOCS_POLICY = (
    f"default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; {_COMMON}"
)
# Nobody reads it: the number nginx gave to a client that hung up, for the figures.
CLIENT_GONE = 499


class Front:
    """ASGI around the whole app."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; other protocols pass through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(scope, send)
        try:
            exchange.admit()
            await self._app(exchange.scope, receive, exchange.send)
        except InputError as error:
            await exchange.answer(problem.of_error(error).response(), receive)
        except (ClientDisconnect, Abandoned):
            await exchange.answer(Response(status_code=CLIENT_GONE), receive)
        except Exception as error:  # the one place that may: the last before the network
            await exchange.answer(problem.of_unexpected(error).response(), receive)
        finally:
            exchange.log()


class _Exchange:
    """One request and its answer on their way through.

    HEAD is served as GET, its answer without the body: FastAPI's own routes know GET alone.
    """

    def __init__(self, scope: Scope, send: Send) -> None:
        self.service: Service = service_of(HTTPConnection(scope))
        self._method: str = scope["method"]
        self.scope = {**scope, "method": "GET"} if self._is_head else scope
        self._send = send
        self._status: int | None = None
        self._start = time.perf_counter()

    def admit(self) -> None:
        """Find out who asks. Raises InputError when nobody may who asks like this."""
        self.scope = {**self.scope, OWNER: check_request(self.scope, self.service.settings.access, self.service.keys)}

    async def send(self, message: Message) -> None:
        """Pass a message on, with the headers that every answer carries."""
        if message["type"] == "http.response.start":
            self._status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["X-Content-Type-Options"] = "nosniff"
            headers["Referrer-Policy"] = "no-referrer"
            headers["Cross-Origin-Resource-Policy"] = "same-origin"
            headers["Content-Security-Policy"] = DOCS_POLICY if self._in_docs() else PAGE_POLICY
            headers.setdefault("Cache-Control", "no-cache" if self._is_file() else "no-store")
        elif self._is_head:
            message = {**message, "body": b""}
        await self._send(message)

    async def answer(self, response: Response, receive: Receive) -> None:
        """Send a whole answer, unless one has begun already."""
        if self._status is None:
            await response(self.scope, receive, self.send)

    def log(self) -> None:
        """One line and one count. The route's template stands for the address, which may hold anything."""
        status, milliseconds = self._status or CLIENT_GONE, (time.perf_counter() - self._start) * 1000
        self.service.metrics.answered(self._route(), status)
        method = self._known_method()
        event("info", "request", method=method, route=self._route(), status=status, ms=round(milliseconds, 1))

    @property
    def _is_head(self) -> bool:
        return self._method == "HEAD"

    def _known_method(self) -> str:
        known = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH")
        return self._method if self._method in known else "other"

    def _route(self) -> str:
        return str(getattr(self.scope.get("route"), "path", "/static" if self._is_file() else "unmatched"))

    def _in_docs(self) -> bool:
        return bool(self.scope["path"].startswith("/docs"))

    def _is_file(self) -> bool:
        return bool(self.scope["path"].startswith(("/static/", "/docs")))
