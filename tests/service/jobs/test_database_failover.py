"""A PostgreSQL that takes no writes for a while, or ends connections: away, and used again when it is back."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text

from service.errors import DatabaseAway
from service.jobs.database import Database
from service.jobs.rows import Rows
from service.jobs.warden import Warden
from tests.postgres import new_database, read_only
from tests.service.jobs.making import accepted, claimed, done
from tests.serving import until

FOREVER = ("w1", "cpu")


@pytest.fixture
def name() -> str:
    return f"failover_{uuid.uuid4().hex}"


@pytest.fixture
def rows(postgres_folder: Path, name: str) -> Iterator[Rows]:
    database = Database.open(new_database(postgres_folder, name))
    database.upgrade()
    yield Rows(database)
    database.close()


def test_one_that_takes_no_writes_is_away_and_then_used_again(rows: Rows, postgres_folder: Path, name: str) -> None:
    job_id = accepted(rows)
    claim = claimed(rows)
    read_only(postgres_folder, name, True)
    for write in (
        lambda: rows.commit(claim, done(claim)),
        lambda: accepted(rows),
        lambda: rows.beat("w", "cpu", False, 0),
    ):
        with pytest.raises(DatabaseAway, match=r"^Found no answer \(25006\) from the jobs' database"):
            write()
    assert rows.job(job_id, "").state == "running"
    # Connections of before end by themselves: nobody else has to end them.
    with psycopg.connect(host=str(postgres_folder), user="tests", dbname="postgres", autocommit=True) as link:
        link.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = off'.encode())
    with pytest.raises(DatabaseAway):
        rows.commit(claim, done(claim))
    assert rows.commit(claim, done(claim))


def test_a_transaction_that_stood_still_for_too_long_is_told(rows: Rows) -> None:
    with pytest.raises(DatabaseAway, match="from the jobs' database"):
        _stand_still(rows._database)
    assert rows.jobs("", 1, 0) == ()


def _stand_still(database: Database) -> None:
    with database.write() as link:
        link.execute(text("SET LOCAL idle_in_transaction_session_timeout = 50"))
        time.sleep(0.3)
        link.execute(text("SELECT 1"))


def test_the_warden_outlives_a_failover(rows: Rows, postgres_folder: Path, name: str) -> None:
    accepted(rows)
    warden = Warden(rows, FOREVER, 1.5, 5, lambda: False)
    claim = warden.claimed()
    assert claim is not None
    with warden.holding(claim) as held:
        read_only(postgres_folder, name, True)
        until(lambda: held.late)
        read_only(postgres_folder, name, False)
        until(lambda: not held.late)
        held.check()
        assert rows.commit(claim, done(claim))
    warden.close()
