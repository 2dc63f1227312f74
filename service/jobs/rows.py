"""The rows of jobs: the one door to the database. Each method is one transaction, or one for each job it touches."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement

from service.jobs.database import Database
from service.jobs.model import (
    Claim,
    DeviceClass,
    Done,
    Failed,
    Figures,
    ItemRow,
    JobRow,
    NewItem,
    NewJob,
    StoredFile,
    WorkerRow,
)
from service.jobs.sql import accepting, claims, deaths, erasures, figures, fleet, keys, listing, retention
from service.jobs.sql.values import job_row

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
        with self._database.write() as link:
            return keys.begin(link, owner, key, seconds)

    def prolong_key(self, owner: str, key: str, seconds: float) -> None:
        """Go on receiving for ``seconds`` from now."""
        with self._database.write() as link:
            keys.prolong(link, owner, key, seconds)

    def abandon_key(self, owner: str, key: str) -> None:
        """Give up a request that was being received. A key that led to a job stays."""
        with self._database.write() as link:
            keys.abandon(link, owner, key)

    def repeat(self, owner: str, key: str, fingerprint: str) -> JobRow:
        """The job that a key led to. Raises Conflict (idempotency_mismatch) for other content, UnknownJob for none."""
        with self._database.read() as link:
            job_id = keys.led_to(link, owner, key, fingerprint)
            return job_row(listing.job(link, job_id, owner), self._keep_seconds)

    def accept(self, job: NewJob, items: Sequence[NewItem]) -> JobRow:
        """Take a job in, whole; items count from 0. Completes its idempotency key in the same transaction.

        Where the key has meanwhile led to a job of the same content, that one is returned (``row.id != job.id``: the
        caller deletes the files it stored). Raises Conflict (idempotency_mismatch) for other content, BadParameter for
        a job without items.
        """
        with self._database.write() as link:
            job_id = accepting.accept(link, job, items)
            return job_row(listing.job(link, job_id, job.owner), self._keep_seconds)

    def replace(self, earlier: Sequence[str], job: NewJob, items: Sequence[NewItem]) -> JobRow:
        """Forget earlier jobs of the same owner and take one in, at once. Raises as `accept` and `erase` do."""
        with self._database.write() as link:
            for job_id in earlier:
                retention.erase(link, job_id, job.owner)
            row = listing.job(link, accepting.accept(link, job, items), job.owner)
        self._database.scrub()
        return job_row(row, self._keep_seconds)

    # -- working ------------------------------------------------------------------------------------------------------

    def claim(self, worker: str, device_class: DeviceClass, lease_s: float) -> Claim | None:
        """The next item for a worker, leased for ``lease_s``; None when none waits.

        Fair: the owner with the fewest running items first, then the oldest job, then the lowest n.
        """
        with self._database.write() as link:
            return claims.claim(link, worker, device_class, lease_s, self._item_seconds)

    def renew(self, claim: Claim, lease_s: float) -> None:
        """Lease the item for ``lease_s`` from now. Raises LeaseLost or Cancelled."""
        with self._database.write() as link:
            claims.renew(link, claim, lease_s)

    def progress(self, claim: Claim, stage: str, done: int, total: int) -> None:
        """Tell how far the item is. Raises LeaseLost or Cancelled. At most about 5 a second, please."""
        with self._database.write() as link:
            claims.progress(link, claim, stage, done, total)

    def checkpoint(self, claim: Claim, file: StoredFile | None) -> StoredFile | None:
        """Name the item's checkpoint; returns the one it replaces, for deletion. Raises LeaseLost or Cancelled."""
        with self._database.write() as link:
            return claims.checkpoint(link, claim, file)

    def commit(self, claim: Claim, outcome: Done | Failed) -> bool:
        """End the item, and its job with the last one. The same commit twice is one.

        False when the item is no longer the worker's or its job was cancelled: the caller deletes what it wrote. After
        a DatabaseAway the outcome is unknown: commit again, and never delete before it has answered.
        """
        with self._database.write() as link:
            return claims.commit(link, claim, outcome)

    def release(self, claim: Claim) -> None:
        """Give the item back unharmed; no death is counted. Nothing happens when it is no longer the worker's."""
        with self._database.write() as link:
            claims.release(link, claim)

    def bury(self, worker: str) -> int:
        """A worker is known to be dead: free its items at once, with a death each, and forget it. Returns how many."""
        freed = self._count_deaths(deaths.held_by(worker), "worker_died")
        self.forget(worker)
        return freed

    def free(self, worker: str) -> int:
        """A worker that is gone died of nothing it did: free its items without a death, and forget it.

        An item to which that has happened often is believed no more: see `deaths.BLAMELESS`. Returns how many.
        """
        return self._count_deaths(deaths.blameless(worker), None) + self.bury(worker)

    def reap(self) -> int:
        """Free the items whose lease has run out by the database's clock, with a death each. Returns how many.

        An item that has died once more after it ran alone ends as failed (poisoned).
        """
        return self._count_deaths(deaths.lease_over(), "lease_expired")

    def _count_deaths(self, which: ColumnElement[bool], reason: deaths.Reason | None) -> int:
        with self._database.read() as link:
            found = deaths.jobs_with(link, which)
        return sum(self._count_deaths_in(job_id, which, reason) for job_id in found)

    def _count_deaths_in(self, job_id: str, which: ColumnElement[bool], reason: deaths.Reason | None) -> int:
        with self._database.write() as link:
            return deaths.count_deaths(link, job_id, which, reason)

    # -- asking -------------------------------------------------------------------------------------------------------

    def job(self, job_id: str, owner: str) -> JobRow:
        """One job. Raises UnknownJob."""
        with self._database.read() as link:
            return job_row(listing.job(link, job_id, owner), self._keep_seconds)

    def jobs(self, owner: str, limit: int, offset: int) -> tuple[JobRow, ...]:
        """An owner's jobs, the latest first."""
        with self._database.read() as link:
            return tuple(job_row(row, self._keep_seconds) for row in listing.jobs(link, owner, limit, offset))

    def items(self, job_id: str, owner: str, limit: int, offset: int) -> tuple[ItemRow, ...]:
        """Items of a job by n. Raises UnknownJob."""
        with self._database.read() as link:
            listing.job(link, job_id, owner)
            return listing.items(link, job_id, limit, offset)

    def states(self, job_id: str, owner: str, limit: int, offset: int) -> tuple[ItemRow, ...]:
        """As `items`, with neither files nor summary: only how each of them stands."""
        with self._database.read() as link:
            listing.job(link, job_id, owner)
            return listing.items(link, job_id, limit, offset, whole=False)

    def item(self, job_id: str, owner: str, n: int) -> ItemRow:
        """One item. Raises UnknownJob (code unknown_item where only the item is missing)."""
        with self._database.read() as link:
            listing.job(link, job_id, owner)
            return listing.item(link, job_id, n)

    def waiting(self, device_class: DeviceClass) -> int:
        """Items that wait for a worker."""
        with self._database.read() as link:
            return listing.waiting(link, device_class)

    def running(self, device_class: DeviceClass) -> int:
        """Items in the hands of workers."""
        with self._database.read() as link:
            return listing.running(link, device_class)

    def finished_within(self, device_class: DeviceClass, seconds: float) -> int:
        """Items that workers ended within the last ``seconds``: the pace behind an honest Retry-After."""
        with self._database.read() as link:
            return listing.ended_within(link, device_class, seconds)

    def figures(self, device_class: DeviceClass) -> Figures:
        """How the jobs of one class of workers stand as a whole."""
        with self._database.read() as link:
            return figures.figures(link, device_class)

    # -- ending -------------------------------------------------------------------------------------------------------

    def cancel(self, job_id: str, owner: str) -> JobRow:
        """Cancel what is not final yet; a cancelled job stays as it is.

        Raises UnknownJob, or Conflict (job_finished) for a job that ended otherwise.
        """
        with self._database.write() as link:
            retention.cancel(link, job_id, owner)
            return job_row(listing.job(link, job_id, owner), self._keep_seconds)

    def erase(self, job_id: str, owner: str) -> tuple[str, ...]:
        """Cancel a job and forget its rows; returns every key it named, for deletion.

        Until `erased` the job is one whose files are still there, and this may be asked for again. Raises UnknownJob.
        """
        with self._database.write() as link:
            named = erasures.begin(link, job_id, owner)
        self._database.scrub()
        return named

    def erasures(self) -> tuple[str, ...]:
        """Jobs that were erased while files of theirs are still there."""
        with self._database.read() as link:
            return erasures.pending(link)

    def erased(self, job_id: str) -> None:
        """No file of an erased job is left."""
        with self._database.write() as link:
            erasures.end(link, job_id)

    def expire(self, most: int = 100) -> tuple[str, ...]:
        """Mark at most ``most`` jobs kept for long enough as expired; returns the keys they named, for deletion.

        Those that have been expired for as long again are forgotten.
        """
        with self._database.read() as link:
            overdue = retention.overdue(link, self._keep_seconds, most)
        named = tuple(key for job_id in overdue for key in self.expire_job(job_id))
        with self._database.write() as link:
            retention.forget_expired(link, self._keep_seconds, most)
        self._database.scrub()
        return named

    def oldest_finished(self) -> str | None:
        """The job that retention by disk gives up first."""
        with self._database.read() as link:
            return retention.oldest_finished(link)

    def expire_job(self, job_id: str) -> tuple[str, ...]:
        """Mark a finished job as expired now; returns the keys it named, for deletion. None for one that runs."""
        with self._database.write() as link:
            return retention.expire(link, job_id)

    def known_keys_of(self, prefix: str) -> frozenset[str]:
        """Keys that rows name under ``jobs/<id>/`` or below. Raises ValueError for any wider prefix.

        A file that none names is an orphan only once it is older than any upload or attempt may last.
        """
        with self._database.read() as link:
            return retention.known_keys_of(link, prefix)

    # -- workers ------------------------------------------------------------------------------------------------------

    def beat(self, worker: str, device_class: DeviceClass, busy: bool, finished: int) -> None:
        """A worker lives; ``finished`` counts the items it has ended."""
        with self._database.write() as link:
            fleet.beat(link, worker, device_class, busy, finished)

    def workers(self) -> tuple[WorkerRow, ...]:
        """All workers that have told of themselves and were not forgotten."""
        with self._database.read() as link:
            return fleet.workers(link)

    def forget(self, worker: str) -> None:
        """A worker has ended as it should."""
        with self._database.write() as link:
            fleet.forget(link, worker)

    def lock(self, name: str, holder: str, seconds: float) -> bool:
        """Take or keep a named lock until ``seconds`` from now; False when another holds it."""
        with self._database.write() as link:
            return fleet.lock(link, name, holder, seconds)

    def unlock(self, name: str, holder: str) -> None:
        """Give a named lock back."""
        with self._database.write() as link:
            fleet.unlock(link, name, holder)
