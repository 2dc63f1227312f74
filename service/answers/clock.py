"""Where the time of one request went."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Clock:
    """Milliseconds by name, and in total since it was made."""

    def __init__(self) -> None:
        self._start = time.perf_counter()
        self._spans: dict[str, float] = {}

    @contextmanager
    def span(self, name: str) -> Iterator[None]:
        """Add the time spent inside to ``name``."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.add(name, (time.perf_counter() - start) * 1000)

    def add(self, name: str, milliseconds: float) -> None:
        """Add to ``name`` what was measured elsewhere."""
        self._spans[name] = self._spans.get(name, 0.0) + milliseconds

    def mark(self, name: str) -> None:
        """Give ``name`` the time since this clock was made."""
        self._spans[name] = self.total

    @property
    def total(self) -> float:
        """Milliseconds since this clock was made."""
        return (time.perf_counter() - self._start) * 1000

    def __getitem__(self, name: str) -> float:
        return self._spans.get(name, 0.0)
