"""Halts a process of the service at a named point, so that a test can end it exactly there. Loaded by `hooks` alone.

The points of a worker, in the order of an item: ``claimed``, ``localise`` and ``lesion`` (after a batch of it),
``writing`` (one answer is in the store, the next one in an unfinished file), ``written`` (all are, nothing is
committed), ``committed`` (and the message not acknowledged). Those of the web process: ``received`` (files are in the
store, no row names them), ``accepted`` (rows are there, nothing was answered).
"""

from __future__ import annotations

import faulthandler
import os
import signal
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import service.jobs.perform as performing
from service.jobs.rows import Rows
from service.jobs.store_local import LocalStore

LOOK_EVERY_S = 0.02
POINTS = ("claimed", "localise", "lesion", "writing", "written", "committed")
# Lies in the folder as long as items of that name kill whatever works on them.
POISON = "poison"


def install(folder: str) -> None:
    """Wrap what passes the points. SIGUSR1 tells on stderr where all threads are, for whoever looks for a hang."""
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    _FOLDER.append(Path(folder))
    performing.perform = _poisoned(performing.perform, Path(folder))
    performing.perform = _around(performing.perform, before="claimed")
    performing.ItemWatch.step = _stepping(performing.ItemWatch.step)
    LocalStore._place = _placing(LocalStore._place)
    if os.environ.get("BREAST_CASCADE_STORE_URL", "").startswith("s3:"):
        from service.jobs.store_s3 import S3Store

        S3Store.put = _putting(S3Store.put)
    Rows.commit = _around(Rows.commit, before="written", after="committed")
    Rows.accept = _around(Rows.accept, before="received", after="accepted")


_FOLDER: list[Path] = []


def halt(point: str) -> None:
    """Stay here if the point is armed and no other process came first, until the mark is taken away."""
    mark = _FOLDER[0] / f"{point}.at.{os.getpid()}"
    try:
        (_FOLDER[0] / f"{point}.armed").rename(mark)
    except FileNotFoundError:
        return
    while mark.exists():
        time.sleep(LOOK_EVERY_S)


def _around(work: Callable[..., Any], before: str = "", after: str = "") -> Callable[..., Any]:
    @wraps(work)
    def halting(*arguments: Any) -> Any:
        halt(before)
        outcome = work(*arguments)
        halt(after)
        return outcome

    return halting


def _stepping(step: Callable[..., None]) -> Callable[..., None]:
    @wraps(step)
    def halting(watch: Any, stage: str, done: int, total: int) -> None:
        if done:
            halt(stage)
        step(watch, stage, done, total)

    return halting


def _placing(place: Callable[..., None]) -> Callable[..., None]:
    @wraps(place)
    def halting(store: Any, temporary: Path, target: Path) -> None:
        if target.name.startswith("answer") and target.parent.is_dir():
            halt("writing")
        place(store, temporary, target)

    return halting


def _putting(put: Callable[..., Any]) -> Callable[..., Any]:
    begun: set[str] = set()

    @wraps(put)
    def halting(store: Any, key: str, content: Any) -> Any:
        folder, _, name = key.rpartition("/")
        if name.startswith("answer") and folder in begun:
            halt("writing")
        begun.add(folder)
        return put(store, key, content)

    return halting


def _poisoned(perform: Callable[..., Any], folder: Path) -> Callable[..., Any]:
    @wraps(perform)
    def dying(bench: Any, claim: Any, watch: Any) -> Any:
        if POISON in claim.item.name and (folder / POISON).exists():
            os.kill(os.getpid(), signal.SIGKILL)
        return perform(bench, claim, watch)

    return dying
