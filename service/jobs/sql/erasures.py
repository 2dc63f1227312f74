"""Jobs that were erased, remembered until their files are gone, too."""

from __future__ import annotations

from sqlalchemy import Connection, delete, select

from service.errors import UnknownJob
from service.jobs.database import insert
from service.jobs.sql import retention
from service.jobs.tables import ERASURES


def begin(link: Connection, job_id: str, owner: str) -> tuple[str, ...]:
    """Forget a job's rows, not that its files must go; the keys they named. Raises UnknownJob."""
    try:
        named = retention.erase(link, job_id, owner)
    except UnknownJob:
        if not _is_pending(link, job_id, owner):
            raise
        return ()
    link.execute(insert(link, ERASURES).values(job_id=job_id, owner=owner).on_conflict_do_nothing())
    return named


def pending(link: Connection) -> tuple[str, ...]:
    """Jobs whose files are still there."""
    return tuple(link.scalars(select(ERASURES.c.job_id).order_by(ERASURES.c.job_id)))


def end(link: Connection, job_id: str) -> None:
    """They are gone."""
    link.execute(delete(ERASURES).where(ERASURES.c.job_id == job_id))


def _is_pending(link: Connection, job_id: str, owner: str) -> bool:
    query = select(ERASURES.c.job_id).where(ERASURES.c.job_id == job_id, ERASURES.c.owner == owner)
    return link.scalar(query) is not None
