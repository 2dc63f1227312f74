"""The end of jobs, and what of the store is theirs."""

from __future__ import annotations

import pytest

from service.errors import Conflict, UnknownJob
from service.jobs.database import Database
from service.jobs.rows import WEEK, Rows
from tests.service.jobs.making import FAILED, accepted, claimed, done, file_of, time_passes


def finished(rows: Rows, **changes: str) -> str:
    """The id of a job whose one item went well."""
    job_id = accepted(rows, 1, **changes)
    claim = claimed(rows)
    rows.commit(claim, done(claim))
    return job_id


@pytest.mark.parametrize("outcome", ["succeeded", "failed"])
def test_a_finished_job_is_not_cancelled(rows: Rows, outcome: str) -> None:
    job_id = accepted(rows)
    claim = claimed(rows)
    rows.commit(claim, done(claim) if outcome == "succeeded" else FAILED)
    with pytest.raises(Conflict, match=rf"^Found a job that is {outcome}; wanted one that is queued or running\."):
        rows.cancel(job_id, "")
    try:
        rows.cancel(job_id, "")
    except Conflict as error:
        assert error.code == "job_finished"


def test_erase_forgets_the_job_and_names_its_keys(rows: Rows) -> None:
    job_id, other = accepted(rows, 2, key="k"), accepted(rows, 1)
    first, second = claimed(rows), claimed(rows)
    rows.commit(first, done(first))
    rows.checkpoint(second, file_of(second, "c"))
    inputs = {f"jobs/{job_id}/{n}/input" for n in range(2)}
    named = rows.erase(job_id, "")
    assert set(named) == inputs | {file_of(first).key, file_of(second, "c").key}
    assert len(named) == len(set(named))
    with pytest.raises(UnknownJob, match="no job of this id"):
        rows.job(job_id, "")
    assert rows.known_keys_of(f"jobs/{job_id}/") == frozenset()
    assert rows.begin_key("", "k", 10) is None
    assert [row.id for row in rows.jobs("", 9, 0)] == [other]


def test_jobs_expire_by_age(rows: Rows, database: Database) -> None:
    old = finished(rows, key="k")
    time_passes(database, WEEK - 60)
    young, running = finished(rows), accepted(rows)
    assert rows.expire() == ()
    time_passes(database, 120)
    before = rows.job(old, "")
    assert set(rows.expire()) == {f"jobs/{old}/0/input", f"jobs/{old}/0/1/answer.json"}
    row, item = rows.job(old, ""), rows.item(old, "", 0)
    assert (row.state, row.done, row.seq) == ("expired", 1, before.seq + 1)
    assert (item.state, item.files, item.summary) == ("succeeded", (), {})
    assert rows.known_keys_of(f"jobs/{old}/") == frozenset()
    assert [rows.job(one, "").state for one in (young, running)] == ["succeeded", "queued"]
    assert rows.expire() == ()
    with pytest.raises(Conflict, match="a job that is expired"):
        rows.cancel(old, "")


def test_the_expired_are_forgotten_in_the_end(rows: Rows, database: Database) -> None:
    old = finished(rows, key="k")
    rows.begin_key("", "abandoned", 10)
    time_passes(database, WEEK + 1)
    rows.expire()
    assert rows.begin_key("", "k", 10) == old
    time_passes(database, WEEK)
    rows.expire()
    assert rows.jobs("", 9, 0) == ()
    assert rows.begin_key("", "k", 10) is None


def test_expiry_goes_in_portions(rows: Rows, database: Database) -> None:
    for _ in range(3):
        finished(rows)
    time_passes(database, WEEK + 1)
    assert [len(rows.expire(2)) for _ in range(3)] == [4, 2, 0]


def test_the_oldest_is_given_up_first(rows: Rows, database: Database) -> None:
    assert rows.oldest_finished() is None
    first = finished(rows)
    time_passes(database, 1)
    second = finished(rows)
    running = accepted(rows)
    assert rows.oldest_finished() == first
    assert len(rows.expire_job(first)) == 2
    assert rows.expire_job(first) == ()
    assert rows.oldest_finished() == second
    rows.expire_job(second)
    assert rows.oldest_finished() is None
    assert rows.expire_job(running) == rows.expire_job("none") == ()
    assert rows.job(running, "").state == "queued"


@pytest.mark.parametrize("prefix", ["", "jobs", "jobs/", "jobs//", "jobs/abc", "other/abc/"])
def test_the_sweeper_asks_for_one_job_at_a_time(rows: Rows, prefix: str) -> None:
    with pytest.raises(ValueError, match=r"^Found the prefix '.*'; wanted jobs/<id>/ or below\."):
        rows.known_keys_of(prefix)


def test_cancelled_jobs_name_no_checkpoint(rows: Rows) -> None:
    job_id = accepted(rows)
    claim = claimed(rows)
    rows.checkpoint(claim, file_of(claim, "c"))
    rows.cancel(job_id, "")
    assert rows.known_keys_of(f"jobs/{job_id}/") == {f"jobs/{job_id}/0/input"}
