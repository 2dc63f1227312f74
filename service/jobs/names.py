"""Names of workers, each unlike any other's, and what they tell: whether the process behind one is surely gone.

A name says which process it stands for: its number, when it began, and among which processes of which running kernel it
counts. Whoever sees the same processes can tell that one has ended without waiting for a lease; all others cannot, and
must wait.
"""

from __future__ import annotations

import hashlib
import os
import re
import uuid
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

NAME = re.compile(r"[^_]*_(?P<pid>\d{1,9})_(?P<start>\d+)-(?P<neighbours>[0-9a-f]*)_[0-9a-f]+")
BOOT, PROCESSES = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
UNKNOWN = ""
# What a process is that has ended and waits for nothing but to be counted by its parent.
ENDED = frozenset("ZX")
# Fields of /proc/PID/stat behind the name: the first is the state, this one the start in ticks since boot.
STATE, START = 0, 19


def name_of_this_process(label: str) -> str:
    """``label`` (letters, digits and dashes), then what tells the process from all others; for queues, too."""
    pid = os.getpid()
    _, start = _state(pid) or ("", "0")
    return f"{label}_{pid}_{start}-{_neighbours()}_{uuid.uuid4().hex[:8]}"


def runs_here(name: str) -> bool:
    """Whether the process that gave itself this name is seen to run among this one's neighbours."""
    found = _parsed(name)
    return found is not None and found.neighbours == _neighbours() and _lives(found) is True


def is_gone(name: str) -> bool:
    """Whether the process that gave itself this name has surely ended; False for all that cannot be known here."""
    found = _parsed(name)
    return found is not None and found.neighbours == _neighbours() != UNKNOWN and _lives(found) is False


@dataclass(frozen=True)
class _Process:
    pid: int
    start: str
    neighbours: str


def _parsed(name: str) -> _Process | None:
    found = NAME.fullmatch(name)
    return None if found is None else _Process(int(found["pid"]), found["start"], found["neighbours"])


def _lives(one: _Process) -> bool | None:
    """None where that cannot be seen."""
    if not _exists(one.pid):
        return False
    found = _state(one.pid)
    return None if found is None else found[0] not in ENDED and found[1] == one.start


def _exists(pid: int) -> bool:
    """Unlike /proc, which may hide others' processes, the kernel always says so."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _state(pid: int) -> tuple[str, str] | None:
    """State and start of a process; None where they cannot be read."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return (fields[STATE], fields[START]) if len(fields) > START else None


@cache
def _neighbours() -> str:
    """The same for two processes exactly when numbers of processes mean the same to both; empty where unknown."""
    with suppress(OSError):
        seen = f"{BOOT.read_text(encoding='ascii').strip()} {PROCESSES.readlink()}"
        return hashlib.sha256(seen.encode()).hexdigest()[:12]
    return UNKNOWN
