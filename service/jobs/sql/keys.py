"""Idempotency keys: one row for each key of an owner, first receiving, then leading to a job."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, and_, delete, select, update

from service.errors import Conflict, UnknownJob
from service.jobs.database import insert
from service.jobs.model import NewJob
from service.jobs.tables import KEYS, clock


def begin(link: Connection, owner: str, key: str, seconds: float) -> str | None:
    """Begin to receive, or the id of the job the key led to. Raises Conflict while another request is received."""
    fresh = insert(link, KEYS).values(owner=owner, key=key, receiving_until=clock() + seconds)
    taken = fresh.on_conflict_do_update(
        index_elements=[KEYS.c.owner, KEYS.c.key],
        set_={"receiving_until": fresh.excluded.receiving_until},
        where=and_(KEYS.c.job_id.is_(None), KEYS.c.receiving_until < clock()),
    )
    if link.execute(taken.returning(KEYS.c.key)).first() is not None:
        return None
    job_id = link.scalar(select(KEYS.c.job_id).where(_is(owner, key)))
    if job_id is not None:
        return str(job_id)
    raise Conflict(
        "an earlier request with this Idempotency-Key that is still being received",
        "one request at a time under one key",
        "Wait for its answer, or send the same request again in a few seconds.",
        "idempotency_receiving",
    )


def prolong(link: Connection, owner: str, key: str, seconds: float) -> None:
    """Go on receiving for ``seconds`` from now."""
    link.execute(update(KEYS).where(_is(owner, key), KEYS.c.job_id.is_(None)).values(receiving_until=clock() + seconds))


def abandon(link: Connection, owner: str, key: str) -> None:
    """Give up receiving."""
    link.execute(delete(KEYS).where(_is(owner, key), KEYS.c.job_id.is_(None)))


def lead_to(link: Connection, job: NewJob) -> str | None:
    """Let the job's key lead to it. Another job's id when the key has led there before, with the same content.

    Raises Conflict for other content.
    """
    fresh = insert(link, KEYS).values(owner=job.owner, key=job.key, job_id=job.id, fingerprint=job.fingerprint)
    settled = fresh.on_conflict_do_update(
        index_elements=[KEYS.c.owner, KEYS.c.key],
        set_={"job_id": job.id, "fingerprint": job.fingerprint, "receiving_until": None},
        where=KEYS.c.job_id.is_(None),
    )
    if link.execute(settled.returning(KEYS.c.key)).first() is not None:
        return None
    return led_to(link, job.owner, str(job.key), job.fingerprint)


def led_to(link: Connection, owner: str, key: str, fingerprint: str) -> str:
    """The id of the job a key led to. Raises Conflict for other content, UnknownJob when it led to none."""
    row = link.execute(select(KEYS.c.job_id, KEYS.c.fingerprint).where(_is(owner, key))).first()
    if row is None or row.job_id is None:
        raise UnknownJob(
            "an Idempotency-Key that led to no job", "one whose request was accepted", "Send the request again."
        )
    if row.fingerprint != fingerprint:
        raise Conflict(
            "an Idempotency-Key that was used for other files or parameters",
            "the same request again",
            "Repeat it unchanged, or choose a new key.",
            "idempotency_mismatch",
        )
    return str(row.job_id)


def _is(owner: str, key: str) -> ColumnElement[bool]:
    return and_(KEYS.c.owner == owner, KEYS.c.key == key)
