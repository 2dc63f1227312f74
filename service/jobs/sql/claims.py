"""Items in the hands of workers: claimed, leased, told of, ended or given back.

Whoever takes an item from a worker raises its token; every write of a worker asks for the token it was given.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, func, select, update

from service.errors import BreastCascadeError, Cancelled, LeaseLost
from service.jobs.model import Claim, DeviceClass, Done, Failed, StoredFile
from service.jobs.sql import tallies
from service.jobs.sql.counting import BUSY, RUNNING, count, hold
from service.jobs.sql.values import AnyRow, as_json, moment, new_item, new_job, stored
from service.jobs.tables import ITEMS, JOBS, clock, fixed

# After so many deaths an item runs once more, alone.
DEATHS = 3
# What an item that nobody works on looks like.
IDLE: dict[str, Any] = {"worker": None, "lease_until": None, "stage": None, "steps_done": 0, "steps_total": 0}


def claim(link: Connection, worker: str, device: DeviceClass, lease_s: float, item_seconds: float) -> Claim | None:
    """Lease the next item; None when none waits."""
    job = _take_from_next_job(link, device)
    if job is None:
        return None
    row = link.execute(_take_item(job.id, worker, lease_s)).one()
    tallies.add(link, device, {"attempts": 1})
    return Claim(
        job_id=job.id,
        n=row.n,
        worker=worker,
        token=row.token,
        attempt=row.attempts,
        alone=row.deaths >= DEATHS,
        hard_limit_s=item_seconds,
        item=new_item(row),
        job=new_job(job),
        created=moment(job.created),
        checkpoint=stored(row.checkpoint),
    )


def _take_from_next_job(link: Connection, device: DeviceClass) -> AnyRow | None:
    # Another worker may take the last item between the question and the answer: then the question stands anew.
    while (job_id := link.scalar(next_job(device))) is not None:
        taken = link.execute(
            update(JOBS)
            .where(JOBS.c.id == job_id, JOBS.c.waiting > 0)
            .values(waiting=JOBS.c.waiting - 1, state="running", seq=JOBS.c.seq + 1)
            .returning(*JOBS.c)
        ).first()
        if taken is not None:
            return taken
    return None


def next_job(device: DeviceClass) -> Select[Any]:
    """The id of the job whose turn it is."""
    busy = (
        select(JOBS.c.owner, func.sum(RUNNING).label("held"))
        .where(JOBS.c.device == device, BUSY)
        .group_by(JOBS.c.owner)
        .subquery()
    )
    return (
        select(JOBS.c.id)
        .outerjoin_from(JOBS, busy, busy.c.owner == JOBS.c.owner)
        .where(JOBS.c.waiting > fixed(0), JOBS.c.device == device)
        .order_by(func.coalesce(busy.c.held, 0), JOBS.c.created, JOBS.c.id)
        .limit(1)
    )


def next_item(job_id: str) -> Select[Any]:
    """The n of the job's next item. What has killed workers waits until its neighbours are done."""
    return (
        select(ITEMS.c.n)
        .where(ITEMS.c.job_id == job_id, ITEMS.c.state == fixed("queued"))
        .order_by(ITEMS.c.deaths, ITEMS.c.n)
        .limit(1)
    )


def _take_item(job_id: str, worker: str, lease_s: float) -> Any:
    return (
        update(ITEMS)
        .where(ITEMS.c.job_id == job_id, ITEMS.c.n == next_item(job_id).scalar_subquery())
        .values(
            state="running",
            token=ITEMS.c.token + 1,
            attempts=ITEMS.c.attempts + 1,
            worker=worker,
            lease_until=clock() + lease_s,
        )
        .returning(*ITEMS.c)
    )


def renew(link: Connection, claim: Claim, lease_s: float) -> None:
    """Move the end of the lease. Raises LeaseLost or Cancelled."""
    _change(link, claim, lease_until=clock() + lease_s)


def progress(link: Connection, claim: Claim, stage: str, done: int, total: int) -> None:
    """Tell how far the item is. Raises LeaseLost or Cancelled."""
    told = f"{stage} {done}/{total}"
    link.execute(update(JOBS).where(JOBS.c.id == claim.job_id).values(stage=told, seq=JOBS.c.seq + 1))
    _change(link, claim, stage=stage, steps_done=done, steps_total=total)


def checkpoint(link: Connection, claim: Claim, file: StoredFile | None) -> StoredFile | None:
    """Name a checkpoint in the place of another, which is returned. Raises LeaseLost or Cancelled."""
    before = link.scalar(select(ITEMS.c.checkpoint).where(_held(claim)).with_for_update())
    _change(link, claim, checkpoint=as_json(file))
    return stored(before)


def _change(link: Connection, claim: Claim, **values: object) -> None:
    if link.execute(update(ITEMS).where(_held(claim)).values(values)).rowcount != 1:
        raise _lost(link, claim)


def _held(claim: Claim) -> ColumnElement[bool]:
    return and_(_same(claim), ITEMS.c.state == "running")


def _same(claim: Claim) -> ColumnElement[bool]:
    return and_(ITEMS.c.job_id == claim.job_id, ITEMS.c.n == claim.n, ITEMS.c.token == claim.token)


def _lost(link: Connection, claim: Claim) -> BreastCascadeError:
    state = link.scalar(select(JOBS.c.state).where(JOBS.c.id == claim.job_id))
    if state in (None, "cancelled"):
        return Cancelled("a job that was cancelled or erased", "one still wanted", "Stop and delete what was written.")
    return LeaseLost("an item that was given to another", "one still leased", "Stop and delete what was written.")


def commit(link: Connection, claim: Claim, outcome: Done | Failed) -> bool:
    """End the item and count it; False when it is no longer the worker's."""
    if hold(link, claim.job_id) is None:
        return False
    failed = isinstance(outcome, Failed)
    values = {**IDLE, **_ending(outcome), "ended": clock(), "checkpoint": None}
    if link.execute(update(ITEMS).where(_held(claim)).values(values)).rowcount == 1:
        count(link, claim.job_id, done=1, failed=int(failed))
        tallies.add(link, claim.job.device_class, {"failed" if failed else "succeeded": 1})
        return True
    # The same commit once more, after an answer that was lost on its way: nobody else had this token.
    return link.scalar(select(ITEMS.c.n).where(_same(claim), ITEMS.c.state.in_(["succeeded", "failed"]))) is not None


def _ending(outcome: Done | Failed) -> dict[str, Any]:
    if isinstance(outcome, Failed):
        return {"state": "failed", "problem": as_json(outcome.problem)}
    files = [as_json(file) for file in outcome.files]
    return {"state": "succeeded", "files": files, "summary": dict(outcome.summary)}


def release(link: Connection, claim: Claim) -> None:
    """Give the item back unharmed, if it is still held."""
    if hold(link, claim.job_id) is None:
        return
    values = {**IDLE, "state": "queued", "token": ITEMS.c.token + 1}
    if link.execute(update(ITEMS).where(_held(claim)).values(values)).rowcount == 1:
        count(link, claim.job_id, waiting=1)
