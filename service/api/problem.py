"""Errors to RFC 9457 problem details. The core knows no HTTP; this is where its classes get their statuses."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from http import HTTPStatus

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match

from service.api.schemas import ProblemBody
from service.errors import (
    BadParameter,
    BreastCascadeError,
    CapacityError,
    Conflict,
    DiskFull,
    Draining,
    InputError,
    QueueFull,
    TooLarge,
    UnknownFormat,
    UnknownJob,
    UnknownPipeline,
)
from service.log import event

MEDIA_TYPE = "application/problem+json"
TYPE = "urn:breast-cascade:problem:{code}"

# Looked up along the error's own line of descent, so a new subclass needs no entry here.
_BY_CLASS: dict[type[BaseException], tuple[int, str]] = {
    BreastCascadeError: (500, "The service failed"),
    InputError: (422, "The input cannot be used"),
    BadParameter: (422, "A parameter cannot be served"),
    TooLarge: (413, "The input is too large"),
    UnknownFormat: (415, "The format is not read here"),
    UnknownPipeline: (404, "No such pipeline, version or stage"),
    UnknownJob: (404, "No such job or item"),
    Conflict: (409, "The job does not stand like that"),
    CapacityError: (503, "The service cannot take this now"),
    QueueFull: (429, "Too many items wait"),
    DiskFull: (507, "No room on the disk"),
    Draining: (503, "The service is stopping"),
}
# Where one class covers what HTTP tells apart.
_BY_CODE: dict[str, tuple[int, str]] = {
    "idempotency_mismatch": (422, "Not the same request"),
    "results_expired": (410, "The job's time is over"),
    "busy": (429, "The waiting line is full"),
    "upload_timeout": (408, "The upload stopped"),
    "not_acceptable": (406, "No such answer format"),
    "forbidden_origin": (403, "Not from here"),
    "unauthorized": (401, "Not allowed"),
}
# What the router refuses by itself: found, wanted, remedy.
_BY_STATUS = {
    404: ("no resource at this address", "an address of this service", "See /docs for all of them."),
    405: ("a method this address does not know", "one that it knows", "See /docs for what each address does."),
}
_ELSE = ("a request that cannot be served", "a well-formed request", "See /docs for the contract.")


@dataclass(frozen=True)
class Problem:
    """One problem on its way out."""

    status: int
    title: str
    code: str
    found: str
    wanted: str
    remedy: str
    error_id: str | None = None
    headers: dict[str, str] = field(default_factory=dict)

    def response(self) -> Response:
        """The HTTP answer."""
        body = ProblemBody(
            type=TYPE.format(code=self.code),
            title=self.title,
            status=self.status,
            detail=f"Found {self.found}; wanted {self.wanted}. {self.remedy}",
            code=self.code,
            found=self.found,
            wanted=self.wanted,
            remedy=self.remedy,
            error_id=self.error_id,
        )
        content = body.model_dump_json(exclude_none=True)
        return Response(content, self.status, {"Cache-Control": "no-store", **self.headers}, MEDIA_TYPE)


def of_error(error: BreastCascadeError) -> Problem:
    """The problem that one of our own errors stands for. An error that is the installation's fault stays unnamed."""
    status, title = _BY_CODE.get(error.code) or next(_BY_CLASS[c] for c in type(error).__mro__ if c in _BY_CLASS)
    if status >= 500 and not isinstance(error, CapacityError):
        return of_unexpected(error)
    return Problem(status, title, error.code, error.found, error.wanted, error.remedy, headers=_headers(status, error))


def _headers(status: int, error: BreastCascadeError) -> dict[str, str]:
    if isinstance(error, CapacityError):
        return {"Retry-After": str(error.retry_after)}
    return {"WWW-Authenticate": "Bearer"} if status == HTTPStatus.UNAUTHORIZED else {}


def of_unexpected(error: BaseException) -> Problem:
    """A 500 that tells nothing but an id. The log gets the id, the class and the place, never the message:
    a message may carry a file name or a piece of the input."""
    error_id = uuid.uuid4().hex
    event("error", "unexpected_error", error_id=error_id, kind=type(error).__name__, place=_place(error))
    return Problem(
        500,
        "The service failed",
        "internal_error",
        "an error inside the service",
        "an answer",
        "Try once more; if it happens again, tell whoever runs this service the error_id.",
        error_id,
    )


def _place(error: BaseException) -> str:
    place = "unknown"
    trace = error.__traceback__
    while trace is not None:
        place = f"{trace.tb_frame.f_globals.get('__name__', 'unknown')}:{trace.tb_lineno}"
        trace = trace.tb_next
    return place


def of_http(error: HTTPException) -> Problem:
    """What the router itself refuses: 404, 405 and the like."""
    found, wanted, remedy = _BY_STATUS.get(error.status_code, _ELSE)
    headers = dict(error.headers or {})
    if "Allow" in headers:
        # HEAD is served wherever GET is, before the router sees it.
        headers["Allow"] = headers["Allow"].replace("GET", "GET, HEAD")
        wanted = f"{wanted}: {headers['Allow']}"
    phrase = HTTPStatus(error.status_code).phrase
    code = phrase.lower().replace(" ", "_").replace("-", "_")
    return Problem(error.status_code, phrase, code, found, wanted, remedy, headers=headers)


def _allowed(request: Request) -> list[str]:
    """All methods of an address; the router itself names those of the first of its routes alone."""

    def known(method: str) -> bool:
        scope = {**request.scope, "method": method}
        return any(route.matches(scope)[0] is Match.FULL for route in request.app.routes)

    return [method for method in ("GET", "POST", "DELETE") if known(method)]


def of_validation(error: RequestValidationError) -> Problem:
    """What FastAPI's own validation refuses. The value found is not repeated, only where it stood."""
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"])
    return of_error(BadParameter(f"an unusable {name}", str(first["msg"]), "Correct it; see /docs for the contract."))


async def on_error(request: Request, error: Exception) -> Response:
    """Starlette's handler for everything of ours and of the router's."""
    if isinstance(error, BreastCascadeError):
        return of_error(error).response()
    if isinstance(error, RequestValidationError):
        return of_validation(error).response()
    if isinstance(error, HTTPException):
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            error.headers = {"Allow": ", ".join(_allowed(request))}
        return of_http(error).response()
    return of_unexpected(error).response()
