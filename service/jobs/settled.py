"""Folders whose place on the disk is settled: to sync all that lies above a file each time would only take time."""

from __future__ import annotations

import os
import threading
import weakref
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path

# So many folders are remembered, and held open.
MOST = 64


class Settled:
    """Syncs folders up to the first whose own place is known to be on the disk. Threads may share it.

    A folder's place is its entry in the folder above, and the place of that one. A folder that is remembered was opened
    before its entry was synced and is held open since: no other can have its number in the meantime, so that one which
    was removed and made anew, here or by another process, is told apart.
    """

    def __init__(self, root: Path) -> None:
        """``root`` has its place."""
        self._root = root
        self._held: OrderedDict[Path, int] = OrderedDict()
        self._lock = threading.Lock()
        weakref.finalize(self, _close, self._held)

    def sync(self, folder: Path) -> None:
        """Bring a folder's entries and its place, at or below the root, to the disk."""
        # One that is gone held a file that was deleted since.
        with ExitStack() as closing, suppress(FileNotFoundError):
            fresh: dict[Path, int] = {}
            for one in (folder, *folder.parents):
                known = self._knows(one)
                descriptor = os.open(one, os.O_RDONLY | os.O_DIRECTORY)
                closing.callback(os.close, descriptor)
                os.fsync(descriptor)
                if known:
                    break
                fresh[one] = descriptor
            self._remember(fresh)

    def _knows(self, folder: Path) -> bool:
        if folder == self._root:
            return True
        with self._lock:
            if folder not in self._held:
                return False
            self._held.move_to_end(folder)
            return os.path.samestat(os.fstat(self._held[folder]), os.stat(folder))

    def _remember(self, fresh: Mapping[Path, int]) -> None:
        # All of it is on the disk: that a process has too many open files is no reason to fail now.
        with self._lock, suppress(OSError):
            for folder, descriptor in fresh.items():
                if folder in self._held:
                    os.close(self._held.pop(folder))
                self._held[folder] = os.dup(descriptor)
            while len(self._held) > MOST:
                os.close(self._held.popitem(last=False)[1])


def _close(held: OrderedDict[Path, int]) -> None:
    while held:
        os.close(held.popitem()[1])
