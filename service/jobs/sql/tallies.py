"""Counts of what happened to items since the database was made: rows of jobs are erased, these stay.

They are counted by the transaction that makes them true, after all its other rows and in the order of their names, so
that no two transactions wait for each other.
"""

from __future__ import annotations

from typing import Literal, get_args

from sqlalchemy import Connection, select

from service.jobs.database import insert
from service.jobs.model import DeviceClass
from service.jobs.tables import TALLIES

Tally = Literal["attempts", "cancelled", "failed", "lease_expired", "succeeded", "worker_died"]
NAMES: tuple[Tally, ...] = get_args(Tally)


def add(link: Connection, device: DeviceClass, counts: dict[Tally, int]) -> None:
    """Count more of what happened."""
    for name in sorted(counts):
        if counts[name]:
            fresh = insert(link, TALLIES).values(name=name, device=device, value=counts[name])
            more = {"value": TALLIES.c.value + fresh.excluded.value}
            link.execute(fresh.on_conflict_do_update(index_elements=[TALLIES.c.name, TALLIES.c.device], set_=more))


def read(link: Connection, device: DeviceClass) -> dict[str, int]:
    """All of them; what never happened is 0."""
    rows = link.execute(select(TALLIES.c.name, TALLIES.c.value).where(TALLIES.c.device == device))
    found = {row.name: int(row.value) for row in rows}
    return {name: found.get(name, 0) for name in NAMES}
