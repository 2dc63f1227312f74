"""How jobs stand as a whole, for monitoring: no owner, no name and no job can be told from it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Select, case, func, select

from service.jobs.model import DeviceClass, Figures
from service.jobs.sql import listing, tallies
from service.jobs.tables import JOBS, WORKERS, clock, fixed


def figures(link: Connection, device: DeviceClass) -> Figures:
    """Of one class of workers."""
    oldest = link.scalar(oldest_query(device))
    row = link.execute(_workers(device)).one()
    return Figures(
        device_class=device,
        queued=listing.waiting(link, device),
        running=listing.running(link, device),
        oldest_waiting_s=0.0 if oldest is None else max(0.0, float(oldest)),
        idle=int(row.known) - int(row.busy or 0),
        busy=int(row.busy or 0),
        last_told=None if row.told is None else float(row.told),
        longest_silence_s=max(0.0, float(row.silent or 0.0)),
        tallies=tallies.read(link, device),
    )


def oldest_query(device: DeviceClass) -> Select[float]:
    """Age in seconds of the oldest job of which an item waits."""
    waiting = select(clock() - func.min(JOBS.c.created))
    return waiting.where(JOBS.c.waiting > fixed(0), JOBS.c.device == device)


def _workers(device: DeviceClass) -> Select[*tuple[Any, ...]]:
    told = WORKERS.c.told
    return select(
        func.count().label("known"),
        func.sum(case((WORKERS.c.busy, 1), else_=0)).label("busy"),
        func.max(told).label("told"),
        (clock() - func.min(told)).label("silent"),
    ).where(WORKERS.c.device == device)
