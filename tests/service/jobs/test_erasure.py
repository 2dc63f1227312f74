"""What was erased stands in no file of the database any more."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from service.jobs.database import Database
from service.jobs.rows import Rows
from tests.service.jobs.making import new_items, new_job

CANARY = b"ZZPHI^CANARY"


def holding(folder: Path) -> list[str]:
    """Files that hold the name."""
    return [path.name for path in folder.iterdir() if CANARY in path.read_bytes()]


def test_an_erased_name_is_written_over(tmp_path: Path) -> None:
    database, other = (Database.open(f"sqlite:///{tmp_path / 'jobs.sqlite'}") for _ in range(2))
    database.upgrade()
    rows = Rows(database)
    for _ in range(3):
        job = new_job()
        rows.accept(job, [replace(one, name=CANARY.decode()) for one in new_items(job.id, 50)])
        assert holding(tmp_path)
        # Somebody else has the file open, too, as a worker has.
        Rows(other).job(job.id, "")
        rows.erase(job.id, "")
        assert holding(tmp_path) == []
        assert rows.erasures() == (job.id,)
        rows.erased(job.id)
    database.close()
    other.close()
