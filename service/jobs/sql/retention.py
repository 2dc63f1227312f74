"""The end of jobs: cancelled, erased, expired; and which keys of the store a row still names."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, Delete, Select, and_, delete, select, update

from service.errors import Conflict
from service.jobs.model import FINAL_JOB_STATES
from service.jobs.sql import listing, tallies
from service.jobs.sql.claims import IDLE
from service.jobs.sql.counting import hold
from service.jobs.sql.values import named_keys
from service.jobs.tables import ITEMS, JOBS, KEYS, clock, fixed

# A key whose request was never received to its end is of no use a day later.
_STALE_KEY_SECONDS = 86400.0


def cancel(link: Connection, job_id: str, owner: str) -> None:
    """Cancel what is not final yet. Raises UnknownJob, or Conflict for a job that ended otherwise."""
    row = listing.job(link, job_id, owner, hold=True)
    if row.state == "cancelled":
        return
    if row.state in FINAL_JOB_STATES:
        raise Conflict(
            f"a job that is {row.state}", "one that is queued or running", "Its results are there.", "job_finished"
        )
    stopped = {**IDLE, "state": "cancelled", "token": ITEMS.c.token + 1, "checkpoint": None}
    open_items = and_(ITEMS.c.job_id == job_id, ITEMS.c.state.in_(["queued", "running"]))
    count = link.execute(update(ITEMS).where(open_items).values(stopped)).rowcount
    ended = {"state": "cancelled", "waiting": 0, "done": JOBS.c.total, "finished": clock()}
    link.execute(update(JOBS).where(JOBS.c.id == job_id).values({**ended, "stage": None, "seq": JOBS.c.seq + 1}))
    tallies.add(link, row.device, {"cancelled": count})


def erase(link: Connection, job_id: str, owner: str) -> tuple[str, ...]:
    """Forget a job and its items; returns the keys they named. Raises UnknownJob."""
    listing.job(link, job_id, owner, hold=True)
    named = keys_of(link, job_id)
    _forget(link, [job_id])
    return named


def expire(link: Connection, job_id: str) -> tuple[str, ...]:
    """Take a finished job's files from it; returns the keys it named."""
    row = hold(link, job_id)
    if row is None or row.finished is None or row.state == "expired":
        return ()
    named = keys_of(link, job_id)
    emptied: dict[str, Any] = {"key": "", "files": [], "summary": {}, "checkpoint": None}
    link.execute(update(ITEMS).where(ITEMS.c.job_id == job_id).values(emptied))
    link.execute(update(JOBS).where(JOBS.c.id == job_id).values(state="expired", seq=JOBS.c.seq + 1))
    return named


def overdue(link: Connection, keep_seconds: float, most: int) -> list[str]:
    """Jobs kept for long enough, the oldest first."""
    return list(link.scalars(overdue_query(keep_seconds, most)))


def overdue_query(keep_seconds: float, most: int) -> Select[str]:
    """Ids of jobs kept for long enough."""
    query = select(JOBS.c.id).where(JOBS.c.state != fixed("expired"), JOBS.c.finished < clock() - keep_seconds)
    return query.order_by(JOBS.c.finished).limit(most)


def forget_expired(link: Connection, keep_seconds: float, most: int) -> None:
    """Delete the rows of jobs that have been expired for as long as they were kept, and of keys long abandoned."""
    old = select(JOBS.c.id).where(JOBS.c.state == fixed("expired"), JOBS.c.finished < clock() - 2 * keep_seconds)
    _forget(link, link.scalars(old.order_by(JOBS.c.finished).limit(most)).all())
    abandoned = and_(KEYS.c.job_id.is_(None), KEYS.c.receiving_until < clock() - _STALE_KEY_SECONDS)
    link.execute(delete(KEYS).where(abandoned))


def oldest_finished(link: Connection) -> str | None:
    """The finished job that still has its files and ended first."""
    query = select(JOBS.c.id).where(JOBS.c.state != fixed("expired"), JOBS.c.finished.is_not(None))
    return link.scalar(query.order_by(JOBS.c.finished).limit(1))


def keys_of(link: Connection, job_id: str) -> tuple[str, ...]:
    """Every key that the items of a job name."""
    query = select(ITEMS.c.key, ITEMS.c.files, ITEMS.c.checkpoint).where(ITEMS.c.job_id == job_id)
    return tuple(key for row in link.execute(query.order_by(ITEMS.c.n)) for key in named_keys(row))


def known_keys_of(link: Connection, prefix: str) -> frozenset[str]:
    """Keys under ``jobs/<id>/`` or below that are named. Raises ValueError for any wider prefix."""
    root, _, rest = prefix.partition("/")
    job_id, slash, _ = rest.partition("/")
    if root != "jobs" or not job_id or not slash:
        # An empty answer would read as: nothing here is named, all of it may go.
        raise ValueError(f"Found the prefix {prefix!r}; wanted jobs/<id>/ or below. Ask for one job at a time.")
    return frozenset(key for key in keys_of(link, job_id) if key.startswith(prefix))


def _forget(link: Connection, job_ids: Iterable[str]) -> None:
    for job_id in job_ids:
        for statement in _deletions(job_id):
            link.execute(statement)


def _deletions(job_id: str) -> tuple[Delete, ...]:
    of_key, of_item = KEYS.c.job_id == job_id, ITEMS.c.job_id == job_id
    return delete(KEYS).where(of_key), delete(ITEMS).where(of_item), delete(JOBS).where(JOBS.c.id == job_id)
