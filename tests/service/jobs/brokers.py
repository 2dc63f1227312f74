"""A real Redis server of a test's own."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.serving import until


@dataclass
class Broker:
    """One server; it keeps its port when it is started again, and nothing on disk."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it and wait until it answers."""
        arguments = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self.folder)]
        self.process = subprocess.Popen(["redis-server", *arguments], stdout=subprocess.DEVNULL)
        until(self.answers)

    def stop(self) -> None:
        """Kill it; what it held is gone."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def answers(self) -> bool:
        """Whether it answers."""
        try:
            return self.say("PING") == b"+PONG\r\n"
        except OSError:
            return False

    def say(self, command: str) -> bytes:
        """The first part of its answer to a command."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=2) as link:
            link.sendall(f"{command}\r\n".encode())
            return link.recv(4096)


@contextmanager
def redis_server(folder: Path) -> Iterator[Broker]:
    """A Redis server on a free port; skips the test aloud where there is none installed."""
    if shutil.which("redis-server") is None:
        pytest.skip("NOT TESTED: no redis-server on the PATH (apt install redis-server)")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    broker = Broker(folder, port)
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()
