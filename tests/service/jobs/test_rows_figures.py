"""How jobs stand as a whole: counts that only grow, ages, workers; on both databases."""

from __future__ import annotations

from contextlib import closing

import pytest
from sqlalchemy import text

from service.jobs.database import Database
from service.jobs.rows import Rows
from service.jobs.sql.tallies import NAMES
from service.jobs.tables import METADATA
from tests.service.jobs.making import (
    FAILED,
    accepted,
    claimed,
    done,
    leases_run_out,
    new_items,
    new_job,
    time_passes,
)

# Tables that the first version had.
FIRST = {"jobs", "items", "keys", "workers", "locks"}
NOTHING = dict.fromkeys(NAMES, 0)


def test_of_an_empty_database_all_is_nothing(rows: Rows) -> None:
    found = rows.figures("cpu")
    assert (found.queued, found.running, found.oldest_waiting_s, found.idle, found.busy) == (0, 0, 0, 0, 0)
    assert (found.last_told, found.longest_silence_s, found.tallies) == (None, 0, NOTHING)


def test_every_item_is_counted_once_by_its_end(rows: Rows, database: Database) -> None:
    job = new_job()
    rows.accept(job, new_items(job.id, 5, broken=(4,)))
    one = claimed(rows)
    assert rows.commit(one, done(one))
    assert rows.commit(one, done(one))
    assert rows.commit(claimed(rows), FAILED)
    claimed(rows, "dies")
    claimed(rows, "silent")
    assert rows.bury("dies") == 1
    leases_run_out(database)
    assert rows.reap() == 1
    given_back = claimed(rows)
    rows.release(given_back)
    rows.cancel(job.id, "")
    ended = {"succeeded": 1, "failed": 2, "cancelled": 2}
    assert rows.figures("cpu").tallies == {**ended, "attempts": 5, "worker_died": 1, "lease_expired": 1}
    assert rows.figures("cuda").tallies == NOTHING


def test_counts_outlive_their_jobs(rows: Rows) -> None:
    job_id = accepted(rows)
    claim = claimed(rows)
    rows.commit(claim, done(claim))
    before = rows.figures("cpu").tallies
    rows.erase(job_id, "")
    assert rows.figures("cpu").tallies == before == {**NOTHING, "attempts": 1, "succeeded": 1}


def test_a_poisoned_item_is_a_failed_one(rows: Rows) -> None:
    accepted(rows)
    for _ in range(4):
        claimed(rows, "w")
        rows.bury("w")
    assert rows.figures("cpu").tallies == {**NOTHING, "attempts": 4, "worker_died": 4, "failed": 1}


def test_what_waits_and_for_how_long(rows: Rows, database: Database) -> None:
    accepted(rows, 3)
    time_passes(database, 100)
    accepted(rows, 2)
    accepted(rows, 7, device_class="cuda")
    for _ in range(3):
        claimed(rows)
    found = rows.figures("cpu")
    assert (found.queued, found.running) == (2, 3)
    # The older job is all in hand: the other one waits.
    assert 0 <= found.oldest_waiting_s < 50
    assert rows.figures("cuda").queued == 7
    rows.bury("w1")
    assert 100 <= rows.figures("cpu").oldest_waiting_s < 150


def test_workers_by_what_they_do_and_when_they_were_heard_of(rows: Rows, database: Database) -> None:
    rows.beat("w1", "cpu", True, 0)
    time_passes(database, 100)
    rows.beat("w2", "cpu", False, 0)
    found = rows.figures("cpu")
    assert (found.idle, found.busy) == (1, 1)
    assert 100 <= found.longest_silence_s < 150
    assert found.last_told is not None
    assert found.last_told > 1.7e9
    assert rows.figures("cuda").last_told is None


def test_a_transaction_that_is_undone_counts_nothing(rows: Rows) -> None:
    job = new_job()
    with pytest.raises(Exception, match="."):
        rows.accept(job, [*new_items(job.id, 2, broken=(0,)), None])  # type: ignore[list-item]
    assert rows.figures("cpu").tallies == NOTHING


def test_tables_of_the_first_version_get_counts_and_keep_their_jobs(empty_url: str) -> None:
    with closing(Database.open(empty_url)) as database:
        database.upgrade()
        _as_in_the_first_version(database)
        rows = Rows(database)
        job_id = accepted(rows, 2)
        database.upgrade()
        assert rows.job(job_id, "").total == 2
        claim = claimed(rows)
        rows.commit(claim, done(claim))
        assert rows.figures("cpu").tallies["succeeded"] == 1


def _as_in_the_first_version(database: Database) -> None:
    with database.write() as link:
        for table in reversed(METADATA.sorted_tables):
            if table.name not in FIRST:
                table.drop(link)
        link.execute(text("UPDATE alembic_version SET version_num = '0001'"))
