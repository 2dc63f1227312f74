"""Work that is done again and again in a thread of its own, whatever goes wrong in it."""

from __future__ import annotations

import threading
from collections.abc import Callable

from service.errors import BreastCascadeError
from service.log import event


class Repeated:
    """Calls ``work`` at once and then ``every_s`` seconds after each return, until it is closed."""

    def __init__(self, name: str, every_s: float, work: Callable[[], None]) -> None:
        self._name, self._every_s, self._work = name, every_s, work
        self._closed = threading.Event()
        self._failed = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def close(self, wait_s: float) -> None:
        """Do it no more; wait so long at most for the end of what runs."""
        self._closed.set()
        self._thread.join(wait_s)

    def _run(self) -> None:
        while not self._closed.is_set():
            try:
                self._work()
                self._failed = False
            except Exception as error:
                self._tell(error)
            self._closed.wait(self._every_s)

    def _tell(self, error: Exception) -> None:
        """Once, not every few seconds for as long as a database is away."""
        if not self._failed:
            code = error.code if isinstance(error, BreastCascadeError) else None
            event("warning", f"{self._name}_failed", kind=type(error).__name__, code=code)
        self._failed = True
