"""A worker process: ``python -m service.jobs``.

It takes the items of its device class, one at a time, until it is told to stop (SIGTERM); then it ends the item in
hand, or gives it back after BREAST_CASCADE_DRAIN_TIMEOUT seconds.
"""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import suppress
from pathlib import Path

from service import log
from service.errors import BreastCascadeError
from service.jobs.lifeline import die_with

# Celery's own ways of workers to watch each other, which rows do here.
QUIET = ("--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel=WARNING")
FAILED_SETUP = 3
# Where the kernel must end something for want of memory: after a decoder, before the service.
OOM_SCORE = "300"


def main() -> None:
    """Work until told to stop."""
    parser = argparse.ArgumentParser(prog="python -m service.jobs", description=__doc__)
    parser.add_argument("--parent", type=int, help="end when this process does")
    parser.add_argument("--nice", type=int, default=0, help="give way to others, 0 to 19")
    given = parser.parse_args()
    log.to_stderr()
    if given.parent is not None:
        die_with(given.parent)
        with suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text(OOM_SCORE, encoding="ascii")
    os.nice(given.nice)
    try:
        # It reads the settings, which may be wrong.
        from celery.worker import state

        from service.jobs import app

        app.app.worker_main(["--quiet", "worker", f"--hostname={app.name}", *QUIET])
    except BreastCascadeError as error:
        print(f"The worker cannot start. {error}", file=sys.stderr)  # noqa: T201 - read by whoever started it
        sys.exit(FAILED_SETUP)
    # Celery itself forgets the status that its worker ended with.
    sys.exit(int(state.should_stop or state.should_terminate or 0))


if __name__ == "__main__":
    main()
