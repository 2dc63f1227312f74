"""Questions about jobs and items."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, Select, and_, func, select

from service.errors import UnknownJob
from service.jobs.model import DeviceClass, ItemRow
from service.jobs.sql.counting import BUSY, RUNNING
from service.jobs.sql.values import AnyRow, item_row
from service.jobs.tables import ITEMS, JOBS, clock, fixed


def job(link: Connection, job_id: str, owner: str, *, hold: bool = False) -> AnyRow:
    """The row of an owner's job, locked when ``hold``. Raises UnknownJob."""
    query = select(JOBS).where(JOBS.c.id == job_id, JOBS.c.owner == owner)
    row = link.execute(query.with_for_update() if hold else query).first()
    if row is None:
        raise UnknownJob("no job of this id", "the id of one of your jobs", "See GET /jobs for them.")
    return row


def jobs(link: Connection, owner: str, limit: int, offset: int) -> Sequence[AnyRow]:
    """Rows of an owner's jobs, the latest first."""
    latest = select(JOBS).where(JOBS.c.owner == owner).order_by(JOBS.c.created.desc(), JOBS.c.id.desc())
    return link.execute(latest.limit(limit).offset(offset)).all()


def items(link: Connection, job_id: str, limit: int, offset: int, *, whole: bool = True) -> tuple[ItemRow, ...]:
    """Items of a job by n; without files and summaries where not ``whole``, which is much quicker."""
    columns = [one for one in ITEMS.c if whole or one.name not in ("files", "summary")]
    # By n itself, not by counting rows away: a page far behind costs no more than the first.
    page = and_(ITEMS.c.job_id == job_id, ITEMS.c.n >= offset, ITEMS.c.n < offset + limit)
    return tuple(item_row(row) for row in link.execute(select(*columns).where(page).order_by(ITEMS.c.n)))


def item(link: Connection, job_id: str, n: int) -> ItemRow:
    """One item of a job. Raises UnknownJob."""
    row = link.execute(select(ITEMS).where(ITEMS.c.job_id == job_id, ITEMS.c.n == n)).first()
    if row is None:
        raise UnknownJob(f"no item {n} in this job", "one of its items", "See GET /jobs/{id} for them.", "unknown_item")
    return item_row(row)


def waiting(link: Connection, device: DeviceClass) -> int:
    """Items that wait."""
    return int(link.scalar(waiting_query(device)) or 0)


def waiting_query(device: DeviceClass) -> Select[int]:
    """How many items wait."""
    query = select(func.coalesce(func.sum(JOBS.c.waiting), 0))
    return query.where(JOBS.c.waiting > fixed(0), JOBS.c.device == device)


def running(link: Connection, device: DeviceClass) -> int:
    """Items in the hands of workers."""
    return int(link.scalar(running_query(device)) or 0)


def running_query(device: DeviceClass) -> Select[int]:
    """How many items are in the hands of workers."""
    return select(func.coalesce(func.sum(RUNNING), 0)).where(JOBS.c.device == device, BUSY)


def ended_within(link: Connection, device: DeviceClass, seconds: float) -> int:
    """Items that workers ended lately."""
    return int(link.scalar(ended_query(device, seconds)) or 0)


def ended_query(device: DeviceClass, seconds: float) -> Select[int]:
    """How many items workers ended lately."""
    lately = ITEMS.c.ended > clock() - seconds
    return select(func.count()).select_from(ITEMS).join(JOBS).where(lately, JOBS.c.device == device)
