"""Readers for decoding processes that misbehave on demand: content ``do:NAME`` makes one do NAME, the rest is read."""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from service.decoding.confine import SET_NAME
from service.errors import UnusableImage
from service.formats.limits import Limits
from service.formats.raster import read_raster
from service.image import Image


class Gate:
    """Options that name a file: the reader calls its process ``waiting`` and waits until the file is there."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "open"

    def wait(self) -> None:
        ctypes.CDLL(None).prctl(SET_NAME, ctypes.c_char_p(b"waiting"), 0, 0, 0)
        while not self._file.exists():
            time.sleep(0.01)

    def open(self) -> None:
        self._file.touch()


def read(content: bytes, options: Any) -> Image:
    """The image of a picture file, or what ``content`` asks for."""
    if not content.startswith(b"do:"):
        return read_raster(content, options if isinstance(options, Limits) else Limits())
    if isinstance(options, Gate):
        options.wait()
    return DEEDS[content[3:].decode()]() or Image(np.zeros((1, 8, 8, 1), np.uint8), notes=(str(os.getpid()),))


def _hang() -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM):
        signal.signal(number, signal.SIG_IGN)
    while True:
        pass


def _swallowed() -> None:
    try:
        bytearray(1 << 40)
    except Exception:
        raise UnusableImage("a file that cannot be decoded", "a well-formed file", "Export it anew.") from None


def _told() -> Image:
    facts = (
        *(f"{name}={resource.getrlimit(getattr(resource, name))}" for name in ("RLIMIT_CORE", "RLIMIT_NOFILE")),
        *(
            line
            for line in Path("/proc/self/status").read_text().splitlines()
            if line.startswith(("NoNewPrivs", "Name"))
        ),
        *(f"env {name}" for name in os.environ),
        *(f"fd {os.readlink(f'/proc/self/fd/{one}')}" for one in sorted(os.listdir("/proc/self/fd"))[:3]),
        f"fds {len(os.listdir('/proc/self/fd'))}",
    )
    return Image(np.zeros((1, 8, 8, 1), np.uint8), notes=facts)


def _refused(deed: Callable[[], object]) -> Callable[[], Image]:
    """What the kernel says to the deed."""

    def tried() -> Image:
        try:
            deed()
        except OSError as error:
            said = errno.errorcode[error.errno or 0]
        else:
            said = "done"
        return Image(np.zeros((1, 8, 8, 1), np.uint8), notes=(said,))

    return tried


def _thread() -> None:
    thread = threading.Thread(target=len, args=("",))
    thread.start()
    thread.join()


def _bug() -> None:
    raise KeyError("Jane Doe")


DEEDS: dict[str, Callable[[], Image | None]] = {
    "nothing": lambda: None,
    "abort": os.abort,
    "segfault": lambda: ctypes.string_at(0) and None,
    "exit": lambda: os._exit(0),
    "killed": lambda: signal.raise_signal(signal.SIGKILL),
    "system exit": lambda: exit(1),
    "stop": lambda: signal.raise_signal(signal.SIGSTOP),
    "hang": _hang,
    "memory": lambda: np.ones(1 << 30, np.uint8) and None,
    "swallowed": _swallowed,
    "too deep": lambda: DEEDS["too deep"](),
    "bug": _bug,
    "print": lambda: os.write(1, b"Jane Doe") and os.write(2, b"Jane Doe") and None,
    "facts": _told,
    "socket": _refused(socket.socket),
    "program": _refused(lambda: os.execv("/bin/true", ["true"])),  # noqa: S606
    "process": _refused(os.fork),
    "write": _refused(lambda: Path("/tmp/decoder-was-here").write_text("")),
    "append": _refused(lambda: os.open("/dev/null", os.O_WRONLY | os.O_APPEND)),
    "delete": _refused(lambda: os.unlink("/tmp/decoder-was-here")),
    "folder": _refused(lambda: os.mkdir("/tmp/decoder-was-here")),
    "signal": _refused(lambda: os.kill(os.getppid(), 0)),
    "read": _refused(lambda: Path(__file__).read_bytes()),
    "thread": _refused(_thread),
    "large": lambda: Image(np.zeros((1, 4096, 4096, 3), np.uint8)),
}
