"""A bench over a database that has its tables already, for tests of a worker inside their own process."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from service.engine import Engine
from service.jobs.database import Database
from service.jobs.perform import Bench
from service.jobs.rows import Rows
from service.jobs.store import open_store
from service.settings import Settings
from tests.serving import DECODERS


@contextmanager
def bench_over(tables: Path, folder: Path, engine: Engine) -> Iterator[Bench]:
    """Rows and store in ``folder``; ``tables`` is a database to copy."""
    (folder / "jobs").mkdir()
    database = Database.open(f"sqlite:///{shutil.copy(tables, folder / 'jobs' / 'jobs.sqlite')}")
    store = open_store((folder / "jobs" / "files").as_uri())
    try:
        yield Bench(Rows(database), store, lambda: engine, DECODERS, Settings().job_limits)
    finally:
        database.close()
