"""Whether the workers of this container do their work: ``python -m service.jobs.alive``, for its health check.

A busy worker lives while it renews its lease; one that hangs over an item ends itself at the item's hard limit. An idle
one lives when it takes a message: that the process is there says nothing, for a consumer may lose its broker silently.
"""

from __future__ import annotations

import sys
import time
from contextlib import closing

from service.errors import BreastCascadeError
from service.jobs.machine import open_rows
from service.jobs.model import WorkerRow
from service.jobs.names import runs_here
from service.jobs.publish import Courier
from service.jobs.rows import Rows
from service.settings import Settings, read_settings

# Reconcile calls idle workers more often than that.
FRESH_S = 30.0
ANSWER_WITHIN_S = 5.0
LOOK_EVERY_S = 0.1
SILENT_LEASES = 2.0


def main() -> None:
    """Exit with status 0 when all workers of this host are alive, 1 with a line on stderr else."""
    try:
        missing = fault(read_settings())
    except (BreastCascadeError, OSError) as error:
        missing = f"The check itself failed: {error}"
    if missing:
        print(missing, file=sys.stderr)  # noqa: T201 - shown by the container engine
        sys.exit(1)


def fault(settings: Settings) -> str:
    """What is wrong with the workers of this host; empty when nothing is. Raises BreastCascadeError, OSError."""
    database, rows = open_rows(settings)
    with closing(database):
        here = [one for one in rows.workers() if runs_here(one.worker)]
        if not here:
            return "Found no worker of this host in the jobs' database; wanted one. See its log."
        silent = [one.worker for one in here if not _alive(rows, settings, one)]
    return f"Found {', '.join(silent)} silent; wanted work or an answer. Restart it." if silent else ""


def _alive(rows: Rows, settings: Settings, worker: WorkerRow) -> bool:
    if worker.busy:
        return worker.silent_s < SILENT_LEASES * settings.lease_seconds
    return worker.silent_s < FRESH_S or _answers(rows, settings, worker)


def _answers(rows: Rows, settings: Settings, worker: WorkerRow) -> bool:
    with closing(Courier(settings)) as courier:
        courier.call(worker.device_class, worker.worker)
    end = time.monotonic() + ANSWER_WITHIN_S
    while time.monotonic() < end:
        time.sleep(LOOK_EVERY_S)
        now = [one for one in rows.workers() if one.worker == worker.worker]
        if now and (now[0].busy or now[0].silent_s < ANSWER_WITHIN_S):
            return True
    return False


if __name__ == "__main__":
    main()
