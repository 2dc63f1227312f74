"""What becomes of the items of workers that died."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, and_, select, update

from service.jobs.model import Problem
from service.jobs.sql import tallies
from service.jobs.sql.claims import DEATHS, IDLE
from service.jobs.sql.counting import count, hold
from service.jobs.tables import ITEMS, clock, fixed

# How it is known that an attempt was in vain.
Reason = Literal["lease_expired", "worker_died"]

# So often an item may be begun and lost with its worker's owner; beyond that it may be what ends the owner, too.
BLAMELESS = 10

POISONED = Problem(
    "poisoned",
    f"an input whose worker died {DEATHS + 1} times, the last time alone in a fresh process",
    "an input that can be worked on within the memory and time there is",
    "Look at the service's memory limits, or send the input in another format.",
)


def lease_over() -> ColumnElement[bool]:
    """Items whose lease has run out."""
    return and_(ITEMS.c.state == fixed("running"), ITEMS.c.lease_until < clock())


def held_by(worker: str) -> ColumnElement[bool]:
    """Items in the hands of a worker."""
    return and_(ITEMS.c.state == fixed("running"), ITEMS.c.worker == worker)


def blameless(worker: str) -> ColumnElement[bool]:
    """Items in the hands of a worker that died of nothing it did."""
    return and_(held_by(worker), ITEMS.c.attempts < BLAMELESS)


def jobs_with(link: Connection, which: ColumnElement[bool]) -> list[str]:
    """The jobs that have such items."""
    return list(link.scalars(select(ITEMS.c.job_id).where(which).distinct()))


def count_deaths(link: Connection, job_id: str, which: ColumnElement[bool], reason: Reason | None) -> int:
    """Free such items of one job with a death each, or end them when it was one too many; returns how many.

    Without a ``reason`` they are to blame for nothing, and no death is counted.
    """
    if reason is None:
        return _free(link, job_id, which)
    job = hold(link, job_id)
    if job is None:
        return 0
    here = and_(ITEMS.c.job_id == job_id, which)
    ended = _die(link, and_(here, ITEMS.c.deaths >= DEATHS), _poisoned())
    freed = _die(link, and_(here, ITEMS.c.deaths < DEATHS), {"state": "queued"})
    if ended or freed:
        count(link, job_id, waiting=freed, done=ended, failed=ended)
        tallies.add(link, job.device, {reason: ended + freed, "failed": ended})
    return ended + freed


def _free(link: Connection, job_id: str, which: ColumnElement[bool]) -> int:
    job = hold(link, job_id)
    if job is None:
        return 0
    values = {**IDLE, "state": "queued", "token": ITEMS.c.token + 1}
    freed = link.execute(update(ITEMS).where(ITEMS.c.job_id == job_id, which).values(values)).rowcount
    if freed:
        count(link, job_id, waiting=freed)
        tallies.add(link, job.device, {"worker_died": freed})
    return freed


def _die(link: Connection, which: ColumnElement[bool], values: dict[str, Any]) -> int:
    dead = {**IDLE, "token": ITEMS.c.token + 1, "deaths": ITEMS.c.deaths + 1}
    return link.execute(update(ITEMS).where(which).values({**dead, **values})).rowcount


def _poisoned() -> dict[str, Any]:
    return {"state": "failed", "problem": asdict(POISONED), "ended": clock(), "checkpoint": None}
