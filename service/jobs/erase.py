"""A job is erased once its rows are gone and its files are: where the store does not answer, that comes later."""

from __future__ import annotations

from service.jobs.rows import Rows
from service.jobs.store import Store
from service.log import event

EVERY_S = 10.0


def erase(rows: Rows, store: Store, job_id: str, owner: str) -> None:
    """Erase a job. Its rows go in any case; raises StoreAway while its files cannot, UnknownJob."""
    rows.erase(job_id, owner)
    _delete_files(rows, store, job_id)


class Erasures:
    """What could not be erased is tried again, one round at each call."""

    def __init__(self, rows: Rows, store: Store) -> None:
        self._rows, self._store = rows, store

    def __call__(self) -> None:
        """One round; two processes at it do no harm. Raises CapacityError."""
        for job_id in self._rows.erasures():
            _delete_files(self._rows, self._store, job_id)
            event("info", "job_erased_late")

    def close(self) -> None:
        """There is nothing to give back."""


def _delete_files(rows: Rows, store: Store, job_id: str) -> None:
    for found in list(store.keys(f"jobs/{job_id}/")):
        store.delete(found.key)
    rows.erased(job_id)
