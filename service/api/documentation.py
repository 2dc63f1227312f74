"""``/docs`` without the network: Swagger UI as the package fastapi-offline carries it, and our own few lines around."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.exceptions import HTTPException
from fastapi.responses import FileResponse, JSONResponse

from service.api.contract import openapi_document
from service.errors import SetupError

PAGE = Path(__file__).resolve().parent / "docs_page"
# Our own files, and of the package those that the page names.
OWN = ("docs.js", "docs.css")
CARRIED = ("swagger-ui-bundle.js", "swagger-ui.css")

router = APIRouter(include_in_schema=False)


@router.get("/docs")
async def docs() -> FileResponse:
    """The page that shows the HTTP interface."""
    return FileResponse(PAGE / "index.html")


@router.get("/docs/static/{name}")
async def docs_file(name: str) -> FileResponse:
    """One file the page needs."""
    if name not in _files():
        raise HTTPException(404)
    return FileResponse(_files()[name])


@router.get("/openapi.json")
async def openapi(request: Request) -> JSONResponse:
    """The interface for machines."""
    return JSONResponse(openapi_document(request.app))


@cache
def _files() -> dict[str, Path]:
    return {name: PAGE / name for name in OWN} | {name: carried() / name for name in CARRIED}


def carried() -> Path:
    """Where fastapi-offline keeps Swagger UI. Raises SetupError when it is not installed."""
    spec = find_spec("fastapi_offline")
    if spec is None or spec.origin is None:
        raise SetupError("no package fastapi-offline", "it, for /docs", "Install breast-cascade with its dependencies.")
    return Path(spec.origin).parent / "static"
