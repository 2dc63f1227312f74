"""Who waits for a long run: told of progress, able to end it, keeper of its checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable


class Watch(Protocol):
    """Told of a run's progress between two batches, in the run's own thread."""

    def step(self, stage: str, done: int, total: int) -> None:
        """So many of the views of ``stage`` are done, 0 to ``total``. An exception raised here ends the run."""
        ...


@runtime_checkable
class Keeper(Watch, Protocol):
    """A watch that keeps checkpoints, too.

    What `load` gives may be stale, damaged or of another run: it is checked, and the run starts from zero where it does
    not fit.
    """

    def load(self) -> bytes | None:
        """What was last saved for this work, or None. Called once, before the first step."""
        ...

    def save(self, state: bytes) -> None:
        """Keep this in the place of what was saved before. An exception raised here ends the run."""
        ...


@dataclass(frozen=True)
class Checked:
    """A watch that only asks whether to go on: ``check`` raises to end the run."""

    check: Callable[[], None]

    def step(self, stage: str, done: int, total: int) -> None:
        self.check()


QUIET = Checked(lambda: None)
