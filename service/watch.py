"""What runs a volume looks on while it runs: told of progress, able to end the work, keeper of its checkpoints."""

from __future__ import annotations

from typing import Protocol


class Watch(Protocol):
    """Whoever waits for a long run.

    The run calls from its own thread, between batches. What `load` gives may be stale, damaged or of another run: the
    run checks it and starts from zero where it does not fit.
    """

    def step(self, stage: str, done: int, total: int) -> None:
        """So many of the views of ``stage`` are done, 0 to ``total``. An exception raised here ends the run."""
        ...

    def load(self) -> bytes | None:
        """The bytes last saved for this very work, or None. Called once, before the first step."""
        ...

    def save(self, state: bytes) -> None:
        """Keep the state of the run, in the place of what was saved before. An exception raised here ends the run."""
        ...


class Quiet:
    """Watches nothing and keeps nothing."""

    def step(self, stage: str, done: int, total: int) -> None: ...

    def load(self) -> bytes | None:
        return None

    def save(self, state: bytes) -> None: ...


QUIET = Quiet()
