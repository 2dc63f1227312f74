"""Workers that live no longer than who started them, and how it is known that they died of that and of nothing else.

Whoever starts one keeps a file of the worker's name locked; the kernel gives it up when that process ends in any
way, also in another container or before the computer was started again. What such a worker had in hand is to blame for
nothing.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from service.settings import Settings


def owners_folder(settings: Settings) -> Path:
    """Where the files of all owners on this disk lie."""
    return settings.data_dir.absolute() / "jobs" / "owners"


class Owned:
    """A worker of this process, from before its start until its items are accounted for."""

    def __init__(self, folder: Path, worker: str) -> None:
        self._path = folder / worker
        self._file: BinaryIO | None = None
        # Without room for it the worker runs all the same: its death then counts as any other's.
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._file = self._path.open("wb")
            fcntl.flock(self._file, fcntl.LOCK_EX)

    def close(self) -> None:
        """It has ended, and its owner has seen to what it left."""
        with suppress(OSError):
            self._path.unlink()
        if self._file is not None:
            self._file.close()


def orphans(folder: Path) -> list[str]:
    """Workers whose owners have ended without having seen to what they left."""
    return list(_orphans(folder)) if folder.is_dir() else []


def laid_to_rest(folder: Path, worker: str) -> None:
    """All is seen to."""
    (folder / worker).unlink(missing_ok=True)


def _orphans(folder: Path) -> Iterator[str]:
    for path in sorted(folder.iterdir()):
        # Gone meanwhile, or its owner lives.
        with suppress(FileNotFoundError, BlockingIOError), path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield path.name
