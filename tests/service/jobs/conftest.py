"""Jobs are tested on both databases: SQLite in a file, and a real PostgreSQL where it is installed."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.jobs.database import Database
from service.jobs.rows import Rows
from tests.postgres import new_database, postgres


@pytest.fixture(scope="session")
def postgres_folder() -> Iterator[Path]:
    """The socket's folder of a PostgreSQL that runs for the session."""
    with postgres() as folder:
        yield folder


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of either kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'jobs' / 'jobs.sqlite'}"
    return new_database(request.getfixturevalue("postgres_folder"), f"jobs_{uuid.uuid4().hex}")


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """The same, open and with its tables."""
    opened = Database.open(database_url)
    opened.upgrade()
    yield opened
    opened.close()


@pytest.fixture
def rows(database: Database) -> Rows:
    """Rows in it."""
    return Rows(database)
