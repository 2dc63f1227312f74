"""Workers that tell they live, and locks between processes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from service.jobs.database import Database
from service.jobs.model import WorkerRow
from service.jobs.rows import Rows
from service.jobs.sql.claims import DEATHS
from service.jobs.sql.deaths import BLAMELESS
from tests.service.jobs.making import accepted, claimed, time_passes


def test_workers_are_known_by_their_work(rows: Rows, database: Database) -> None:
    rows.beat("w1", "cpu", False, 3)
    time_passes(database, 100)
    rows.beat("w2", "cuda", True, 0)
    first, second = rows.workers()
    assert (first.worker, first.device_class, first.busy, first.finished) == ("w1", "cpu", False, 3)
    assert 100 <= first.silent_s < 110
    assert second == WorkerRow("w2", "cuda", True, 0, second.silent_s)
    assert 0 <= second.silent_s < 10
    rows.beat("w1", "cpu", True, 4)
    assert [(one.busy, one.finished) for one in rows.workers()] == [(True, 4), (True, 0)]
    rows.forget("w1")
    rows.forget("w1")
    assert [one.worker for one in rows.workers()] == ["w2"]


def test_items_of_one_that_died_with_its_owner_are_freed_without_a_death(rows: Rows) -> None:
    job_id = accepted(rows)
    for _ in range(BLAMELESS - 1):
        rows.beat("w1", "cpu", True, 0)
        assert not claimed(rows).alone
        assert (rows.free("w1"), rows.workers()) == (1, ())
    # So often is no accident: it may be what kills its worker's owner.
    for _ in range(DEATHS):
        assert not claimed(rows).alone
        rows.free("w1")
    assert claimed(rows).alone
    rows.free("w1")
    problem = rows.item(job_id, "", 0).problem
    assert problem is not None
    assert problem.code == "poisoned"
    assert rows.free("w1") == 0


def test_a_lock_has_one_holder(rows: Rows, database: Database) -> None:
    assert rows.lock("reconcile", "a", 30)
    assert not rows.lock("reconcile", "b", 30)
    assert rows.lock("other", "b", 30)
    time_passes(database, 20)
    assert rows.lock("reconcile", "a", 30)
    time_passes(database, 20)
    assert not rows.lock("reconcile", "b", 30)
    time_passes(database, 20)
    assert rows.lock("reconcile", "b", 30)
    rows.unlock("reconcile", "a")
    assert not rows.lock("reconcile", "a", 30)
    rows.unlock("reconcile", "b")
    assert rows.lock("reconcile", "a", 30)


def test_many_ask_for_a_lock_and_one_gets_it(rows: Rows) -> None:
    with ThreadPoolExecutor(8) as threads:
        got = list(threads.map(lambda n: rows.lock("reconcile", str(n), 30), range(24)))
    assert sum(got) == 1
