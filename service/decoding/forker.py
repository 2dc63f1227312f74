"""The process that decoders are forked from: it has imported what they need, has one thread and touches no file.

    python -m service.decoding.forker DESCRIPTOR MEMORY READER

Written by hand in the place of multiprocessing's fork server: that one imports the program's main module once more in
every child, networks and all, and unpickles what children send. It ends when the service does, and takes every decoder
with it.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import socket
import struct
import sys
from collections.abc import Callable
from functools import partial
from typing import cast

from service.decoding.child import Reader, serve
from service.decoding.confine import confine
from service.decoding.syscalls import filterable
from service.decoding.versions import versions

FORK, END = b"F", b"E"
NUMBER = struct.Struct("!q")
# Imported here once; each decoder would need them at its first file of that kind otherwise.
PRELOAD = ("pydicom.pixels", "nibabel")
MESSAGE = 4096


def main() -> None:
    """Serve fork requests on the socket whose descriptor the command line names."""
    descriptor, memory, path = sys.argv[1:]
    for number in (signal.SIGINT, signal.SIGTERM):
        # Ctrl-C reaches every process of a terminal; the service alone decides when it is done.
        signal.signal(number, signal.SIG_IGN)
    control = socket.socket(fileno=int(descriptor))
    try:
        read = imported(path)
        filtered = _filtered(int(memory))
        hello = {"versions": versions(), "filtered": filtered}
    except Exception as error:  # told to the service, which has a log
        control.send(json.dumps({"failed": f"{type(error).__name__}: {error}"}).encode()[:MESSAGE])
        raise
    gc.collect()
    gc.freeze()
    control.send(json.dumps(hello).encode())
    answer(control, read, int(memory), filtered=filtered)


def imported(path: str) -> Reader:
    """The reader ``module:name``, with what it will need later."""
    module, _, name = path.partition(":")
    for other in PRELOAD:
        importlib.import_module(other)
    return cast(Reader, getattr(importlib.import_module(module), name))


def answer(control: socket.socket, read: Reader, memory: int, *, filtered: bool) -> None:
    """Fork and bury on request until the service goes away."""
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, 1 + NUMBER.size, 1)
        if not message:
            return
        if message[:1] == FORK:
            number = _forked(descriptors[0], control, read, partial(confine, memory, os.getpid(), filtered=filtered))
        else:
            number = _end(NUMBER.unpack(message[1:])[0])
        control.send(NUMBER.pack(number))


def _forked(descriptor: int, control: socket.socket, read: Reader, confined: Callable[[], None]) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            control.close()
            confined()
            with socket.socket(fileno=descriptor) as channel:
                serve(channel, read)
        finally:
            os._exit(0)
    os.close(descriptor)
    return pid


def _filtered(memory: int) -> bool:
    """Whether the filter of system calls can be used here. Raises OSError when not even the rest can."""
    if filterable() and _tried(memory, filtered=True):
        return True
    if not _tried(memory, filtered=False):
        raise OSError("this system does not let a process be confined")
    return False


def _tried(memory: int, *, filtered: bool) -> bool:
    parent, pid = os.getpid(), os.fork()
    if pid == 0:
        try:
            confine(memory, parent, filtered=filtered)
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitpid(pid, 0)[1] == 0


def _end(pid: int) -> int:
    """Kill a decoder, if it still lives, and give the status it ended with."""
    os.kill(pid, signal.SIGKILL)
    return os.waitpid(pid, 0)[1]


if __name__ == "__main__":
    main()
