"""Ten thousand waiting items: whose turn it is, states and lists are found by index, in little time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection, and_, insert, select, text

from service.jobs.database import Database
from service.jobs.rows import Rows
from service.jobs.sql import accepting, claims, deaths, figures, listing, retention
from service.jobs.tables import ITEMS, JOBS
from tests.service.jobs.making import LEASE_S, accepted, claimed, done, new_items, new_job

IN_ONE_JOB, ALONE, OWNERS = 8000, 2000, 50
# The contract asks for 50 ms. The machine has other work, hence the least of some tries.
MOST_S = 0.05
TRIES = range(5, 40)


@pytest.fixture
def crowded(rows: Rows, database: Database) -> Rows:
    """Most items in one job, the others in a job each, of many owners."""
    accepted(rows, IN_ONE_JOB, id="big", owner="many")
    (item,) = new_items("x", 1)
    with database.write() as link:
        jobs = [new_job(id=f"lone{n}", owner=f"owner{n % OWNERS}") for n in range(ALONE)]
        link.execute(insert(JOBS), [{**accepting._job(job, [item]), "created": time.time()} for job in jobs])
        link.execute(insert(ITEMS), [accepting._item(f"lone{n}", 0, item) for n in range(ALONE)])
        link.execute(text("ANALYZE"))
    return rows


def least(action: Callable[[], object]) -> float:
    """Seconds of the fastest of some runs, more of them while none has been fast enough."""
    best = float("inf")
    for number in range(TRIES.stop):
        start = time.perf_counter()
        action()
        best = min(best, time.perf_counter() - start)
        if number >= TRIES.start and best < MOST_S:
            break
    return best


def test_states_lists_and_turns_take_little_time(crowded: Rows) -> None:
    taken = [claimed(crowded) for _ in range(3)]
    actions: dict[str, Callable[[], object]] = {
        "job": lambda: crowded.job("big", "many"),
        "jobs": lambda: crowded.jobs("owner7", 100, 0),
        "items": lambda: crowded.items("big", "many", 1000, 4000),
        "item": lambda: crowded.item("big", "many", 4321),
        "waiting": lambda: crowded.waiting("cpu"),
        "running": lambda: crowded.running("cpu"),
        "reap": crowded.reap,
        "claim": lambda: taken.append(claimed(crowded)),
        "renew": lambda: crowded.renew(taken[0], LEASE_S),
        "progress": lambda: crowded.progress(taken[0], "lesion", 1, 2),
        "commit": lambda: crowded.commit(taken[-1], done(taken.pop())),
    }
    took = {name: least(action) for name, action in actions.items()}
    print({name: f"{seconds * 1000:.1f} ms" for name, seconds in took.items()})  # noqa: T201
    assert max(took.values()) < MOST_S, took


def test_everything_is_found_by_index(crowded: Rows, database: Database) -> None:
    of_owner = select(JOBS).where(JOBS.c.owner == "many").order_by(JOBS.c.created.desc(), JOBS.c.id.desc()).limit(9)
    page = select(ITEMS).where(and_(ITEMS.c.job_id == "big", ITEMS.c.n >= 4000, ITEMS.c.n < 4100)).order_by(ITEMS.c.n)
    statements: dict[str, Any] = {
        "next job": claims.next_job("cpu"),
        "next item": claims.next_item("big"),
        "take item": claims._take_item("big", "w", 60),
        "lease over": select(ITEMS.c.job_id).where(deaths.lease_over()),
        "held by": select(ITEMS.c.job_id).where(deaths.held_by("w")),
        "jobs": of_owner,
        "items": page,
        "running": listing.running_query("cpu"),
        "waiting": listing.waiting_query("cpu"),
        "ended": listing.ended_query("cpu", 60),
        "oldest": figures.oldest_query("cpu"),
        "overdue": retention.overdue_query(60, 10),
    }
    with database.read() as link:
        if link.dialect.name == "postgresql":
            # It reads a whole table where most of it is wanted, as here; the question is whether it would have to.
            link.execute(text("SET LOCAL enable_seqscan = off"))
        plans = {name: plan(link, statement) for name, statement in statements.items()}
    for name, steps in plans.items():
        assert not [step for step in steps if "Seq Scan" in step], (name, steps)
        # The one index that is read from end to end holds running items alone: as many as there are workers.
        scans = [step for step in steps if step.startswith("SCAN") and not step.endswith(" items_running")]
        assert not scans, (name, steps)


def plan(link: Connection, statement: Any) -> list[str]:
    """The database's plan, step by step."""
    compiled = str(statement.compile(link, compile_kwargs={"literal_binds": True}))
    explain = "EXPLAIN QUERY PLAN " if link.dialect.name == "sqlite" else "EXPLAIN "
    return [str(row[-1]) for row in link.exec_driver_sql(explain + compiled)]
