"""A real PostgreSQL of Debian's package in a temporary folder, reached through a socket in it alone."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

START_WITHIN_S = 30.0
# Nothing here needs to outlive a power cut.
SPEED = ["-c", "fsync=off", "-c", "full_page_writes=off", "-c", "shared_buffers=32MB"]


def binaries() -> Path:
    """The folder of the newest PostgreSQL there is; skips the test without one."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda one: int(one.parent.name))
    if not folders:
        pytest.skip("NOT TESTED: PostgreSQL is not installed here. As root: apt install postgresql")
    return folders[-1]


def account() -> str | None:
    """The account to run it under: it refuses to be root. None is this process's own."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres").pw_name
    except KeyError:
        pytest.skip("NOT TESTED: PostgreSQL does not run as root, and there is no account named postgres")


@dataclass
class Server:
    """A server, running; its socket lies in ``folder``."""

    programs: Path
    folder: Path
    user: str | None
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        settings = ["-k", self.folder, "-c", "listen_addresses=", *SPEED]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [self.programs / "postgres", "-D", self.folder / "data", *settings],
                stdout=log, stderr=log, user=self.user, cwd=self.folder,
            )  # fmt: skip
        self._wait(self.process)

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_WITHIN_S
        while process.poll() is None and time.monotonic() < deadline:
            try:
                psycopg.connect(host=str(self.folder), user="tests", dbname="postgres").close()
            except psycopg.OperationalError:
                time.sleep(0.05)
            else:
                return
        raise RuntimeError(f"PostgreSQL did not start: {(self.folder / 'log').read_text()[-2000:]}")

    def stop(self) -> None:
        """End it and all its connections."""
        if self.process is not None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(START_WITHIN_S)

    def restart(self) -> None:
        """Stop and start it."""
        self.stop()
        self.start()


@contextmanager
def postgres() -> Iterator[Server]:
    """A running server."""
    programs, user = binaries(), account()
    folder = Path(tempfile.mkdtemp(prefix="breast-cascade-pg-"))
    try:
        if user is not None:
            shutil.chown(folder, user)
        initdb = [programs / "initdb", "-D", folder / "data", "-U", "tests", "-A", "trust", "-E", "UTF8"]
        subprocess.run([*initdb, "--locale=C", "--no-sync"], check=True, stdout=subprocess.DEVNULL, user=user)
        server = Server(programs, folder, user)
        try:
            server.start()
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)


def read_only(folder: Path, name: str, on: bool) -> None:
    """Let a database take no writes, as one does before its failover, or take them again; its connections end."""
    with psycopg.connect(host=str(folder), user="tests", dbname="postgres", autocommit=True) as link:
        link.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = {"on" if on else "off"}'.encode())
        link.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])


def new_database(folder: Path, name: str) -> str:
    """An empty database on the server whose socket lies in ``folder``; its URL."""
    with psycopg.connect(host=str(folder), user="tests", dbname="postgres", autocommit=True) as link:
        link.execute(f'CREATE DATABASE "{name}"')
    return f"postgresql://tests@/{name}?host={folder}"
