"""Jobs are tested on both databases (SQLite in a file, a real PostgreSQL where it is installed) and both stores."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from service.jobs.database import Database
from service.jobs.rows import Rows
from service.jobs.store import Store, open_store
from tests.postgres import new_database, postgres
from tests.service.jobs.making import empty
from tests.service.jobs.stores import s3_server


@pytest.fixture(scope="session")
def postgres_folder() -> Iterator[Path]:
    """The socket's folder of a PostgreSQL that runs for the session."""
    with postgres() as server:
        yield server.folder


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database of either kind without tables."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'jobs' / 'empty.sqlite'}"
    return new_database(request.getfixturevalue("postgres_folder"), f"empty_{uuid.uuid4().hex}")


# Migrations take longer than most tests, hence once for each kind.
@pytest.fixture(scope="session")
def sqlite_with_tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that has the tables and no rows."""
    path = tmp_path_factory.mktemp("jobs") / "tables.sqlite"
    with _opened(f"sqlite:///{path}") as database:
        database.upgrade()
    return path


@pytest.fixture(scope="session")
def postgres_with_tables(postgres_folder: Path) -> str:
    """The URL of a database that has the tables."""
    url = new_database(postgres_folder, "tables")
    with _opened(url) as database:
        database.upgrade()
    return url


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database of either kind, with tables and without rows."""
    if request.param == "sqlite":
        copied = shutil.copy(request.getfixturevalue("sqlite_with_tables"), tmp_path / "jobs.sqlite")
        return f"sqlite:///{copied}"
    url: str = request.getfixturevalue("postgres_with_tables")
    with _opened(url) as database:
        empty(database)
    return url


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """The same, open."""
    with _opened(database_url) as opened:
        yield opened


@pytest.fixture
def rows(database: Database) -> Rows:
    """Rows in it."""
    return Rows(database)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store in a folder."""
    return open_store(f"file://{tmp_path}/store")


@contextmanager
def _opened(url: str) -> Iterator[Database]:
    database = Database.open(url)
    yield database
    database.close()


@pytest.fixture(scope="session")
def endpoint() -> Iterator[str]:
    """The address of an S3 server with one bucket; credentials for it stand in the environment."""
    with s3_server() as address:
        yield address
