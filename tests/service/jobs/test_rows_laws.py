"""What holds of the rows whatever happens, in any order: hypothesis plays two workers, a client and the clock."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from service.errors import Cancelled, LeaseLost, UnknownJob
from service.jobs.database import Database
from service.jobs.model import FINAL_ITEM_STATES, FINAL_JOB_STATES, Claim, JobRow
from service.jobs.rows import Rows
from service.jobs.sql.counting import final_state
from tests.service.jobs.making import FAILED, done, empty, leases_run_out, new_items, new_job

OWNERS = st.sampled_from(["", "anna"])
WORKERS = st.sampled_from(["w1", "w2"])
PLACES = st.integers(0, 50)
MOST_JOBS = 3


@dataclass
class Expected:
    """One item as it should stand."""

    state: str = "queued"
    deaths: int = 0
    holder: Claim | None = None
    lease_over: bool = False
    ended_by: Claim | None = None

    def free(self, state: str) -> None:
        """Nobody holds it now."""
        self.state, self.holder, self.lease_over = state, None, False

    def die(self) -> None:
        """Its worker died."""
        self.deaths += 1
        self.free("failed" if self.deaths > 3 else "queued")


@dataclass
class Job:
    """One job as it should stand."""

    owner: str
    items: list[Expected]
    cancelled: bool = False
    seq: int = 0
    seen: Any = None
    finals: dict[int, str] = field(default_factory=dict)

    def state(self) -> str:
        """The state that its items make."""
        if self.cancelled:
            return "cancelled"
        counts = Counter(item.state for item in self.items)
        if not counts["queued"] and not counts["running"]:
            return final_state(len(self.items), counts["failed"])
        return "running"


class Laws(RuleBasedStateMachine):
    """The rows beside a plain account of what they should say."""

    def __init__(self, database: Database) -> None:
        super().__init__()
        empty(database)
        self.database, self.rows = database, Rows(database)
        self.jobs: dict[str, Job] = {}
        self.erased: set[str] = set()
        self.given: list[Claim] = []

    # -- what a client does -------------------------------------------------------------------------------------------

    @initialize(number=st.integers(1, 3))
    def first_job(self, number: int) -> None:
        self.accept("", [False] * number)

    def room_for_a_job(self) -> bool:
        """Few jobs meet the same trouble more often."""
        return len(self.jobs) < MOST_JOBS

    @precondition(room_for_a_job)
    @rule(owner=OWNERS, broken=st.lists(st.booleans(), min_size=1, max_size=3))
    def accept(self, owner: str, broken: list[bool]) -> None:
        job = new_job(owner=owner)
        marked = tuple(n for n, bad in enumerate(broken) if bad)
        self.rows.accept(job, new_items(job.id, len(broken), marked))
        self.jobs[job.id] = Job(owner, [Expected("failed" if bad else "queued") for bad in broken])

    def any_open(self) -> bool:
        """A job has not ended."""
        return bool(self._open())

    def _open(self) -> list[str]:
        return [job_id for job_id, job in self.jobs.items() if job.state() == "running"]

    @precondition(any_open)
    @rule(place=PLACES)
    def cancel(self, place: int) -> None:
        job_id = self._open()[place % len(self._open())]
        job = self.jobs[job_id]
        self.rows.cancel(job_id, job.owner)
        job.cancelled = True
        for item in job.items:
            if item.state not in FINAL_ITEM_STATES:
                item.free("cancelled")

    @precondition(lambda self: len(self.jobs) == MOST_JOBS)
    @rule(place=PLACES)
    def erase(self, place: int) -> None:
        job_id = list(self.jobs)[place % MOST_JOBS]
        self.rows.erase(job_id, self.jobs.pop(job_id).owner)
        self.erased.add(job_id)

    # -- what workers do ----------------------------------------------------------------------------------------------

    @rule(worker=WORKERS)
    def claim(self, worker: str) -> None:
        claim = self.rows.claim(worker, "cpu", 60)
        waiting = [item for job in self.jobs.values() for item in job.items if item.state == "queued"]
        assert (claim is None) == (not waiting)
        if claim is None:
            return
        item = self.jobs[claim.job_id].items[claim.n]
        assert item.state == "queued"
        assert claim.alone == (item.deaths == 3)
        assert self._running(claim.job.owner) == min(self._running(owner) for owner in self._owners_waiting())
        item.state, item.holder = "running", claim
        self.given.append(claim)

    def _owners_waiting(self) -> set[str]:
        return {job.owner for job in self.jobs.values() if any(item.state == "queued" for item in job.items)}

    def _running(self, owner: str) -> int:
        jobs = (job for job in self.jobs.values() if job.owner == owner)
        return sum(item.state == "running" for job in jobs for item in job.items)

    def _held(self, claim: Claim) -> bool:
        job = self.jobs.get(claim.job_id)
        return job is not None and job.items[claim.n].holder == claim

    def _some(self, place: int, *, held: bool) -> Claim:
        found = [claim for claim in self.given if self._held(claim) == held]
        return found[place % len(found)]

    def any_held(self) -> bool:
        """A worker has an item that is its own."""
        return any(self._held(claim) for claim in self.given)

    def any_stale(self) -> bool:
        """A worker has an item that is no longer its own."""
        return not all(self._held(claim) for claim in self.given)

    @precondition(any_held)
    @rule(place=PLACES, steps=st.integers(0, 9))
    def go_on(self, place: int, steps: int) -> None:
        claim = self._some(place, held=True)
        self.rows.renew(claim, 60)
        self.rows.progress(claim, "lesion", steps, 9)
        self.jobs[claim.job_id].items[claim.n].lease_over = False

    @precondition(any_held)
    @rule(place=PLACES, well=st.booleans())
    def commit(self, place: int, well: bool) -> None:
        claim = self._some(place, held=True)
        assert self.rows.commit(claim, done(claim) if well else FAILED)
        item = self.jobs[claim.job_id].items[claim.n]
        item.free("succeeded" if well else "failed")
        item.ended_by = claim

    @precondition(any_held)
    @rule(place=PLACES)
    def release(self, place: int) -> None:
        claim = self._some(place, held=True)
        self.rows.release(claim)
        self.jobs[claim.job_id].items[claim.n].free("queued")

    @precondition(any_stale)
    @rule(place=PLACES, action=st.sampled_from(["renew", "progress", "checkpoint"]))
    def be_told(self, place: int, action: str) -> None:
        claim = self._some(place, held=False)
        arguments: dict[str, tuple[Any, ...]] = {"renew": (60,), "progress": ("late", 1, 1), "checkpoint": (None,)}
        cancelled = claim.job_id in self.erased or self.jobs[claim.job_id].cancelled
        with pytest.raises(Cancelled if cancelled else LeaseLost):
            getattr(self.rows, action)(claim, *arguments[action])

    @precondition(any_stale)
    @rule(place=PLACES)
    def come_too_late(self, place: int) -> None:
        claim = self._some(place, held=False)
        self.rows.release(claim)
        known = claim.job_id in self.jobs and self.jobs[claim.job_id].items[claim.n].ended_by == claim
        assert self.rows.commit(claim, done(claim)) == known

    # -- what befalls them --------------------------------------------------------------------------------------------

    @precondition(any_held)
    @rule(place=PLACES)
    def stall(self, place: int) -> None:
        claim = self._some(place, held=True)
        leases_run_out(self.database, claim)
        self.jobs[claim.job_id].items[claim.n].lease_over = True

    @rule()
    def reap(self) -> None:
        dead = [item for job in self.jobs.values() for item in job.items if item.lease_over]
        assert self.rows.reap() == len(dead)
        for item in dead:
            item.die()

    @rule(worker=WORKERS)
    def bury(self, worker: str) -> None:
        items = [item for job in self.jobs.values() for item in job.items]
        dead = [item for item in items if item.holder is not None and item.holder.worker == worker]
        assert self.rows.bury(worker) == len(dead)
        for item in dead:
            item.die()

    @rule(times=st.integers(1, 4), worker=WORKERS)
    def keep_dying(self, times: int, worker: str) -> None:
        for _ in range(times):
            self.claim(worker)
            self.bury(worker)

    # -- what holds always --------------------------------------------------------------------------------------------

    @invariant()
    def rows_say_what_happened(self) -> None:
        for job_id, job in self.jobs.items():
            row = self.rows.job(job_id, job.owner)
            items = self.rows.items(job_id, job.owner, 100, 0)
            assert [item.state for item in items] == [item.state for item in job.items]
            self._check_counters(row, job)
            seen = (row.state, row.done, row.stage, [(item.state, item.stage, item.steps_done) for item in items])
            assert row.seq > job.seq if seen != job.seen else row.seq >= job.seq
            job.seq, job.seen = row.seq, seen
            self._check_finals(job)

    @invariant()
    def totals_equal_the_items(self) -> None:
        counts = Counter(item.state for job in self.jobs.values() for item in job.items)
        assert (self.rows.waiting("cpu"), self.rows.running("cpu")) == (counts["queued"], counts["running"])

    def _check_counters(self, row: JobRow, job: Job) -> None:
        counts = Counter(item.state for item in job.items)
        final = sum(counts[state] for state in FINAL_ITEM_STATES)
        assert (row.total, row.done, row.failed) == (len(job.items), final, counts["failed"])
        assert row.state == job.state() or (row.state == "queued" and job.state() == "running")
        assert (row.finished is not None) == (row.state in FINAL_JOB_STATES) == (final == row.total)

    def _check_finals(self, job: Job) -> None:
        for n, item in enumerate(job.items):
            if item.state in FINAL_ITEM_STATES:
                assert job.finals.setdefault(n, item.state) == item.state

    def teardown(self) -> None:
        """Left to one honest worker, every job comes to its end."""
        leases_run_out(self.database)
        self.rows.reap()
        while (claim := self.rows.claim("last", "cpu", 60)) is not None:
            assert self.rows.commit(claim, done(claim))
        for job_id, job in self.jobs.items():
            assert self.rows.job(job_id, job.owner).state in FINAL_JOB_STATES
            assert all(item.state in FINAL_ITEM_STATES for item in self.rows.items(job_id, job.owner, 100, 0))
        for job_id in self.erased:
            for owner in ("", "anna"):
                self._check_erased(job_id, owner)

    def _check_erased(self, job_id: str, owner: str) -> None:
        with pytest.raises(UnknownJob):
            self.rows.job(job_id, owner)


def test_laws_of_the_rows(database: Database, database_url: str) -> None:
    searched = settings(
        # The statements are the same on both; the search is done where it costs less.
        max_examples=30 if database_url.startswith("sqlite") else 8,
        stateful_step_count=30,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    )
    run_state_machine_as_test(lambda: Laws(database), settings=searched)
