"""A process that must not outlive the one that started it. Linux."""

from __future__ import annotations

import ctypes
import os
import signal

SET_PARENT_DEATH_SIGNAL = 1


def die_with(parent: int) -> None:
    """Be killed as soon as the thread of ``parent`` that started this process ends; end now if it has already."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(SET_PARENT_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl refused")
    if os.getppid() != parent:
        os._exit(0)
