"""Works one job off in a process that may die of an item, and starts the next one when it does."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from service.errors import CapacityError, SetupError
from service.jobs.folder import DRAIN_S, FolderJob
from service.jobs.launch import environment
from service.jobs.machine import NAME
from service.jobs.model import FINAL_JOB_STATES, JobRow
from service.jobs.names import name_of_this_process
from service.jobs.once import FAILED_SETUP

LOOK_EVERY_S = 0.2
STOP_WITHIN_S = DRAIN_S + 8.0
# Workers in a row that ended without having brought the job on.
PATIENCE = 5
PAUSE_S = 1.0


def work_off(folder: FolderJob, job: JobRow, tell: Callable[[JobRow], None]) -> JobRow:
    """The job once it has ended; ``tell`` gets it a few times a second.

    Raises SetupError when the worker says so, CapacityError when it cannot bring the job to an end now. Whatever ends
    this, the worker ends with it, and the item in its hands is free again.
    """
    useless = 0
    while (job := folder.row(job)).state not in FINAL_JOB_STATES:
        before, name = job, name_of_this_process("batch")
        status = _worked(folder, job, name, tell)
        job = folder.row(job)
        # Each death is counted, so that an item which kills its workers comes to an end, too.
        useless = 0 if job.done > before.done or (status != 0 and job.seq > before.seq) else useless + 1
        if useless == PATIENCE:
            raise CapacityError(
                "a worker that cannot go on now", "room on the disk, and its rows and files within reach", "Try again."
            )
        time.sleep(PAUSE_S * useless)
    tell(job)
    return job


def _worked(folder: FolderJob, job: JobRow, name: str, tell: Callable[[JobRow], None]) -> int:
    log = folder.settings.data_dir / "worker.log"
    with _worker(folder, name, log) as child:
        while True:
            try:
                status = child.wait(LOOK_EVERY_S)
                break
            except subprocess.TimeoutExpired:
                tell(folder.row(job))
    if status == FAILED_SETUP:
        raise SetupError(
            "a worker that cannot start", "one that can", log.read_text(encoding="utf-8", errors="replace")[-2000:]
        )
    return status


@contextmanager
def _worker(folder: FolderJob, name: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as sink:
        child = subprocess.Popen(
            [sys.executable, "-m", "service.jobs.once", f"--parent={os.getpid()}"],
            env=environment(folder.settings) | {NAME: name},
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            process_group=0,  # Ctrl-C is for this process, which tells the worker
        )
    try:
        yield child
    finally:
        ended = child.poll() is not None
        _end(child)
        # An item in the hands of one that was told to end is to blame for nothing.
        folder.rows.bury(name) if ended else folder.rows.free(name)


def _end(child: subprocess.Popen[bytes]) -> None:
    child.terminate()
    try:
        child.wait(STOP_WITHIN_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
