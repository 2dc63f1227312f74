"""The service's side of the decoding processes: one handle for each, and one for the process they are forked from."""

from __future__ import annotations

import json
import mmap
import os
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass

from service.decoding.bounds import Bounds
from service.decoding.channel import (
    Broken,
    Buffer,
    Content,
    Json,
    Patience,
    receive_begun,
    receive_reply,
    sealed_size,
    send_request,
)
from service.decoding.forker import END, FORK, MESSAGE, NUMBER
from service.errors import SetupError

START_WITHIN_S = 60.0
ANSWER_WITHIN_S = 20.0
STOP_WITHIN_S = 5.0
# All that a decoder may see of the environment: no secret of the service, and one thread for each library.
KEPT = ("COVERAGE_", "LANG", "LC_", "LD_LIBRARY_PATH", "PATH", "SYSTEMROOT")
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "OPENCV_FOR_THREADS_NUM": "1"}


class NotBegun(Exception):
    """The process was gone before it had the file: another one may try."""


@dataclass
class Worker:
    """One decoding process. ``files`` counts what it was asked."""

    pid: int
    channel: socket.socket
    files: int = 0

    def ask(self, content: bytes | Content, options: object, seconds: float) -> tuple[Json, Buffer]:
        """Head of the reply and the shared memory that came with it. The time counts from when the file is there.

        Raises NotBegun; TimeoutError; OSError when the process dies over the file; Unread.
        """
        self.files += 1
        try:
            send_request(Patience(seconds).bind(self.channel), content, options)
            patience = Patience(seconds)
            receive_begun(self.channel, patience)
        except TimeoutError:
            raise
        except OSError as error:
            raise NotBegun from error
        head, memory = receive_reply(self.channel, patience)
        return head, b"" if memory is None else _mapped(memory)


def _mapped(memory: int) -> Buffer:
    try:
        size = sealed_size(memory)
        return memoryview(mmap.mmap(memory, size, mmap.MAP_SHARED | mmap.MAP_POPULATE, mmap.PROT_READ)) if size else b""
    finally:
        os.close(memory)


class Forker:
    """The process that decoders are forked from. Started when first asked, and again when it was killed."""

    def __init__(self, bounds: Bounds, reader: str) -> None:
        self._bounds, self._reader = bounds, reader
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._closed = False
        self.versions: dict[str, str] = {}
        self.filtered = False

    @property
    def pid(self) -> int | None:
        """Its process id, None while there is none."""
        return self._process.pid if self._process else None

    def fork(self) -> Worker:
        """A fresh decoding process. Raises SetupError when none can be had."""
        ours, theirs = socket.socketpair()
        with self._lock, theirs:
            try:
                return Worker(self._forked(theirs.fileno()), ours)
            except BaseException:
                ours.close()
                raise

    def end(self, worker: Worker) -> int | None:
        """Kill a decoding process; the signal it died of, which is this one where it still lived."""
        worker.channel.close()
        with self._lock, suppress(OSError):
            if self._control is not None:
                status = self._ask(self._control, END + NUMBER.pack(worker.pid))
                return os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
        return None

    def close(self) -> None:
        """End the process and with it every decoder."""
        with self._lock:
            self._closed = True
            self._stop()

    def _forked(self, descriptor: int) -> int:
        try:
            return self._ask(self._control or self._start(), FORK, descriptor)
        except OSError:
            self._stop()
            return self._ask(self._start(), FORK, descriptor)

    @staticmethod
    def _ask(control: socket.socket, message: bytes, *descriptors: int) -> int:
        socket.send_fds(control, [message], descriptors)
        reply = control.recv(NUMBER.size)
        if len(reply) != NUMBER.size:
            raise Broken
        return int(NUMBER.unpack(reply)[0])

    def _start(self) -> socket.socket:
        if self._closed:
            raise SetupError("decoders that were closed", "open ones", "Start the service anew.", "decoders_closed")
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            arguments = [str(theirs.fileno()), str(self._bounds.memory), self._reader]
            self._process = subprocess.Popen(
                [sys.executable, "-m", "service.decoding.forker", *arguments],
                pass_fds=[theirs.fileno()],
                env=_environment(),
                stdin=subprocess.DEVNULL,
                # Codecs print what they find in a file.
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        self._control = ours
        hello = self._hello(ours)
        self.versions, self.filtered = dict(hello["versions"]), bool(hello["filtered"])
        ours.settimeout(ANSWER_WITHIN_S)
        return ours

    def _hello(self, control: socket.socket) -> Json:
        control.settimeout(START_WITHIN_S)
        try:
            hello: Json = json.loads(control.recv(MESSAGE) or b"{}")
        except TimeoutError:
            hello = {"failed": f"silence for {START_WITHIN_S:g} s"}
        if "versions" not in hello:
            self._stop()
            raise SetupError(
                f"decoders that do not start ({hello.get('failed', 'the process ended')})",
                "a process that can import every decoder",
                "Run `breast-cascade doctor`, and install the service anew.",
                "decoders_failed",
            )
        return hello

    def _stop(self) -> None:
        control, process = self._control, self._process
        self._control = self._process = None
        if control is not None:
            control.close()
        if process is not None:
            try:
                process.wait(STOP_WITHIN_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name.startswith(KEPT)}
    path = os.pathsep.join(os.path.abspath(one) for one in sys.path)
    return {**kept, **ONE_THREAD, "PYTHONPATH": path, "PYTHONSAFEPATH": "1"}
