"""What an API process holds of jobs: rows, store, publisher, and what runs beside it to keep jobs going."""

from __future__ import annotations

from contextlib import ExitStack, suppress

from service.errors import CapacityError
from service.jobs.embedded import Embedded
from service.jobs.erase import EVERY_S as ERASE_EVERY_S
from service.jobs.erase import Erasures
from service.jobs.housekeeping import EVERY_S, Housekeeping
from service.jobs.machine import open_rows
from service.jobs.model import DeviceClass
from service.jobs.owners import owners_folder
from service.jobs.publish import Courier, Publisher
from service.jobs.reconcile import Reconcile, period, useful
from service.jobs.repeat import Repeated
from service.jobs.store import open_store
from service.settings import Settings

# Longest wait for a round that runs when the service stops.
ROUND_WITHIN_S = 5.0


class Desk:
    """Rows, store and publisher of an API process; blocks while it opens and closes.

    Attributes:
        rows: of all jobs.
        store: of their files.
        publisher: tells workers of waiting items.
        device_class: of workers that new jobs wait for.
    """

    def __init__(self, settings: Settings) -> None:
        """Open everything. Raises SetupError, DatabaseAway, StoreAway."""
        self.device_class: DeviceClass = settings.jobs_device or settings.device_class
        self._settings = settings
        self._closing = ExitStack()
        try:
            database, self.rows = open_rows(settings)
            self._closing.callback(database.close)
            self.store = open_store(settings.jobs_store)
            self._embedded = Embedded(settings, self.rows) if settings.embeds_worker else None
            self.publisher = Publisher(Courier(settings), self._need, lambda one: useful(self.rows, one))
            self._repeat()
        except BaseException:
            self._closing.close()
            raise

    @property
    def worker_pid(self) -> int | None:
        """Of the embedded worker, None while there is none."""
        return self._embedded.pid if self._embedded else None

    def drain(self) -> None:
        """Tell the embedded worker to end what it has in hand, and start no other. Returns at once."""
        if self._embedded:
            self._embedded.drain()

    def close(self) -> None:
        """End what runs beside this process. Items that wait or run go on elsewhere, or at the next start."""
        self._closing.close()

    def _repeat(self) -> None:
        self._closing.callback(self.publisher.close)
        if self._embedded:
            self._closing.callback(self._embedded.close)
        reconcile = Reconcile(self.rows, Courier(self._settings), self._need, owners_folder(self._settings))
        keeping = Housekeeping(self._settings, self.rows, self.store)
        every = period(self._settings.lease_seconds)
        works: tuple[tuple[str, float, Reconcile | Housekeeping | Erasures], ...] = (
            ("reconcile", every, reconcile),
            ("housekeeping", EVERY_S, keeping),
            ("erasures", ERASE_EVERY_S, Erasures(self.rows, self.store)),
        )
        for name, every_s, work in works:
            repeated = Repeated(name, every_s, work)
            self._closing.callback(_quietly, work)
            self._closing.callback(repeated.close, ROUND_WITHIN_S)

    def _need(self, device_class: DeviceClass) -> None:
        if self._embedded and device_class == self._settings.device_class:
            self._embedded.need()


def _quietly(work: Reconcile | Housekeeping | Erasures) -> None:
    with suppress(CapacityError, OSError):
        work.close()
