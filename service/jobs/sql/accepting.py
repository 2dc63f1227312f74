"""Taking a job in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection
from sqlalchemy import insert as plain_insert

from service.errors import BadParameter
from service.jobs.model import NewItem, NewJob
from service.jobs.sql import keys, tallies
from service.jobs.sql.counting import final_state
from service.jobs.sql.values import as_json
from service.jobs.tables import ITEMS, JOBS, clock


def accept(link: Connection, job: NewJob, items: Sequence[NewItem]) -> str:
    """Write a job and its items; returns its id, or that of the job its key has already led to."""
    if not items:
        raise BadParameter("a job without files", "at least one file", "Send the files of the job, too.", "empty_job")
    known = None if job.key is None else keys.lead_to(link, job)
    if known is not None:
        return known
    link.execute(plain_insert(JOBS).values(_job(job, items)))
    link.execute(plain_insert(ITEMS), [_item(job.id, n, item) for n, item in enumerate(items)])
    tallies.add(link, job.device_class, {"failed": sum(item.problem is not None for item in items)})
    return job.id


def _job(job: NewJob, items: Sequence[NewItem]) -> dict[str, Any]:
    total, failed = len(items), sum(item.problem is not None for item in items)
    done = failed + sum(item.done is not None for item in items)
    ended = done == total
    return {
        "id": job.id,
        "owner": job.owner,
        "state": final_state(total, failed) if ended else "queued",
        "pipeline": job.pipeline,
        "version": job.version,
        "weights": job.weights,
        "outputs": list(job.outputs),
        "parameters": dict(job.parameters),
        "fingerprint": job.fingerprint,
        "key": job.key,
        "device": job.device_class,
        "created": clock(),
        "finished": clock() if ended else None,
        "total": total,
        "waiting": total - done,
        "done": done,
        "failed": failed,
        "seq": 1,
    }


def _item(job_id: str, n: int, item: NewItem) -> dict[str, Any]:
    return {
        "job_id": job_id,
        "n": n,
        "name": _label(item.name),
        "kind": item.kind,
        "key": item.key,
        "sha256": item.sha256,
        "bytes": item.bytes,
        "state": "failed" if item.problem else "succeeded" if item.done else "queued",
        "problem": as_json(item.problem),
        "steps_done": 0,
        "steps_total": 0,
        "files": [as_json(file) for file in item.done.files] if item.done else [],
        "summary": dict(item.done.summary) if item.done else {},
        "attempts": 0,
        "deaths": 0,
        "token": 0,
    }


def _label(name: str) -> str:
    # PostgreSQL keeps no NUL, and neither database half a surrogate pair; clients send both.
    return name.replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()
