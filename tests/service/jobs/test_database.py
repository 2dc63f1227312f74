"""The database behind jobs: which ones, how they are set up, and what happens when one does not answer."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError, OperationalError

from service.errors import DatabaseAway, SetupError
from service.jobs import migrate
from service.jobs.database import Database
from service.jobs.rows import Rows
from service.jobs.tables import METADATA, clock
from tests.postgres import new_database, postgres
from tests.service.jobs.making import accepted, claimed, done, empty

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("mysql://u:secret@host/db", "a database URL of kind mysql"),
        ("sqlite+aiosqlite:////x", r"a database URL of kind sqlite\+aiosqlite"),
        ("sqlite://", "a database URL of kind sqlite"),
        ("sqlite:///:memory:", "a database URL of kind sqlite"),
        ("secret", "a database URL that is none"),
    ],
)
def test_other_addresses_are_refused_without_their_password(url: str, found: str) -> None:
    with pytest.raises(SetupError, match=f"^Found {found}; wanted sqlite:////folder/file or postgresql://") as caught:
        Database.open(url)
    assert "secret" not in str(caught.value)


def test_migrations_lead_to_the_tables(empty_url: str) -> None:
    database = Database.open(empty_url)
    database.upgrade()
    with database.read() as link:
        assert compare_metadata(MigrationContext.configure(link), METADATA) == []
        indexes = {name for table in METADATA.sorted_tables for name in (index.name for index in table.indexes)}
        column, table = ("name", "sqlite_master") if link.dialect.name == "sqlite" else ("indexname", "pg_indexes")
        assert indexes <= set(link.scalars(text(f"SELECT {column} FROM {table}")))  # noqa: S608
    database.close()


def test_an_upgrade_is_safe_at_any_time_and_at_once(empty_url: str) -> None:
    def upgrade(_: int) -> None:
        database = Database.open(empty_url)
        database.upgrade()
        database.close()

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(upgrade, range(4)))
    database = Database.open(empty_url)
    accepted(Rows(database))
    database.upgrade()
    assert Rows(database).waiting("cpu") == 1
    database.close()


def test_tables_of_a_later_version_stop_the_start(database: Database) -> None:
    with database.write() as link:
        link.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    try:
        with pytest.raises(SetupError, match=r"^Found jobs' tables written by another version") as caught:
            database.upgrade()
        assert caught.value.code == "database_version"
    finally:
        with database.write() as link:
            link.execute(text("UPDATE alembic_version SET version_num = '0001'"))


def test_the_clock_is_the_time(database: Database) -> None:
    with database.read() as link:
        assert abs(link.execute(select(clock())).scalar_one() - time.time()) < 2


def test_an_error_of_ours_stays_an_error(tmp_path: Path) -> None:
    database = Database.open(f"sqlite:///{tmp_path / 'x.sqlite'}")
    with pytest.raises(OperationalError, match="no such table: jobs"):
        Rows(database).jobs("", 1, 0)
    database.close()


@contextmanager
def sqlite_file(path: Path, patience_s: float = 30.0) -> Iterator[Database]:
    """A database in a file, with tables."""
    database = Database.open(f"sqlite:///{path}", patience_s=patience_s)
    database.upgrade()
    yield database
    database.close()


def test_sqlite_writes_ahead_and_to_the_disk(tmp_path: Path) -> None:
    with sqlite_file(tmp_path / "deep" / "down" / "x.sqlite") as database:
        for transaction in (database.read, database.write):
            with transaction() as link:
                assert link.execute(text("PRAGMA journal_mode")).scalar() == "wal"
                assert link.execute(text("PRAGMA synchronous")).scalar() == 2
                assert link.execute(text("PRAGMA foreign_keys")).scalar() == 1


def test_a_writing_transaction_is_whole_or_not_at_all(database: Database) -> None:
    rows = Rows(database)
    job_id = accepted(rows)
    with pytest.raises(IntegrityError):
        _write_and_fail(database)
    assert rows.job(job_id, "").total == 1


def _write_and_fail(database: Database) -> None:
    with database.write() as link:
        link.execute(text("UPDATE jobs SET total = 99"))
        link.execute(text("UPDATE jobs SET owner = NULL"))


def test_a_lock_that_is_given_back_is_waited_for(tmp_path: Path) -> None:
    with sqlite_file(tmp_path / "x.sqlite") as database:
        other = sqlite3.connect(tmp_path / "x.sqlite", isolation_level=None, check_same_thread=False)
        other.execute("BEGIN IMMEDIATE")
        timer = threading.Timer(0.5, lambda: other.execute("COMMIT"))
        start = time.monotonic()
        timer.start()
        rows = Rows(database)
        job_id = accepted(rows)
        assert time.monotonic() - start >= 0.4
        timer.join()
        other.close()
        assert rows.job(job_id, "").state == "queued"


def test_a_lock_that_is_kept_is_an_error_in_time(tmp_path: Path) -> None:
    with sqlite_file(tmp_path / "x.sqlite", patience_s=0.2) as database:
        rows = Rows(database)
        job_id = accepted(rows)
        other = sqlite3.connect(tmp_path / "x.sqlite", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(DatabaseAway, match=r"^Found no answer \(SQLITE_BUSY\) from the jobs' database") as caught:
            rows.claim("w", "cpu", 10)
        assert caught.value.retry_after == 5
        # Who only asks does not wait for who writes.
        assert rows.job(job_id, "").state == "queued"
        other.execute("ROLLBACK")
        other.close()
        assert claimed(rows).job_id == job_id


def test_a_file_that_another_keeps_to_itself_is_an_error_in_time(tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "x.sqlite", isolation_level=None)
    other.execute("CREATE TABLE other (id)")
    other.execute("BEGIN EXCLUSIVE")
    database = Database.open(f"sqlite:///{tmp_path / 'x.sqlite'}", patience_s=0.2)
    with pytest.raises(DatabaseAway, match=r"^Found no answer \(SQLITE_BUSY\) from the jobs' database"):
        database.upgrade()
    other.execute("COMMIT")
    database.upgrade()
    database.close()
    other.close()


def test_too_many_at_once_are_told(tmp_path: Path) -> None:
    with sqlite_file(tmp_path / "x.sqlite", patience_s=0.2) as database, ExitStack() as readers:
        rows = Rows(database)
        with pytest.raises(DatabaseAway, match=r"^Found all its connections in use from the jobs' database"):
            _read_for_ever(database, readers)
        readers.close()
        assert rows.jobs("", 1, 0) == ()


def _read_for_ever(database: Database, readers: ExitStack) -> None:
    while True:
        readers.enter_context(database.read())


def test_a_row_that_stays_locked_is_an_error_in_time(postgres_with_tables: str) -> None:
    database = Database.open(postgres_with_tables, patience_s=0.2)
    empty(database)
    rows = Rows(database)
    job_id = accepted(rows)
    claim = claimed(rows)
    with database.write() as link:
        link.execute(text("SELECT id FROM jobs WHERE id = :id FOR UPDATE"), {"id": job_id})
        with pytest.raises(DatabaseAway, match=r"^Found no answer \(55P03\) from the jobs' database"):
            rows.commit(claim, done(claim))
    assert rows.commit(claim, done(claim))
    database.close()


def test_a_postgresql_that_is_not_there_is_told() -> None:
    database = Database.open("postgresql://nobody@/none?host=/nonexistent")
    with pytest.raises(DatabaseAway, match=r"^Found no answer \(no connection\) from the jobs' database; wanted one"):
        database.upgrade()
    database.close()


def test_a_postgresql_that_comes_back_is_used_again() -> None:
    with postgres() as server:
        database = Database.open(new_database(server.folder, "jobs"))
        database.upgrade()
        rows = Rows(database)
        job_id = accepted(rows)
        server.restart()
        # The connection of before is noticed to be dead before it is used.
        assert rows.job(job_id, "").state == "queued"
        database.close()


def test_a_full_disk_is_told_and_undone(tmp_path: Path) -> None:
    with sqlite_file(tmp_path / "x.sqlite") as database:
        rows = Rows(database)
        job_id = accepted(rows)
    filled = subprocess.run(
        [sys.executable, "-c", FILL, str(tmp_path / "x.sqlite")], capture_output=True, text=True, cwd=ROOT, timeout=60
    )
    assert filled.stdout.split() == ["DiskFull", "disk_full"], filled.stderr
    with sqlite_file(tmp_path / "x.sqlite") as database:
        assert [row.id for row in Rows(database).jobs("", 9, 0)] == [job_id]


# A limit on the size of files stands for the disk's end. It holds for a whole process, hence one of its own.
FILL = """
import resource, signal, sys
from service.errors import DiskFull
from service.jobs.database import Database
from service.jobs.rows import Rows
from tests.service.jobs.making import accepted
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
rows = Rows(Database.open(f"sqlite:///{sys.argv[1]}"))
try:
    accepted(rows, 5000)
except DiskFull as error:
    print(type(error).__name__, error.code)
"""


def test_migrations_travel_with_the_package() -> None:
    folder = Path(migrate.__file__).parent / "migrations"
    assert (folder / "env.py").is_file()
    assert list((folder / "versions").glob("v0001_*.py"))
