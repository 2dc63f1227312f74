"""A job's counters and its state: changed only here, by transactions that hold its row."""

from __future__ import annotations

from sqlalchemy import Connection, select, update

from service.jobs.model import JobState
from service.jobs.sql.values import AnyRow
from service.jobs.tables import JOBS, clock

# Items of a job that are in the hands of workers, and which jobs have any: in the words of the index `jobs_busy`.
RUNNING = JOBS.c.total - JOBS.c.waiting - JOBS.c.done
BUSY = JOBS.c.total > JOBS.c.waiting + JOBS.c.done


def hold(link: Connection, job_id: str) -> AnyRow | None:
    """Lock a job's row until the transaction ends; None when there is no such job."""
    return link.execute(select(JOBS).where(JOBS.c.id == job_id).with_for_update()).first()


def count(link: Connection, job_id: str, *, waiting: int = 0, done: int = 0, failed: int = 0) -> None:
    """Add to the counters of a job that is held, and close it when all its items are final."""
    columns = JOBS.c
    row = link.execute(
        update(JOBS)
        .where(columns.id == job_id)
        .values(
            waiting=columns.waiting + waiting,
            done=columns.done + done,
            failed=columns.failed + failed,
            seq=columns.seq + 1,
        )
        .returning(columns.total, columns.done, columns.failed)
    ).one()
    if row.done == row.total:
        end = {"state": final_state(row.total, row.failed), "finished": clock(), "stage": None}
        link.execute(update(JOBS).where(columns.id == job_id).values(end))


def final_state(total: int, failed: int) -> JobState:
    """How a job ends whose items have all run."""
    if failed == 0:
        return "succeeded"
    return "failed" if failed == total else "partial"
