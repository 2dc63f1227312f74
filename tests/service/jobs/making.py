"""Jobs, items and files for tests of the rows, and time that passes when a test says so."""

from __future__ import annotations

import itertools
from typing import Any

from sqlalchemy import update

from service.jobs.database import Database
from service.jobs.model import Claim, Done, Failed, NewItem, NewJob, Problem, StoredFile
from service.jobs.rows import Rows
from service.jobs.tables import ITEMS, JOBS, KEYS, LOCKS, METADATA, WORKERS, clock

LEASE_S = 60.0
PROBLEM = Problem("unusable_image", "half a picture", "a whole one", "Export it again.")
FAILED = Failed(PROBLEM)
_NUMBERS = itertools.count()


def new_job(**changes: Any) -> NewJob:
    """A job of nobody in particular, with an id of its own."""
    standard: dict[str, Any] = {
        "id": f"job{next(_NUMBERS):06d}",
        "owner": "",
        "pipeline": "ultrasound",
        "version": "1.0.0",
        "weights": "ab" * 32,
        "outputs": ("json", "mask"),
        "parameters": {"threshold": ["0.4"], "box": ["1,2,3,4", "5,6,7,8"]},
        "fingerprint": "cd" * 32,
    }
    return NewJob(**{**standard, **changes})


def new_items(job_id: str, number: int, broken: tuple[int, ...] = ()) -> list[NewItem]:
    """So many items, those at ``broken`` unreadable from the start."""
    return [
        NewItem(f"{n}.png", "image", f"jobs/{job_id}/{n}/input", "ef" * 32, 100 + n, PROBLEM if n in broken else None)
        for n in range(number)
    ]


def accepted(rows: Rows, number: int = 1, **changes: Any) -> str:
    """The id of a job that was just taken in."""
    job = new_job(**changes)
    return rows.accept(job, new_items(job.id, number)).id


def claimed(rows: Rows, worker: str = "w1") -> Claim:
    """The next item, which there must be."""
    claim = rows.claim(worker, "cpu", LEASE_S)
    assert claim is not None
    return claim


def file_of(claim: Claim, name: str = "answer.json") -> StoredFile:
    """A file that an attempt could have written."""
    key = f"jobs/{claim.job_id}/{claim.n}/{claim.attempt}/{name}"
    return StoredFile(name, key, "01" * 32, 10, "application/json")


def done(claim: Claim) -> Done:
    """An attempt that went well."""
    return Done((file_of(claim),), {"findings": [{"area_mm2": 12.5}], "status": "found"})


def leases_run_out(database: Database, *claims: Claim) -> None:
    """Time passes for these items, or for all."""
    statement = update(ITEMS).where(ITEMS.c.state == "running").values(lease_until=clock() - 1)
    with database.write() as link:
        if not claims:
            link.execute(statement)
        for claim in claims:
            link.execute(statement.where(ITEMS.c.job_id == claim.job_id, ITEMS.c.n == claim.n))


def time_passes(database: Database, seconds: float) -> None:
    """All that a row remembers happened ``seconds`` earlier than it did."""
    columns = [
        JOBS.c.created, JOBS.c.finished, ITEMS.c.lease_until, ITEMS.c.ended,
        KEYS.c.receiving_until, LOCKS.c.until, WORKERS.c.told,
    ]  # fmt: skip
    with database.write() as link:
        for column in columns:
            link.execute(update(column.table).values({column.name: column - seconds}))


def empty(database: Database) -> None:
    """Delete all rows."""
    with database.write() as link:
        for table in reversed(METADATA.sorted_tables):
            link.execute(table.delete())
