"""``GET /jobs/{id}/events``: server-sent events, one for each change of the job's row that is still news."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable

from service.api.job_schemas import summary_of
from service.errors import UnknownJob
from service.jobs.model import FINAL_JOB_STATES, JobRow

MEDIA_TYPE = "text/event-stream"
# Proxies cut connections on which nothing is said for about a minute.
COMMENT_EVERY_S = 15.0
LOOK_EVERY_S = 0.25
# What a browser waits before it connects again, in milliseconds.
RETRY_MS = 2000


async def events(
    look: Callable[[], JobRow], seen: int, stopping: Callable[[], bool], comment_every: float = COMMENT_EVERY_S
) -> AsyncIterator[bytes]:
    """Events from the one after ``seen`` to the job's last.

    ``look`` reads the row, in a thread of its own; a job that is gone ends the stream, and so does a service that
    is ``stopping``: the client connects again, to another one.
    """
    yield f"retry: {RETRY_MS}\n\n".encode()
    said = time.monotonic()
    while not stopping():
        try:
            job = await asyncio.to_thread(look)
        except UnknownJob:
            return
        if job.seq > seen:
            seen, said = job.seq, time.monotonic()
            yield event_of(job)
        elif time.monotonic() - said >= comment_every:
            said = time.monotonic()
            yield b": still here\n\n"
        if job.state in FINAL_JOB_STATES:
            return
        await asyncio.sleep(LOOK_EVERY_S)


def event_of(job: JobRow) -> bytes:
    """One event: its id is the row's ``seq``, its data the job without its items."""
    return f"id: {job.seq}\ndata: {summary_of(job).model_dump_json()}\n\n".encode()


def last_seen(header: str | None) -> int:
    """The ``Last-Event-ID`` of a client; -1 where it has seen none, or what it sends is no event's id."""
    return int(header) if header and header.isascii() and header.isdecimal() and len(header) < 19 else -1
