"""Taking jobs in, once each, and asking for them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.exc import IntegrityError

from service.errors import BadParameter, Conflict, UnknownJob
from service.jobs.database import Database
from service.jobs.rows import Rows
from tests.service.jobs.making import PROBLEM, accepted, new_items, new_job, time_passes


def test_a_job_is_taken_in_whole(rows: Rows) -> None:
    job = new_job(owner="anna")
    row = rows.accept(job, new_items(job.id, 3, broken=(1,)))
    assert row == rows.job(job.id, "anna")
    assert (row.state, row.total, row.done, row.failed, row.seq) == ("queued", 3, 1, 1, 1)
    assert (row.pipeline, row.version, row.weights) == (job.pipeline, job.version, job.weights)
    assert (row.outputs, row.parameters) == (job.outputs, job.parameters)
    assert (row.finished, row.expires, row.stage) == (None, None, None)
    assert abs(row.created - datetime.now(UTC)) < timedelta(seconds=5)
    items = rows.items(job.id, "anna", 10, 0)
    assert [(item.n, item.name, item.state) for item in items] == [
        (0, "0.png", "queued"),
        (1, "1.png", "failed"),
        (2, "2.png", "queued"),
    ]
    assert [item.problem for item in items] == [None, PROBLEM, None]
    assert rows.waiting("cpu") == 2


def test_a_job_of_broken_items_alone_has_failed_at_once(rows: Rows) -> None:
    job = new_job()
    row = rows.accept(job, new_items(job.id, 2, broken=(0, 1)))
    assert (row.state, row.done, row.failed) == ("failed", 2, 2)
    assert row.finished is not None
    assert row.expires == row.finished + timedelta(days=7)
    assert rows.claim("w", "cpu", 10) is None


def test_a_job_without_items_is_refused(rows: Rows) -> None:
    with pytest.raises(BadParameter, match=r"^Found a job without files; wanted at least one file\."):
        rows.accept(new_job(), [])
    assert rows.jobs("", 10, 0) == ()


def test_a_failed_accept_leaves_nothing(rows: Rows) -> None:
    job = new_job(key="k")
    first, second = new_items(job.id, 2)
    with pytest.raises(IntegrityError):
        rows.accept(job, [first, replace(second, kind=None)])  # type: ignore[arg-type]
    assert rows.jobs("", 10, 0) == ()
    assert rows.begin_key("", "k", 10) is None


def test_any_name_can_be_kept(rows: Rows) -> None:
    job = new_job()
    names = ["a\0b.png", "caf\udce9.png", "../../etc/passwd", "乳房 🩻.png", ""]
    rows.accept(job, [replace(item, name=name) for item, name in zip(new_items(job.id, 5), names, strict=True)])
    kept = [item.name for item in rows.items(job.id, "", 10, 0)]
    assert kept == ["a\N{REPLACEMENT CHARACTER}b.png", "caf?.png", "../../etc/passwd", "乳房 🩻.png", ""]


def test_a_strangers_job_is_unknown(rows: Rows) -> None:
    job_id = accepted(rows, owner="anna")
    questions = [
        lambda: rows.job(job_id, "ben"),
        lambda: rows.items(job_id, "ben", 10, 0),
        lambda: rows.item(job_id, "ben", 0),
        lambda: rows.cancel(job_id, ""),
        lambda: rows.erase(job_id, "ben"),
        lambda: rows.job("none", "anna"),
    ]
    for question in questions:
        with pytest.raises(
            UnknownJob, match=r"^Found no job of this id; wanted the id of one of your jobs\."
        ) as caught:
            question()
        assert caught.value.code == "unknown_job"
    assert rows.jobs("ben", 10, 0) == ()


def test_an_item_that_is_not_there_is_unknown(rows: Rows) -> None:
    job_id = accepted(rows, 2)
    assert rows.item(job_id, "", 1).name == "1.png"
    with pytest.raises(UnknownJob, match=r"^Found no item 2 in this job; wanted one of its items\.") as caught:
        rows.item(job_id, "", 2)
    assert caught.value.code == "unknown_item"


def test_lists_are_paged(rows: Rows, database: Database) -> None:
    ids = []
    for _ in range(4):
        ids.append(accepted(rows, 7))
        time_passes(database, 1)
    assert [row.id for row in rows.jobs("", 3, 0)] == ids[:0:-1]
    assert [row.id for row in rows.jobs("", 3, 3)] == ids[:1]
    assert [item.n for item in rows.items(ids[0], "", 3, 2)] == [2, 3, 4]
    assert [item.n for item in rows.items(ids[0], "", 100, 5)] == [5, 6]
    assert rows.items(ids[0], "", 5, 7) == ()


def test_a_key_leads_to_one_job(rows: Rows) -> None:
    first = new_job(key="k")
    assert rows.begin_key("", "k", 10) is None
    accepted_row = rows.accept(first, new_items(first.id, 1))
    assert rows.begin_key("", "k", 10) == first.id
    again = new_job(key="k")
    assert rows.accept(again, new_items(again.id, 1)) == accepted_row
    assert rows.repeat("", "k", first.fingerprint) == accepted_row
    assert [row.id for row in rows.jobs("", 10, 0)] == [first.id]


def test_a_key_belongs_to_its_owner(rows: Rows) -> None:
    accepted(rows, key="k", owner="anna")
    assert rows.begin_key("ben", "k", 10) is None
    with pytest.raises(UnknownJob, match=r"^Found an Idempotency-Key that led to no job"):
        rows.repeat("ben", "k", "x")


def test_a_key_with_other_content_is_a_conflict(rows: Rows) -> None:
    accepted(rows, key="k")
    other = new_job(key="k", fingerprint="99" * 32)
    for attempt in (lambda: rows.accept(other, new_items(other.id, 1)), lambda: rows.repeat("", "k", "99" * 32)):
        with pytest.raises(Conflict, match=r"^Found an Idempotency-Key that was used for other files") as caught:
            attempt()
        assert caught.value.code == "idempotency_mismatch"
    assert len(rows.jobs("", 10, 0)) == 1


def test_a_key_is_received_under_once_at_a_time(rows: Rows, database: Database) -> None:
    assert rows.begin_key("", "k", 30) is None
    with pytest.raises(Conflict, match=r"that is still being received") as caught:
        rows.begin_key("", "k", 30)
    assert caught.value.code == "idempotency_receiving"
    time_passes(database, 20)
    rows.prolong_key("", "k", 30)
    time_passes(database, 20)
    with pytest.raises(Conflict, match=r"that is still being received"):
        rows.begin_key("", "k", 30)
    rows.abandon_key("", "k")
    assert rows.begin_key("", "k", 30) is None


def test_a_request_whose_process_died_is_taken_over(rows: Rows, database: Database) -> None:
    rows.begin_key("", "k", 30)
    time_passes(database, 31)
    assert rows.begin_key("", "k", 30) is None
    # The one thought dead ends first after all: both get the same job.
    first, second = new_job(key="k"), new_job(key="k")
    assert rows.accept(first, new_items(first.id, 1)).id == first.id
    assert rows.accept(second, new_items(second.id, 1)).id == first.id
    rows.abandon_key("", "k")
    assert rows.begin_key("", "k", 30) == first.id


def test_fifty_equal_requests_at_once_are_one_job(rows: Rows) -> None:
    def post(_: int) -> str:
        job = new_job(key="k")
        return rows.accept(job, new_items(job.id, 3)).id

    with ThreadPoolExecutor(10) as threads:
        ids = set(threads.map(post, range(50)))
    assert len(ids) == 1
    assert [row.id for row in rows.jobs("", 100, 0)] == list(ids)
    assert rows.waiting("cpu") == 3
