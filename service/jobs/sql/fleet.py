"""Workers that tell they live, and locks between processes."""

from __future__ import annotations

from sqlalchemy import Connection, delete, or_, select

from service.jobs.database import insert
from service.jobs.model import DeviceClass, WorkerRow
from service.jobs.tables import LOCKS, WORKERS, clock


def beat(link: Connection, worker: str, device: DeviceClass, busy: bool, finished: int) -> None:
    """A worker lives."""
    told = {"device": device, "busy": busy, "finished": finished, "told": clock()}
    fresh = insert(link, WORKERS).values(worker=worker, **told)
    link.execute(fresh.on_conflict_do_update(index_elements=[WORKERS.c.worker], set_=told))


def workers(link: Connection) -> tuple[WorkerRow, ...]:
    """All that have told of themselves."""
    query = select(WORKERS, (clock() - WORKERS.c.told).label("silent")).order_by(WORKERS.c.worker)
    return tuple(
        WorkerRow(row.worker, row.device, row.busy, row.finished, max(0.0, row.silent)) for row in link.execute(query)
    )


def forget(link: Connection, worker: str) -> None:
    """A worker is gone."""
    link.execute(delete(WORKERS).where(WORKERS.c.worker == worker))


def lock(link: Connection, name: str, holder: str, seconds: float) -> bool:
    """Take or keep a lock."""
    fresh = insert(link, LOCKS).values(name=name, holder=holder, until=clock() + seconds)
    taken = fresh.on_conflict_do_update(
        index_elements=[LOCKS.c.name],
        set_={"holder": holder, "until": fresh.excluded.until},
        where=or_(LOCKS.c.holder == holder, LOCKS.c.until < clock()),
    )
    return link.execute(taken.returning(LOCKS.c.name)).first() is not None


def unlock(link: Connection, name: str, holder: str) -> None:
    """Give a lock back."""
    link.execute(delete(LOCKS).where(LOCKS.c.name == name, LOCKS.c.holder == holder))
