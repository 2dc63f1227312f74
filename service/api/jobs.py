"""Jobs over HTTP: many files in, one zip of answers out, and everything between to be watched, cancelled and erased."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Header, Path, Query, Request, Response
from fastapi.responses import StreamingResponse

from service.api import events as server_sent
from service.api.access import owner_of
from service.api.job_answers import Wanted, all_items, answer, body, fetchable, known
from service.api.job_contract import (
    CANCEL_PROBLEMS,
    EVENTS,
    ITEM,
    JOB_PROBLEMS,
    LIST_PROBLEMS,
    RESULTS,
    SUBMIT_OPENAPI,
    SUBMIT_PROBLEMS,
)
from service.api.job_schemas import JobBody, JobsBody, summary_of
from service.api.state import service_of
from service.api.submit import submit
from service.jobs.erase import erase as erased
from service.jobs.model import FINAL_JOB_STATES
from service.jobs.results import results as zipped

PAGE = 1000
# As far as the smallest integer that a database keeps.
FARTHEST = 2**31 - 1

router = APIRouter(tags=["jobs"])
JobId = Annotated[str, Path(description="As POST /jobs answered it.")]
Number = Annotated[int, Path(ge=0, le=FARTHEST, description="Of the item, from 0.")]
Limit = Annotated[int, Query(ge=1, le=PAGE, description="Most entries of one page.")]
Offset = Annotated[int, Query(ge=0, le=FARTHEST, description="How many entries stand before the page.")]


@router.post(
    "/jobs",
    summary="Take a job in",
    status_code=202,
    response_model=JobBody,
    responses=SUBMIT_PROBLEMS,
    openapi_extra=SUBMIT_OPENAPI,
)
async def take_in(request: Request, response: Response) -> JobBody:
    """Many pictures, a zip, the slices of a series or a volume; each picture or volume becomes one item.

    With 202 everything is on disk: the job survives the end of any process. A file that cannot be read fails its item,
    never the request. The same request under the same `Idempotency-Key` makes one job, however often it is sent.
    """
    desk, row = service_of(request).desk, await submit(request, service_of(request))
    response.headers["Location"] = f"/jobs/{row.id}"
    return await asyncio.to_thread(body, desk, row, PAGE, 0)


@router.get("/jobs", summary="Your jobs", response_model=JobsBody, responses=LIST_PROBLEMS)
async def listing(request: Request, limit: Limit = 100, offset: Offset = 0) -> JobsBody:
    """The jobs of whoever asks, the latest first."""
    rows = service_of(request).desk.rows
    found = await asyncio.to_thread(rows.jobs, owner_of(request), limit, offset)
    return JobsBody(jobs=[summary_of(row) for row in found])


@router.get(
    "/jobs/{job_id}", operation_id="show_job", summary="One job", response_model=JobBody, responses=JOB_PROBLEMS
)
async def job(request: Request, job_id: JobId, limit: Limit = PAGE, offset: Offset = 0) -> JobBody:
    """A job with one page of its items."""
    desk, owner = service_of(request).desk, owner_of(request)
    return await asyncio.to_thread(lambda: body(desk, desk.rows.job(known(job_id), owner), limit, offset))


@router.get(
    "/jobs/{job_id}/events",
    operation_id="follow_job",
    summary="Follow one job",
    response_class=StreamingResponse,
    responses={**JOB_PROBLEMS, **EVENTS},
)
async def follow(
    request: Request,
    job_id: JobId,
    last_event_id: Annotated[str | None, Header(description="The `seq` of the last event seen.")] = None,
) -> Response:
    """Server-sent events: the job without its items, each time it changes; ends with its last change.

    204 where `Last-Event-ID` says that there is no news to come.
    """
    service, owner = service_of(request), owner_of(request)
    desk, seen = service.desk, server_sent.last_seen(last_event_id)
    now = await asyncio.to_thread(desk.rows.job, known(job_id), owner)
    if now.state in FINAL_JOB_STATES and now.seq <= seen:
        return Response(status_code=204)
    stream = server_sent.events(lambda: desk.rows.job(job_id, owner), seen, lambda: service.draining)
    return StreamingResponse(stream, media_type=server_sent.MEDIA_TYPE, headers={"X-Accel-Buffering": "no"})


@router.get(
    "/jobs/{job_id}/results",
    operation_id="fetch_results",
    summary="All results as a zip",
    response_class=StreamingResponse,
    responses={**JOB_PROBLEMS, **RESULTS},
)
async def results(request: Request, job_id: JobId) -> StreamingResponse:
    """The outputs of every item, `findings.csv`, `report.json` and `timings.json`, once the job has ended."""
    desk, owner = service_of(request).desk, owner_of(request)
    row = await asyncio.to_thread(fetchable, desk, job_id, owner)
    pieces = zipped(desk.store, row, lambda: all_items(desk, row))
    name = f'attachment; filename="breast-cascade-{job_id[:8]}.zip"'
    return StreamingResponse(pieces, media_type="application/zip", headers={"Content-Disposition": name})


@router.get(
    "/jobs/{job_id}/items/{n}",
    operation_id="fetch_answer",
    summary="One answer of one item",
    response_class=Response,
    responses={**JOB_PROBLEMS, **ITEM},
)
async def one_answer(
    request: Request,
    job_id: JobId,
    n: Number,
    format: Annotated[str | None, Query(description="One of the job's outputs; its first one else.")] = None,  # noqa: A002
) -> Response:
    """What one item gave, in one of the formats that the job was asked for; as soon as the item has ended."""
    desk, owner = service_of(request).desk, owner_of(request)
    return await asyncio.to_thread(answer, desk, Wanted(job_id, owner, n, format))


@router.post(
    "/jobs/{job_id}/cancel",
    operation_id="cancel_job",
    summary="Cancel a job",
    response_model=JobBody,
    responses=CANCEL_PROBLEMS,
)
async def cancel(request: Request, job_id: JobId) -> JobBody:
    """End what has not ended yet. What is done stays, and can be fetched."""
    desk, owner = service_of(request).desk, owner_of(request)

    def cancelled() -> JobBody:
        return body(desk, desk.rows.cancel(known(job_id), owner), PAGE, 0)

    return await asyncio.to_thread(cancelled)


@router.delete(
    "/jobs/{job_id}", operation_id="erase_job", summary="Erase a job", status_code=204, responses=JOB_PROBLEMS
)
async def erase(request: Request, job_id: JobId) -> None:
    """Cancel a job, then erase its input, its results and its rows.

    503 where the files cannot be reached now: the job is gone, and its files follow. To ask again does no harm.
    """
    desk, owner = service_of(request).desk, owner_of(request)
    await asyncio.to_thread(lambda: erased(desk.rows, desk.store, known(job_id), owner))
