"""The web service: routes, state and lifespan put together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.staticfiles import StaticFiles

from service import __version__
from service.api import catalogue, documentation, jobs, segment
from service.api.front import Front
from service.api.problem import on_error
from service.api.state import Opener, Service, open_engine
from service.decoding.pool import Decoders
from service.errors import BreastCascadeError
from service.log import event
from service.settings import Settings, read_settings

DESCRIPTION = (
    "Outlines lesions and tissue in breast images in two stages: localise, then segment. "
    "**Research use only; not a medical device.**"
)
Failed = Callable[[BaseException], None]
Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def create_app(
    settings: Settings | None = None,
    opener: Opener = open_engine,
    failed: Failed = lambda _: None,
    decoders: Decoders | None = None,
) -> FastAPI:
    """The app. ``failed`` is called, on the event loop, with what kept the service from becoming ready.

    Several apps of one process may share ``decoders``; else the app has its own.
    """
    service = Service(settings or read_settings(), decoders)
    app = FastAPI(
        title="Breast Cascade",
        version=__version__,
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        lifespan=_lifespan(service, opener, failed),
        middleware=[Middleware(Front)],
        exception_handlers=dict.fromkeys((BreastCascadeError, HTTPException, RequestValidationError), on_error),
    )
    app.state.service = service
    for router in (segment.router, jobs.router, catalogue.router, catalogue.page, documentation.router):
        app.include_router(router)
    app.include_router(jobs.router, prefix="/v1", include_in_schema=False)
    app.mount("/static", StaticFiles(directory=catalogue.WEB), "static")
    return app


def _lifespan(service: Service, opener: Opener, failed: Failed) -> Lifespan:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None, None]:
        if service.settings.access == "off":
            event("warning", "access_off", meaning="everybody who reaches this port may use the service")
        loading = asyncio.create_task(service.load(opener))
        loading.add_done_callback(partial(_report, failed))
        try:
            yield
        finally:
            loading.cancel()
            await asyncio.to_thread(service.close)

    return lifespan


def _report(failed: Failed, loading: asyncio.Task[None]) -> None:
    error = None if loading.cancelled() else loading.exception()
    if error is not None:
        # The message names files, so it is for whoever started the service and not for the log.
        event("error", "load_failed", kind=type(error).__name__, code=getattr(error, "code", "internal_error"))
        failed(error)
