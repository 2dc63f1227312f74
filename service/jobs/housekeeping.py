"""What keeps the disk from filling: retention by age and by size, and a sweeper of files and messages left behind."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import groupby

from service.jobs.broker import Folders, folders_of
from service.jobs.rows import Rows
from service.jobs.store import Store
from service.jobs.store_base import StoredKey
from service.log import event
from service.settings import Settings

LOCK = "housekeeping"
EVERY_S = 300.0
LOCKED_S = 900.0
# No upload is silent and no attempt waits for its commit for so long.
ORPHAN_AFTER_S = 3600.0
# Jobs that retention by size gives up in one round at most.
MOST = 1000
# Messages that were read are of no use; of those that wait and those of a killed publisher the same is true later.
READ_AFTER_S, STALE_AFTER_S = 60.0, 3600.0


class Housekeeping:
    """One round at each call."""

    def __init__(self, settings: Settings, rows: Rows, store: Store) -> None:
        self._rows, self._store = rows, store
        self._keep_bytes = settings.keep_bytes
        self._folders = folders_of(settings)
        self._holder = uuid.uuid4().hex

    def __call__(self) -> None:
        """One round, if no other process is at it. Raises CapacityError, OSError."""
        # Of this machine: no other process cleans it up.
        if self._folders:
            clean(self._folders)
        if not self._rows.lock(LOCK, self._holder, LOCKED_S):
            return
        expire(self._rows, self._store)
        kept = sweep(self._rows, self._store, ORPHAN_AFTER_S)
        if self._keep_bytes is not None:
            shrink(self._rows, self._store, kept - self._keep_bytes)

    def close(self) -> None:
        """Let another process have its turn at once."""
        if self._folders:
            clean(self._folders, read_after_s=0.0)
        self._rows.unlock(LOCK, self._holder)


def expire(rows: Rows, store: Store) -> int:
    """Retention by age: erase the files of jobs that were kept for long enough; how many files."""
    return _delete(store, rows.expire())


def shrink(rows: Rows, store: Store, excess: int) -> int:
    """Retention by size: erase the files of the oldest finished jobs until ``excess`` bytes less are kept; how many."""
    erased = 0
    for _ in range(MOST):
        job_id = rows.oldest_finished() if excess > 0 else None
        if job_id is None:
            break
        excess -= sum(found.bytes for found in store.keys(f"jobs/{job_id}/"))
        erased += _delete(store, rows.expire_job(job_id))
        event("info", "job_expired_for_room")
    return erased


def sweep(rows: Rows, store: Store, age_s: float) -> int:
    """Remove files that no row names and nobody has added to for ``age_s``; the bytes that are kept.

    A job that is being received has no row yet: it is left alone as long as its latest file is young.
    """
    store.sweep(age_s)
    kept = 0
    for prefix, found in _by_job(store.keys("jobs/")):
        kept += sum(one.bytes for one in found)
        old = [one for one in found if one.age_s >= age_s]
        if old and (orphans := _orphans(rows, prefix, found, old)):
            kept -= sum(one.bytes for one in orphans)
            _delete(store, (one.key for one in orphans))
            event("info", "orphans_removed", files=len(orphans))
    return kept


def _orphans(rows: Rows, prefix: str, found: list[StoredKey], old: list[StoredKey]) -> list[StoredKey]:
    known = rows.known_keys_of(prefix)
    if not known and len(old) < len(found):
        return []
    return [one for one in old if one.key not in known]


def _by_job(keys: Iterable[StoredKey]) -> Iterator[tuple[str, list[StoredKey]]]:
    for job, found in groupby(keys, key=lambda one: one.key.split("/")[1]):
        yield f"jobs/{job}/", list(found)


def _delete(store: Store, keys: Iterable[str]) -> int:
    listed = list(keys)
    for key in listed:
        store.delete(key)
    return len(listed)


def clean(folders: Folders, read_after_s: float = READ_AFTER_S) -> None:
    """Remove messages of the embedded broker that were read, or that nobody will read any more."""
    ages = {folders.read: read_after_s, folders.inbox: STALE_AFTER_S, folders.outboxes: STALE_AFTER_S}
    for folder, age_s in ages.items():
        for path in folder.rglob("*") if folder.is_dir() else ():
            with suppress(OSError):
                if time.time() - path.stat().st_mtime > age_s:
                    path.rmdir() if path.is_dir() else path.unlink()
