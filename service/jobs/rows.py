"""The rows of jobs: the one door to the database. Each method is one transaction, or one for each job it touches."""

from __future__ import annotations

from collections.abc import Sequence

from service.jobs.database import Database
from service.jobs.model import (
    Claim,
    DeviceClass,
    Done,
    Failed,
    ItemRow,
    JobRow,
    NewItem,
    NewJob,
    StoredFile,
    WorkerRow,
)

WEEK = 7 * 86400.0


class Rows:
    """Jobs and items in a database.

    Every method raises DatabaseAway when the database does not answer in time and DiskFull when it has no room.
    A job of another owner is an UnknownJob.

    Args:
        item_seconds: hard limit on one item's run, in seconds.
        keep_seconds: how long a finished job is kept, in seconds.
    """

    def __init__(self, database: Database, *, item_seconds: float = 3600.0, keep_seconds: float = WEEK) -> None:
        self._database = database
        self._item_seconds = item_seconds
        self._keep_seconds = keep_seconds

    # -- taking in ----------------------------------------------------------------------------------------------------

    def begin_key(self, owner: str, key: str, seconds: float) -> str | None:
        """Start to receive a request under an idempotency key, for at most ``seconds``.

        None: begun, the key is this request's. A text: the id of the job the key has already led to; its content is
        compared by `accept` or `repeat`. Raises Conflict (idempotency_receiving) while another request is received
        under it. A request whose time has passed (its process died) is taken over.
        """
        raise NotImplementedError

    def prolong_key(self, owner: str, key: str, seconds: float) -> None:
        """Go on receiving for ``seconds`` from now."""
        raise NotImplementedError

    def abandon_key(self, owner: str, key: str) -> None:
        """Give up a request that was being received. A key that led to a job stays."""
        raise NotImplementedError

    def repeat(self, owner: str, key: str, fingerprint: str) -> JobRow:
        """The job that a key led to. Raises Conflict (idempotency_mismatch) for other content, UnknownJob for none."""
        raise NotImplementedError

    def accept(self, job: NewJob, items: Sequence[NewItem]) -> JobRow:
        """Take a job in, whole; items count from 0. Completes its idempotency key in the same transaction.

        Where the key has meanwhile led to a job of the same content, that one is returned (``row.id != job.id``: the
        caller deletes the files it stored). Raises Conflict (idempotency_mismatch) for other content, BadParameter for
        a job without items.
        """
        raise NotImplementedError

    # -- working ------------------------------------------------------------------------------------------------------

    def claim(self, worker: str, device_class: DeviceClass, lease_s: float) -> Claim | None:
        """The next item for a worker, leased for ``lease_s``; None when none waits.

        Fair: the owner with the fewest running items first, then the oldest job, then the lowest n.
        """
        raise NotImplementedError

    def renew(self, claim: Claim, lease_s: float) -> None:
        """Lease the item for ``lease_s`` from now. Raises LeaseLost or Cancelled."""
        raise NotImplementedError

    def progress(self, claim: Claim, stage: str, done: int, total: int) -> None:
        """Tell how far the item is. Raises LeaseLost or Cancelled. At most about 5 a second, please."""
        raise NotImplementedError

    def checkpoint(self, claim: Claim, file: StoredFile | None) -> StoredFile | None:
        """Name the item's checkpoint; returns the one it replaces, for deletion. Raises LeaseLost or Cancelled."""
        raise NotImplementedError

    def commit(self, claim: Claim, outcome: Done | Failed) -> bool:
        """End the item, and its job with the last one. The same commit twice is one.

        False when the item is no longer the worker's or its job was cancelled: the caller deletes what it wrote. After
        a DatabaseAway the outcome is unknown: commit again, and never delete before it has answered.
        """
        raise NotImplementedError

    def release(self, claim: Claim) -> None:
        """Give the item back unharmed; no death is counted. Nothing happens when it is no longer the worker's."""
        raise NotImplementedError

    def bury(self, worker: str) -> int:
        """A worker is known to be dead: free its items at once, with a death each, and forget it. Returns how many."""
        raise NotImplementedError

    def reap(self) -> int:
        """Free the items whose lease has run out by the database's clock, with a death each. Returns how many.

        An item that has died once more after it ran alone ends as failed (poisoned).
        """
        raise NotImplementedError

    # -- asking -------------------------------------------------------------------------------------------------------

    def job(self, job_id: str, owner: str) -> JobRow:
        """One job. Raises UnknownJob."""
        raise NotImplementedError

    def jobs(self, owner: str, limit: int, offset: int) -> tuple[JobRow, ...]:
        """An owner's jobs, the latest first."""
        raise NotImplementedError

    def items(self, job_id: str, owner: str, limit: int, offset: int) -> tuple[ItemRow, ...]:
        """Items of a job by n. Raises UnknownJob."""
        raise NotImplementedError

    def item(self, job_id: str, owner: str, n: int) -> ItemRow:
        """One item. Raises UnknownJob (code unknown_item where only the item is missing)."""
        raise NotImplementedError

    def waiting(self, device_class: DeviceClass) -> int:
        """Items that wait for a worker."""
        raise NotImplementedError

    def running(self, device_class: DeviceClass) -> int:
        """Items in the hands of workers."""
        raise NotImplementedError

    def finished_within(self, device_class: DeviceClass, seconds: float) -> int:
        """Items that workers ended within the last ``seconds``: the pace behind an honest Retry-After."""
        raise NotImplementedError

    # -- ending -------------------------------------------------------------------------------------------------------

    def cancel(self, job_id: str, owner: str) -> JobRow:
        """Cancel what is not final yet; a cancelled job stays as it is.

        Raises UnknownJob, or Conflict (job_finished) for a job that ended otherwise.
        """
        raise NotImplementedError

    def erase(self, job_id: str, owner: str) -> tuple[str, ...]:
        """Cancel a job and forget its rows; returns every key it named, for deletion. Raises UnknownJob."""
        raise NotImplementedError

    def expire(self, most: int = 100) -> tuple[str, ...]:
        """Mark at most ``most`` jobs kept for long enough as expired; returns the keys they named, for deletion.

        Those that have been expired for as long again are forgotten.
        """
        raise NotImplementedError

    def oldest_finished(self) -> str | None:
        """The job that retention by disk gives up first."""
        raise NotImplementedError

    def expire_job(self, job_id: str) -> tuple[str, ...]:
        """Mark a finished job as expired now; returns the keys it named, for deletion. None for one that runs."""
        raise NotImplementedError

    def known_keys_of(self, prefix: str) -> frozenset[str]:
        """Keys under ``jobs/<id>/`` that a row names. A file without one is an orphan once no attempt can own it."""
        raise NotImplementedError

    # -- workers ------------------------------------------------------------------------------------------------------

    def beat(self, worker: str, device_class: DeviceClass, busy: bool, finished: int) -> None:
        """A worker lives; ``finished`` counts the items it has ended."""
        raise NotImplementedError

    def workers(self) -> tuple[WorkerRow, ...]:
        """All workers that have told of themselves and were not forgotten."""
        raise NotImplementedError

    def forget(self, worker: str) -> None:
        """A worker has ended as it should."""
        raise NotImplementedError

    def lock(self, name: str, holder: str, seconds: float) -> bool:
        """Take or keep a named lock until ``seconds`` from now; False when another holds it."""
        raise NotImplementedError

    def unlock(self, name: str, holder: str) -> None:
        """Give a named lock back."""
        raise NotImplementedError
