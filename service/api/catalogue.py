"""What there is: pipelines, versions, health, figures, samples, the page."""

from __future__ import annotations

import asyncio
import platform
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import FileResponse
from pydantic import TypeAdapter

import service as package
from service.api import schemas
from service.api.contract import LATER_PROBLEM, NOT_FOUND_PROBLEM
from service.api.state import service_of
from service.decoding.pool import Decoders
from service.decoding.versions import below_floor
from service.engine import LoadedPipeline
from service.errors import UnknownPipeline

HERE = Path(package.__file__).resolve().parent
WEB, SAMPLES = HERE / "web", HERE / "samples"
# What decides on pixels and answers: to be told when a result is to be repeated.
LIBRARIES = (
    "fastapi",
    "numpy",
    "onnxruntime",
    "onnxruntime-gpu",
    "opencv-python-headless",
    "pillow",
    "pydantic",
    "starlette",
    "uvicorn",
)

router = APIRouter(tags=["catalogue"])
page = APIRouter(include_in_schema=False)


@router.get("/pipelines", summary="All pipelines", response_model=schemas.PipelinesBody, responses=LATER_PROBLEM)
async def pipelines(request: Request) -> schemas.PipelinesBody:
    """All pipelines with all their versions."""
    return schemas.PipelinesBody(pipelines=[pipeline_body(loaded) for loaded in service_of(request).engine.pipelines()])


@router.get(
    "/pipelines/{name}",
    summary="One pipeline's manifest and card",
    response_model=schemas.PipelineCardBody,
    responses={**LATER_PROBLEM, **NOT_FOUND_PROBLEM},
)
async def pipeline(
    request: Request, name: str, version: Annotated[str | None, Query()] = None
) -> schemas.PipelineCardBody:
    """The manifest of one pipeline with its card in Markdown."""
    loaded = service_of(request).engine.pipeline(name, version)
    return schemas.PipelineCardBody.model_validate({**loaded.manifest.model_dump(by_alias=True), "card": loaded.card})


@router.get("/health/live", summary="Is the process there?", response_model=schemas.HealthBody)
async def live() -> schemas.HealthBody:
    """The process is there."""
    return schemas.HealthBody(status="alive")


@router.get("/health/ready", summary="May it be asked?", response_model=schemas.HealthBody, responses=LATER_PROBLEM)
async def ready(request: Request) -> schemas.HealthBody:
    """Every pipeline is loaded, hash-checked and warm, and the service is not stopping."""
    _ = service_of(request).engine
    return schemas.HealthBody(status="ready")


@router.get("/version", summary="What exactly is running", response_model=schemas.VersionBody)
async def version(request: Request) -> schemas.VersionBody:
    """What exactly is running."""
    engine = service_of(request).loaded
    return schemas.VersionBody(
        version=package.__version__,
        python=platform.python_version(),
        libraries=libraries(),
        decoders=_decoders(service_of(request).decoders),
        provider=engine.provider if engine else None,
        pipelines=[_digests(loaded) for loaded in engine.pipelines()] if engine else [],
    )


@router.get(
    "/metrics",
    summary="Figures for Prometheus",
    response_class=Response,
    responses={200: {"content": {"text/plain": {}}}},
)
async def metrics(request: Request) -> Response:
    """Figures for Prometheus, of requests and of jobs."""
    text = await asyncio.to_thread(service_of(request).metrics.text)
    return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")


@router.get("/samples", summary="Bundled phantoms", response_model=schemas.SamplesBody)
async def samples() -> schemas.SamplesBody:
    """The bundled phantom pictures; they show no patient."""
    return _samples()


@router.get(
    "/samples/{name}",
    summary="One phantom picture",
    response_class=FileResponse,
    responses={200: {"content": {"image/png": {}}}, **NOT_FOUND_PROBLEM},
)
async def sample(name: str) -> FileResponse:
    """One bundled phantom picture."""
    if name not in {one.name for one in _samples().samples}:
        raise UnknownPipeline("no sample of this name", "one that GET /samples names", "See GET /samples.", "not_found")
    return FileResponse(SAMPLES / name, headers={"Cache-Control": "no-cache"})


@page.get("/")
async def index() -> FileResponse:
    """The page."""
    return FileResponse(WEB / "index.html", headers={"Cache-Control": "no-cache"})


@cache
def libraries() -> dict[str, str]:
    """Versions of what the answers depend on; what is not installed is left out."""
    installed = {}
    for name in LIBRARIES:
        try:
            installed[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return installed


@cache
def _samples() -> schemas.SamplesBody:
    listing = (SAMPLES / "index.json").read_bytes()
    return schemas.SamplesBody(samples=TypeAdapter(list[schemas.SampleBody]).validate_json(listing))


def pipeline_body(loaded: LoadedPipeline) -> schemas.PipelineBody:
    """One loaded pipeline as the contract lists it."""
    manifest = loaded.manifest
    return schemas.PipelineBody(
        name=manifest.name,
        version=manifest.version,
        default=loaded.default,
        modality=manifest.modality,
        evidence=manifest.evidence.level,
        labels=[schemas.LabelBody(id=one.id, name=one.name, color=one.color) for one in manifest.labels],
        stages=[schemas.StageCardBody(name=stage.name, kind=stage.kind) for stage in manifest.stages],
    )


def _decoders(decoders: Decoders) -> schemas.DecodersBody:
    found = decoders.versions
    return schemas.DecodersBody(
        system_calls_filtered=decoders.filtered, versions=found, below_minimum=below_floor(found)
    )


def _digests(loaded: LoadedPipeline) -> schemas.PipelineDigestsBody:
    manifest = loaded.manifest
    files = {one.file: one.sha256 for stage in manifest.stages for one in stage.weights.values()}
    return schemas.PipelineDigestsBody(
        name=manifest.name, version=manifest.version, weights=files, providers=dict(loaded.providers)
    )
