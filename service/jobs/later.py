"""Files that are opened each time they are read: a job may have more of them than a process may hold open."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import BinaryIO, cast

from service.errors import UnusableImage


def opened_later(path: Path) -> BinaryIO:
    """The file as a stream that can be sought in. Reading raises UnusableImage where it cannot be read."""
    return cast("BinaryIO", _Later(path))


class _Later(io.RawIOBase):
    def __init__(self, path: Path) -> None:
        self._path, self._place = path, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        end = self._path.stat().st_size if whence == os.SEEK_END else 0
        self._place = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: end}[whence] + offset
        return self._place

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        try:
            with self._path.open("rb", buffering=0) as file:
                file.seek(self._place)
                count = file.readinto(buffer)
        except OSError as error:
            raise UnusableImage(
                f"a file that cannot be read ({error.strerror})",
                "a readable file",
                "Check its permissions.",
                "unreadable",
            ) from error
        self._place += count
        return count
