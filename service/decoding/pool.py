"""Decoding of untrusted files in processes of their own: a codec that crashes takes nothing with it but the file."""

from __future__ import annotations

import logging
import threading
from contextlib import suppress
from queue import Empty, LifoQueue

from service.decoding import failures
from service.decoding.bounds import DEFAULT_BOUNDS, Bounds
from service.decoding.channel import Content, Unread
from service.decoding.parcel import unpacked
from service.decoding.worker import Forker, NotBegun, Worker
from service.errors import InputError
from service.image import Image

LOGGER = logging.getLogger("breast_cascade")
READER = "service.formats.read:read_image"
# A process may have been killed while it waited, and its successor too.
TRIES = 3
# Reasons to replace a process that had ended by itself.
DIED = ("crash", "found_dead")


class Decoders:
    """At most two warm processes that decode. Safe to share between threads; blocks, so not for an event loop.

    Args:
        bounds: what one process may use.
        reader: ``module:name`` of the function ``(content, options) -> Image`` that runs there.
    """

    def __init__(self, bounds: Bounds = DEFAULT_BOUNDS, reader: str = READER) -> None:
        self._bounds = bounds
        self._forker = Forker(bounds, reader)
        self._all = [_Seat(self._forker, bounds) for _ in range(bounds.processes)]
        # Last in, first out: the process used last has its caches warm.
        self._free: LifoQueue[_Seat] = LifoQueue()
        self._starting = threading.Lock()
        for seat in self._all:
            self._free.put(seat)

    @property
    def versions(self) -> dict[str, str]:
        """Version of each decoder as the processes report them; empty before they were started."""
        return self._forker.versions

    @property
    def filtered(self) -> bool:
        """Whether the kernel refuses the processes what they do not need: sockets, programs, changes to files."""
        return self._forker.filtered

    @property
    def pids(self) -> list[int]:
        """Process ids: of the one that forks first, then of the decoders."""
        pids = [self._forker.pid, *(seat.pid for seat in self._all)]
        return [pid for pid in pids if pid is not None]

    def start(self) -> None:
        """Start all processes; without it the first files wait for them. Raises SetupError."""
        with self._starting:
            taken = [self._free.get() for _ in self._all]
            try:
                for seat in taken:
                    seat.fill()
            finally:
                for seat in taken:
                    self._free.put(seat)

    def read(self, content: bytes | Content, options: object) -> Image:
        """The image in a file, decoded in another process; its voxels are shared memory and must not be written.

        Raises what the reader raises, and what ``content`` raises while it is read; UnusableImage with code
        ``decoder_crash`` or ``decoder_timeout``, TooLarge with code ``decoder_memory``.
        """
        seat = self._free.get()
        try:
            return seat.read(content, options)
        finally:
            self._free.put(seat)

    def close(self) -> None:
        """End all processes. A file that is being decoded fails as ``decoder_crash``."""
        self._forker.close()
        idle: list[_Seat] = []
        with suppress(Empty):
            while True:
                idle.append(self._free.get_nowait())
        for seat in idle:
            seat.leave()
            self._free.put(seat)


class _Seat:
    """A place for one decoding process; whoever holds the seat has it alone."""

    def __init__(self, forker: Forker, bounds: Bounds) -> None:
        self._forker, self._bounds = forker, bounds
        self._worker: Worker | None = None

    @property
    def pid(self) -> int | None:
        """Of its process."""
        worker = self._worker
        return worker.pid if worker else None

    def fill(self) -> Worker:
        """Its process, a fresh one where there is none."""
        if self._worker is None:
            self._worker = self._forker.fork()
        return self._worker

    def leave(self) -> None:
        """Close the way to its process, which ends by that."""
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.channel.close()

    def read(self, content: bytes | Content, options: object) -> Image:
        """One file."""
        for _ in range(TRIES):
            worker = self.fill()
            try:
                return self._image(worker, content, options)
            except NotBegun:
                self._replace("found_dead")
        raise failures.crashed()

    def _image(self, worker: Worker, content: bytes | Content, options: object) -> Image:
        try:
            head, memory = worker.ask(content, options, self._bounds.seconds)
            outcome = failures.told(head, self._bounds) if "failed" in head else unpacked(head, memory)
        except TimeoutError:
            self._replace("timeout")
            raise failures.too_slow(self._bounds) from None
        except Unread as error:
            self._replace("unread")
            raise (error.__cause__ or error) from None
        except OSError:
            self._replace("crash")
            raise failures.crashed() from None
        if head.get("failed") in failures.WEARING:
            self._replace(head["failed"])
        elif worker.files >= self._bounds.files:
            self._replace("worn")
        if isinstance(outcome, InputError):
            raise outcome
        return outcome

    def _replace(self, reason: str) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            number = self._forker.end(worker)
            # Of the others it is our own.
            fields = {"reason": reason, "signal": number if reason in DIED else None, "files": worker.files}
            LOGGER.log(logging.INFO, "decoder_replaced", extra={"fields": fields})
