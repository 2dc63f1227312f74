"""What holds of the rows whatever happens, in any order: hypothesis plays two workers, a client and the clock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
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

    claims = Bundle("claims")

    def __init__(self, database: Database) -> None:
        super().__init__()
        empty(database)
        self.database, self.rows = database, Rows(database)
        self.jobs: dict[str, Job] = {}
        self.erased: set[str] = set()

    # -- what a client does -------------------------------------------------------------------------------------------

    @initialize(broken=st.lists(st.booleans(), min_size=2, max_size=3))
    def first_job(self, broken: list[bool]) -> None:
        self.accept("", broken)

    @rule(owner=OWNERS, broken=st.lists(st.booleans(), min_size=1, max_size=3))
    def accept(self, owner: str, broken: list[bool]) -> None:
        job = new_job(owner=owner)
        marked = tuple(n for n, bad in enumerate(broken) if bad)
        self.rows.accept(job, new_items(job.id, len(broken), marked))
        self.jobs[job.id] = Job(owner, [Expected("failed" if bad else "queued") for bad in broken])

    @rule(pick=st.randoms(use_true_random=False))
    def cancel(self, pick: Any) -> None:
        job_id = self._any_open(pick)
        if job_id is None:
            return
        job = self.jobs[job_id]
        self.rows.cancel(job_id, job.owner)
        job.cancelled = True
        for item in job.items:
            if item.state not in FINAL_ITEM_STATES:
                item.free("cancelled")

    @rule(pick=st.randoms(use_true_random=False))
    def erase(self, pick: Any) -> None:
        if len(self.jobs) > 2:
            job_id = pick.choice(sorted(self.jobs))
            self.rows.erase(job_id, self.jobs.pop(job_id).owner)
            self.erased.add(job_id)

    def _any_open(self, pick: Any) -> str | None:
        found = [job_id for job_id, job in sorted(self.jobs.items()) if job.state() == "running"]
        return pick.choice(found) if found else None

    # -- what workers do ----------------------------------------------------------------------------------------------

    @rule(target=claims, worker=WORKERS)
    def claim(self, worker: str) -> Any:
        claim = self.rows.claim(worker, "cpu", 60)
        waiting = [item for job in self.jobs.values() for item in job.items if item.state == "queued"]
        assert (claim is None) == (not waiting)
        if claim is None:
            return multiple()
        item = self.jobs[claim.job_id].items[claim.n]
        assert item.state == "queued"
        assert claim.alone == (item.deaths == 3)
        assert self._running(claim.job.owner) == min(self._running(owner) for owner in self._owners_waiting())
        item.state, item.holder = "running", claim
        return claim

    def _owners_waiting(self) -> set[str]:
        return {job.owner for job in self.jobs.values() if any(item.state == "queued" for item in job.items)}

    def _running(self, owner: str) -> int:
        jobs = (job for job in self.jobs.values() if job.owner == owner)
        return sum(item.state == "running" for job in jobs for item in job.items)

    @rule(claim=claims)
    def renew(self, claim: Claim) -> None:
        if self._only_if_held(claim, lambda: self.rows.renew(claim, 60)):
            self.jobs[claim.job_id].items[claim.n].lease_over = False

    @rule(claim=claims, step=st.integers(0, 9))
    def progress(self, claim: Claim, step: int) -> None:
        self._only_if_held(claim, lambda: self.rows.progress(claim, "lesion", step, 9))

    def _only_if_held(self, claim: Claim, action: Callable[[], object]) -> bool:
        held = self._held(claim)
        try:
            action()
        except Cancelled:
            assert claim.job_id in self.erased or self.jobs[claim.job_id].cancelled
            return False
        except LeaseLost:
            assert not held
            return False
        assert held
        return True

    def _held(self, claim: Claim) -> bool:
        job = self.jobs.get(claim.job_id)
        return job is not None and job.items[claim.n].holder == claim

    @rule(claim=claims, well=st.booleans())
    def commit(self, claim: Claim, well: bool) -> None:
        ended = self.rows.commit(claim, done(claim) if well else FAILED)
        if self._held(claim):
            item = self.jobs[claim.job_id].items[claim.n]
            item.free("succeeded" if well else "failed")
            item.ended_by = claim
            assert ended
        else:
            assert ended == (claim.job_id in self.jobs and self.jobs[claim.job_id].items[claim.n].ended_by == claim)

    @rule(claim=consumes(claims))
    def release(self, claim: Claim) -> None:
        self.rows.release(claim)
        if self._held(claim):
            self.jobs[claim.job_id].items[claim.n].free("queued")

    # -- what befalls them --------------------------------------------------------------------------------------------

    @rule(claim=claims)
    def lease_runs_out(self, claim: Claim) -> None:
        if self._held(claim):
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
        try:
            self.rows.job(job_id, owner)
        except UnknownJob:
            return
        raise AssertionError("an erased job is still there")


def test_laws_of_the_rows(database: Database) -> None:
    searched = settings(
        max_examples=25,
        stateful_step_count=25,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    )
    run_state_machine_as_test(lambda: Laws(database), settings=searched)
