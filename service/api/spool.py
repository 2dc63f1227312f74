"""A request's files on their way into the store: one file on disk that has no name and is gone with its process."""

from __future__ import annotations

import errno
import io
import os
import tempfile
from pathlib import Path
from typing import BinaryIO, cast

from service.errors import DiskFull

# Written in pieces of this size; never more than about that is held in memory.
PIECE = 1 << 20
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Spool:
    """Bytes that come in order and are read back in any order once they are flushed."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        # No name from the first moment on: whatever kills this process, nothing of a patient stays behind.
        self._file = cast("BinaryIO", tempfile.TemporaryFile(dir=folder, buffering=0))  # noqa: SIM115
        self._pending = bytearray()
        self._written = 0

    @property
    def size(self) -> int:
        """Bytes taken so far."""
        return self._written + len(self._pending)

    @property
    def is_due(self) -> bool:
        """Whether it is time to flush."""
        return len(self._pending) >= PIECE

    def append(self, piece: bytes) -> None:
        """Take more bytes, in memory until the next flush."""
        self._pending += piece

    def flush(self) -> None:
        """Put what was taken on disk; blocking. Raises DiskFull."""
        waiting = memoryview(bytes(self._pending))
        self._pending.clear()
        try:
            while waiting:
                count = os.write(self._file.fileno(), waiting)
                waiting, self._written = waiting[count:], self._written + count
        except OSError as error:
            if error.errno not in FULL:
                raise
            raise DiskFull("no room for this upload", "room for it", "Come back later, or send less.") from None

    def free(self) -> int:
        """Bytes its disk has room for."""
        room = os.fstatvfs(self._file.fileno())
        return room.f_bavail * room.f_frsize

    def part(self, start: int, size: int) -> BinaryIO:
        """So many flushed bytes from ``start`` on, as a file that can be sought in."""
        return cast("BinaryIO", _Part(self._file.fileno(), start, size))

    def close(self) -> None:
        """Forget everything."""
        self._file.close()


class _Part(io.RawIOBase):
    """A stretch of a file that others read at the same time."""

    def __init__(self, descriptor: int, start: int, size: int) -> None:
        self._descriptor, self._start, self._size = descriptor, start, size
        self._place = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise OSError(errno.EINVAL, "a place before the beginning")
        self._place = base + offset
        return self._place

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        wanted = max(0, min(len(buffer), self._size - self._place))
        piece = os.pread(self._descriptor, wanted, self._start + self._place)
        buffer[: len(piece)] = piece
        self._place += len(piece)
        return len(piece)

    def readall(self) -> bytes:
        # The base class would go on in steps of a few kilobytes.
        pieces = []
        while piece := self.read(PIECE):
            pieces.append(piece)
        return b"".join(pieces)
