"""Items in the hands of workers: whose turn it is, what a lease is worth, and what deaths lead to."""

from __future__ import annotations

import dataclasses

import pytest

from service.errors import Cancelled, LeaseLost, UnknownJob
from service.jobs.database import Database
from service.jobs.model import Failed
from service.jobs.rows import Rows
from tests.service.jobs.making import (
    FAILED,
    LEASE_S,
    PROBLEM,
    accepted,
    claimed,
    done,
    file_of,
    leases_run_out,
    new_items,
    new_job,
    time_passes,
)


def test_a_claim_says_all_that_the_work_needs(database: Database) -> None:
    rows = Rows(database, item_seconds=77)
    job = new_job(key="k")
    items = new_items(job.id, 2)
    row = rows.accept(job, items)
    claim = claimed(rows, "w7")
    assert dataclasses.astuple(claim)[:7] == (job.id, 0, "w7", 1, 1, False, 77)
    assert (claim.item, claim.job, claim.created, claim.checkpoint) == (items[0], job, row.created, None)
    assert rows.job(job.id, "").state == "running"
    assert [item.state for item in rows.items(job.id, "", 9, 0)] == ["running", "queued"]
    assert (rows.waiting("cpu"), rows.running("cpu")) == (1, 1)


def test_nothing_waits_for_nobody(rows: Rows) -> None:
    assert rows.claim("w", "cpu", 10) is None
    accepted(rows, device_class="cuda")
    assert rows.claim("w", "cpu", 10) is None
    assert (rows.waiting("cpu"), rows.waiting("cuda")) == (0, 1)
    claim = rows.claim("w", "cuda", 10)
    assert claim is not None
    assert claim.job.device_class == "cuda"
    assert (rows.running("cpu"), rows.running("cuda")) == (0, 1)


def test_the_oldest_job_first_and_its_items_in_order(rows: Rows, database: Database) -> None:
    first = accepted(rows, 2)
    time_passes(database, 1)
    second = accepted(rows, 2)
    order = [claimed(rows) for _ in range(4)]
    assert [(claim.job_id, claim.n) for claim in order] == [(first, 0), (first, 1), (second, 0), (second, 1)]


def test_owners_share_the_workers(rows: Rows, database: Database) -> None:
    accepted(rows, 50, owner="many")
    time_passes(database, 10)
    accepted(rows, 2, owner="few")
    time_passes(database, 10)
    accepted(rows, 1, owner="last")
    claims = [claimed(rows, f"w{n}") for n in range(6)]
    assert [claim.job.owner for claim in claims] == ["many", "few", "last", "many", "few", "many"]
    # An owner whose item ends has one fewer in work, and the next turn.
    rows.commit(claims[2], done(claims[2]))
    accepted(rows, 1, owner="last")
    assert claimed(rows).job.owner == "last"


def test_progress_is_seen_and_counted(rows: Rows) -> None:
    job_id = accepted(rows)
    claim = claimed(rows)
    before = rows.job(job_id, "").seq
    rows.progress(claim, "lesion", 3, 8)
    row, item = rows.job(job_id, ""), rows.item(job_id, "", 0)
    assert (row.stage, row.seq, row.done) == ("lesion 3/8", before + 1, 0)
    assert (item.stage, item.steps_done, item.steps_total) == ("lesion", 3, 8)


def test_a_checkpoint_outlives_its_worker(rows: Rows, database: Database) -> None:
    accepted(rows)
    claim = claimed(rows)
    first, second = file_of(claim, "c1"), file_of(claim, "c2")
    assert rows.checkpoint(claim, first) is None
    assert rows.checkpoint(claim, second) == first
    leases_run_out(database)
    rows.reap()
    later = claimed(rows, "w2")
    assert later.checkpoint == second
    assert rows.checkpoint(later, None) == second
    rows.commit(later, done(later))


def test_a_committed_item_shows_its_files(rows: Rows) -> None:
    job_id = accepted(rows, 2)
    first, second = claimed(rows), claimed(rows)
    rows.checkpoint(first, file_of(first, "c"))
    assert rows.commit(first, done(first))
    item = rows.item(job_id, "", 0)
    assert (item.state, item.files, item.summary) == ("succeeded", (file_of(first),), done(first).summary)
    assert rows.known_keys_of(f"jobs/{job_id}/0/") == {f"jobs/{job_id}/0/input", file_of(first).key}
    row = rows.job(job_id, "")
    assert (row.state, row.done, row.failed, row.finished) == ("running", 1, 0, None)
    assert rows.commit(second, FAILED)
    item = rows.item(job_id, "", 1)
    assert (item.state, item.problem, item.files) == ("failed", PROBLEM, ())
    row = rows.job(job_id, "")
    assert (row.state, row.done, row.failed) == ("partial", 2, 1)
    assert row.finished is not None
    assert rows.finished_within("cpu", 60) == 2
    assert rows.finished_within("cuda", 60) == 0


@pytest.mark.parametrize(("failures", "state"), [(0, "succeeded"), (1, "partial"), (2, "failed")])
def test_a_job_ends_as_its_items_did(rows: Rows, failures: int, state: str) -> None:
    job_id = accepted(rows, 2)
    for number in range(2):
        claim = claimed(rows)
        rows.commit(claim, FAILED if number < failures else done(claim))
    assert rows.job(job_id, "").state == state


def test_the_same_commit_twice_is_one(rows: Rows) -> None:
    job_id = accepted(rows, 2)
    claim = claimed(rows)
    assert rows.commit(claim, done(claim))
    row = rows.job(job_id, "")
    assert rows.commit(claim, done(claim))
    assert rows.job(job_id, "") == row


def test_a_lease_that_is_renewed_is_not_reaped(rows: Rows, database: Database) -> None:
    accepted(rows)
    claim = claimed(rows)
    time_passes(database, LEASE_S - 1)
    rows.renew(claim, LEASE_S)
    time_passes(database, LEASE_S - 1)
    assert rows.reap() == 0
    time_passes(database, 2)
    assert rows.reap() == 1


def test_a_fenced_worker_can_do_nothing(rows: Rows, database: Database) -> None:
    job_id = accepted(rows)
    stale = claimed(rows, "slow")
    leases_run_out(database)
    assert rows.reap() == 1
    fresh = claimed(rows, "next")
    assert fresh.token > stale.token
    assert fresh.attempt == 2
    before = rows.job(job_id, ""), rows.item(job_id, "", 0)
    for attempt in (
        lambda: rows.renew(stale, 10),
        lambda: rows.progress(stale, "late", 1, 1),
        lambda: rows.checkpoint(stale, file_of(stale)),
    ):
        with pytest.raises(LeaseLost, match=r"^Found an item that was given to another; wanted one still leased\."):
            attempt()
    assert not rows.commit(stale, done(stale))
    rows.release(stale)
    assert (rows.job(job_id, ""), rows.item(job_id, "", 0)) == before
    assert rows.commit(fresh, done(fresh))
    assert rows.item(job_id, "", 0).files == (file_of(fresh),)
    assert not rows.commit(stale, done(stale))


def test_a_worker_late_but_not_fenced_goes_on(rows: Rows, database: Database) -> None:
    accepted(rows)
    claim = claimed(rows)
    leases_run_out(database)
    rows.renew(claim, LEASE_S)
    assert rows.reap() == 0
    assert rows.commit(claim, done(claim))


def test_what_is_released_has_not_died(rows: Rows) -> None:
    job_id = accepted(rows)
    for attempt in range(1, 7):
        claim = claimed(rows)
        assert (claim.attempt, claim.alone) == (attempt, False)
        rows.progress(claim, "lesion", 1, 2)
        rows.release(claim)
        item = rows.item(job_id, "", 0)
        assert (item.state, item.stage, item.steps_done) == ("queued", None, 0)
        assert rows.waiting("cpu") == 1


def test_after_three_deaths_alone_then_poisoned(rows: Rows, database: Database) -> None:
    job_id = accepted(rows, 2)
    for death in range(3):
        first = claimed(rows)
        assert (first.n, first.alone) == (0 if death == 0 else first.n, False)
        while first.n != 0:
            rows.commit(first, done(first))
            first = claimed(rows)
        leases_run_out(database)
        assert rows.reap() == 1
    last = claimed(rows)
    assert (last.n, last.attempt, last.alone) == (0, 4, True)
    leases_run_out(database)
    assert rows.reap() == 1
    assert not rows.commit(last, done(last))
    item, row = rows.item(job_id, "", 0), rows.job(job_id, "")
    assert item.problem is not None
    assert (item.state, item.problem.code) == ("failed", "poisoned")
    assert (row.state, row.done, row.failed) == ("partial", 2, 1)
    assert rows.claim("w", "cpu", 10) is None


def test_what_killed_its_worker_waits_for_its_neighbours(rows: Rows, database: Database) -> None:
    accepted(rows, 3)
    claimed(rows)
    leases_run_out(database)
    rows.reap()
    assert [claimed(rows).n for _ in range(3)] == [1, 2, 0]


def test_a_buried_worker_frees_its_items_at_once(rows: Rows) -> None:
    first, second = accepted(rows, 1, owner="anna"), accepted(rows, 2, owner="ben")
    dead = [claimed(rows, "dead"), claimed(rows, "dead")]
    alive = claimed(rows, "alive")
    rows.beat("dead", "cpu", True, 0)
    assert rows.bury("dead") == 2
    assert rows.bury("dead") == 0
    assert rows.workers() == ()
    assert {claim.job_id for claim in dead} == {first, second}
    assert not any(rows.commit(claim, done(claim)) for claim in dead)
    assert rows.commit(alive, Failed(PROBLEM))
    assert rows.waiting("cpu") == 2


def test_cancel_ends_all_that_is_open(rows: Rows) -> None:
    job_id = accepted(rows, 3)
    first, second = claimed(rows), claimed(rows)
    rows.commit(first, done(first))
    seq = rows.job(job_id, "").seq
    row = rows.cancel(job_id, "")
    assert row == rows.job(job_id, "") == rows.cancel(job_id, "")
    assert (row.state, row.done, row.failed, row.stage) == ("cancelled", 3, 0, None)
    assert row.seq > seq
    assert [item.state for item in rows.items(job_id, "", 9, 0)] == ["succeeded", "cancelled", "cancelled"]
    for attempt in (lambda: rows.renew(second, 10), lambda: rows.progress(second, "s", 1, 2)):
        with pytest.raises(Cancelled, match=r"^Found a job that was cancelled or erased; wanted one still wanted\."):
            attempt()
    assert not rows.commit(second, done(second))
    rows.release(second)
    assert (rows.waiting("cpu"), rows.running("cpu"), rows.reap()) == (0, 0, 0)
    assert rows.claim("w", "cpu", 10) is None
    assert rows.job(job_id, "") == row


def test_an_erased_job_stops_its_workers(rows: Rows) -> None:
    job_id = accepted(rows)
    claim = claimed(rows)
    rows.erase(job_id, "")
    with pytest.raises(Cancelled, match=r"^Found a job that was cancelled or erased"):
        rows.checkpoint(claim, None)
    assert not rows.commit(claim, done(claim))
    rows.release(claim)
    assert rows.reap() == 0


def test_how_items_stand_can_be_asked_without_what_they_gave(rows: Rows) -> None:
    job_id = accepted(rows, 3)
    first, second = claimed(rows), claimed(rows)
    rows.commit(first, done(first))
    rows.commit(second, FAILED)
    whole = rows.items(job_id, "", 9, 0)
    assert rows.states(job_id, "", 9, 0) == tuple(dataclasses.replace(one, files=(), summary={}) for one in whole)
    assert [one.n for one in rows.states(job_id, "", 1, 1)] == [1]
    with pytest.raises(UnknownJob, match="no job of this id"):
        rows.states(job_id, "stranger", 9, 0)
