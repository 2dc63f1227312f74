"""What a process gives up before it touches a file of a stranger. Linux."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
from contextlib import suppress
from pathlib import Path

from service.decoding.syscalls import refuse_the_rest

SET_PARENT_DEATH_SIGNAL, SET_NAME, SET_NO_NEW_PRIVILEGES = 1, 15, 38
DESCRIPTORS = 64
# Where the kernel must end something for want of memory, let it be a decoder and not the service.
OOM_SCORE = "500"


def confine(memory: int, parent: int, *, filtered: bool) -> None:
    """Die with ``parent``; take ``memory`` bytes more than now and no more; touch, if ``filtered``, nothing outside.

    No core dump either: it would hold the picture of a patient. Raises OSError where the kernel refuses.
    """
    _prctl(SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)
    _prctl(SET_NO_NEW_PRIVILEGES, 1)
    _prctl(SET_NAME, ctypes.c_char_p(b"decoder"))
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(OOM_SCORE, encoding="ascii")
    _limit(resource.RLIMIT_DATA, data_bytes() + memory)
    _limit(resource.RLIMIT_FSIZE, memory)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_NOFILE, DESCRIPTORS)
    if filtered:
        refuse_the_rest()


def data_bytes() -> int:
    """Private writable memory this process has set aside, used or not: what RLIMIT_DATA counts."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[5]) * resource.getpagesize()


def _limit(kind: int, most: int) -> None:
    _, hard = resource.getrlimit(kind)
    least = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(kind, (least, least))


def _prctl(option: int, value: object) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl {option} refused")
