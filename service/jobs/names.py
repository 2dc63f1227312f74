"""Names of workers, each unlike any other's, and what they tell: whether the process behind one is surely gone.

A name says which process it stands for: its number, when it began, and among which processes of which running kernel it
counts. Whoever sees the same processes can tell that one has ended without waiting for a lease; all others cannot, and
must wait.
"""

from __future__ import annotations

import hashlib
import os
import uuid
from contextlib import suppress
from functools import cache
from pathlib import Path

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


def is_gone(name: str) -> bool:
    """Whether the process that gave itself this name has surely ended; False for all that cannot be known here."""
    _, _, rest = name.partition("_")
    pid, _, rest = rest.partition("_")
    start, _, neighbours = rest.partition("_")[0].partition("-")
    if not (pid.isdecimal() and start.isdecimal() and neighbours) or neighbours != _neighbours():
        return False
    if not _exists(int(pid)):
        return True
    found = _state(int(pid))
    return found is not None and (found[0] in ENDED or found[1] != start)


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
