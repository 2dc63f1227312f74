"""Files of jobs in a folder on a disk of this machine: neither a kill nor a power cut leaves half of one behind."""

from __future__ import annotations

import errno
import os
import stat
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from service.errors import SetupError, StoreAway
from service.jobs.settled import Settled
from service.jobs.store_base import (
    Measured,
    Readable,
    StoredBytes,
    StoredKey,
    check_key,
    check_prefix,
    disk_full,
    missing,
)

# No key begins with a dot.
UNFINISHED = ".unfinished"
# A full disk, a full quota, a file over the limit of its process.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# Folders that another process takes away as empty, in the very moment they are needed, so many times at most.
TRIES = 16


class LocalStore:
    """A folder on a disk of this machine."""

    def __init__(self, root: Path) -> None:
        """Raises SetupError where ``root`` cannot be made or written to."""
        self._root = root
        self._settled = Settled(root)
        try:
            (root / UNFINISHED).mkdir(parents=True, exist_ok=True, mode=0o700)
            writable = os.access(root / UNFINISHED, os.W_OK | os.X_OK)
        except OSError:
            writable = False
        if not writable:
            raise SetupError(
                f"{root}: a folder for jobs that cannot be written to",
                "a folder of this user",
                "Mend its permissions, or set BREAST_CASCADE_STORE_URL to another one.",
                "bad_setting",
            )

    def put(self, key: str, content: Readable | bytes) -> StoredBytes:
        """As `Store.put`: a temporary file, synced, then renamed, then the folders above it synced that may be new."""
        target = self._root / check_key(key)
        temporary = self._root / UNFINISHED / uuid.uuid4().hex
        measured = Measured(content)
        try:
            with _full(), open(temporary, "xb", opener=_private) as file:
                for piece in measured.pieces():
                    file.write(piece)
                file.flush()
                os.fsync(file.fileno())
            with _full():
                self._place(temporary, target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            self._prune(target.parent)
            raise
        return measured.stored

    def open(self, key: str) -> BinaryIO:
        """As `Store.open`."""
        try:
            return (self._root / check_key(key)).open("rb")
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise missing() from None

    def delete(self, key: str) -> None:
        """As `Store.delete`; folders that are empty then go, too."""
        path = self._root / check_key(key)
        with suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError):
            path.unlink()
        self._prune(path.parent)

    def keys(self, prefix: str = "") -> Iterator[StoredKey]:
        """As `Store.keys`, folder by folder in alphabetical order."""
        now = time.time()
        for where, folders, names in os.walk(self._root / check_prefix(prefix)):
            folders[:] = sorted(name for name in folders if name != UNFINISHED)
            for path in (Path(where, name) for name in sorted(names)):
                with suppress(FileNotFoundError):
                    about = path.lstat()
                    if stat.S_ISREG(about.st_mode):
                        key = path.relative_to(self._root).as_posix()
                        yield StoredKey(key, max(0.0, now - about.st_mtime), about.st_size)

    def free(self) -> int:
        """As `Store.free`: what the disk has for this user."""
        room = os.statvfs(self._root)
        return room.f_bavail * room.f_frsize

    def sweep(self, age_s: float) -> int:
        """As `Store.sweep`; old empty folders go, too, uncounted."""
        oldest, swept = time.time() - age_s, 0
        for path in (self._root / UNFINISHED).iterdir():
            with suppress(FileNotFoundError):
                if path.stat().st_mtime <= oldest:
                    path.unlink()
                    swept += 1
        for where, _, _ in os.walk(self._root, topdown=False):
            with suppress(OSError):
                if Path(where) not in (self._root, self._root / UNFINISHED) and os.stat(where).st_mtime <= oldest:
                    os.rmdir(where)
        return swept

    def _place(self, temporary: Path, target: Path) -> None:
        for _ in range(TRIES):
            # Between these two lines a delete may take the empty folder away.
            with suppress(FileNotFoundError):
                self._make(target.parent)
                temporary.replace(target)
                self._settled.sync(target.parent)
                return
        raise StoreAway("a folder of the store that does not stay", "one that does", "Try again.")

    def _make(self, folder: Path) -> None:
        if folder != self._root and not folder.is_dir():
            self._make(folder.parent)
            folder.mkdir(exist_ok=True, mode=0o700)

    def _prune(self, folder: Path) -> None:
        for one in (folder, *folder.parents):
            if one == self._root:
                return
            try:
                one.rmdir()
            except FileNotFoundError:
                continue
            except OSError:
                return


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


@contextmanager
def _full() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise disk_full() from None
        raise
