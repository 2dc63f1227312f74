"""One item in a fresh process of its own: it has killed its workers before.

    python -m service.jobs.alone PARENT

The item comes pickled on stdin, its outcome goes as JSON to stdout. Whatever becomes of the process, the worker that
started it lives on and ends the item.
"""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from service import log
from service.errors import CapacityError, SetupError, StoreAway
from service.jobs.launch import environment
from service.jobs.lifeline import die_with
from service.jobs.model import Claim, Done, Failed, Problem, StoredFile
from service.jobs.sql.deaths import POISONED
from service.jobs.warden import Held
from service.log import event
from service.settings import Settings, read_settings

NOT_NOW, NOT_HERE = 75, 78
LOOK_EVERY_S = 0.1


def run(settings: Settings, claim: Claim, held: Held) -> Done | Failed:
    """The outcome of an item, run in a process of its own; poisoned where that process dies.

    Raises what ``held.check`` raises; CapacityError and SetupError where the process said so.
    """
    with _started(settings) as child:
        status, answer = _waited(child, held, pickle.dumps(claim))
    if status == NOT_NOW:
        raise StoreAway("an item that could not be run now", "room, a store and a database that answer", "Try again.")
    if status == NOT_HERE:
        raise SetupError("a worker that cannot load its pipelines", "one that can", "Run `breast-cascade doctor`.")
    if status != 0:
        event("error", "item_crashed", alone=True, status=status)
        return Failed(POISONED)
    return outcome_from(json.loads(answer))


@contextmanager
def _started(settings: Settings) -> Iterator[subprocess.Popen[bytes]]:
    child = subprocess.Popen(
        [sys.executable, "-m", "service.jobs.alone", str(os.getpid())],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment(settings),
    )
    try:
        yield child
    finally:
        child.kill()
        child.communicate()


def _waited(child: subprocess.Popen[bytes], held: Held, order: bytes) -> tuple[int, bytes]:
    sent: bytes | None = order
    while True:
        held.check()
        try:
            answer, _ = child.communicate(sent, timeout=LOOK_EVERY_S)
        except subprocess.TimeoutExpired:
            sent = None
        else:
            return child.returncode, answer


def as_json(outcome: Done | Failed) -> dict[str, Any]:
    """For the way to another process."""
    kind = "done" if isinstance(outcome, Done) else "failed"
    return {kind: asdict(outcome)}


def outcome_from(value: dict[str, Any]) -> Done | Failed:
    """What `as_json` was given."""
    if "failed" in value:
        return Failed(Problem(**value["failed"]["problem"]))
    files = tuple(StoredFile(**file) for file in value["done"]["files"])
    return Done(files, value["done"]["summary"])


def main() -> None:
    """Run the item on stdin."""
    die_with(int(sys.argv[1]))
    # What a library prints must not end up in the answer.
    answer = os.dup(1)
    os.dup2(2, 1)
    log.to_stderr()
    claim = pickle.loads(sys.stdin.buffer.read())  # noqa: S301 - from the worker that started this process
    from service.jobs.machine import open_bench
    from service.jobs.perform import ItemWatch, perform

    try:
        with open_bench(read_settings()) as bench:
            outcome = perform(bench, claim, ItemWatch(bench, claim))
    except CapacityError:
        sys.exit(NOT_NOW)
    except SetupError:
        sys.exit(NOT_HERE)
    with os.fdopen(answer, "wb") as stdout:
        stdout.write(json.dumps(as_json(outcome)).encode())


if __name__ == "__main__":
    main()
