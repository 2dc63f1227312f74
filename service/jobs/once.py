"""A worker that does what waits and then ends, without a broker: ``python -m service.jobs.once --parent=PID``.

Status 0: nothing could be done any more, or it was told to stop (SIGTERM); 3: the installation must be mended; anything
else: it died of the item it had in hand.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading

from service import log
from service.errors import BreastCascadeError, SetupError
from service.jobs.lifeline import die_with
from service.jobs.machine import open_worker, worker_name
from service.jobs.worker import Unwell
from service.settings import read_settings

FAILED_SETUP, DIED = 3, 70


def main() -> None:
    """Work until nothing waits."""
    parser = argparse.ArgumentParser(prog="python -m service.jobs.once", description=__doc__)
    parser.add_argument("--parent", type=int, required=True, help="end when this process does")
    die_with(parser.parse_args().parent)
    log.to_stderr()
    told = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: told.set())
    try:
        with open_worker(read_settings(), worker_name(), told.is_set) as (worker, _):
            worker.work()
    except SetupError as error:
        _end(error)
    except Unwell as error:
        if isinstance(error.__cause__, SetupError):
            _end(error.__cause__)
        sys.exit(DIED)


def _end(error: BreastCascadeError) -> None:
    print(error, file=sys.stderr)  # noqa: T201 - read by whoever started it
    sys.exit(FAILED_SETUP)


if __name__ == "__main__":
    main()
