"""Being told to end: by Ctrl-C, by a system that shuts down (SIGTERM), by a terminal that closes (SIGHUP)."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

OTHERS = (signal.SIGTERM, signal.SIGHUP)


class Told(KeyboardInterrupt):
    """The process was told to end. ``status`` is what a shell calls that."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.status = 128 + number


@contextmanager
def heeding() -> Iterator[None]:
    """Raise Told for SIGTERM and SIGHUP as Ctrl-C raises KeyboardInterrupt, once: what follows finds it ending.

    One that is ignored, as `nohup` has it, stays ignored; in other threads than the main one nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in OTHERS}
    heeded = [number for number, handler in before.items() if handler is not signal.SIG_IGN]
    for number in heeded:
        signal.signal(number, lambda number, frame: _told(number, frame, heeded))
    try:
        yield
    finally:
        for number in heeded:
            signal.signal(number, before[number])


def _told(number: int, _: FrameType | None, heeded: list[signal.Signals]) -> None:
    for one in heeded:
        signal.signal(one, signal.SIG_IGN)
    raise Told(number)
