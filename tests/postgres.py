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


@contextmanager
def postgres() -> Iterator[Path]:
    """A running server; the folder of its socket."""
    programs, user = binaries(), account()
    folder = Path(tempfile.mkdtemp(prefix="breast-cascade-pg-"))
    try:
        if user is not None:
            shutil.chown(folder, user)
        initdb = [programs / "initdb", "-D", folder / "data", "-U", "tests", "-A", "trust", "-E", "UTF8"]
        subprocess.run([*initdb, "--locale=C", "--no-sync"], check=True, stdout=subprocess.DEVNULL, user=user)
        with _running(programs, folder, user):
            yield folder
    finally:
        shutil.rmtree(folder)


@contextmanager
def _running(programs: Path, folder: Path, user: str | None) -> Iterator[None]:
    command = [programs / "postgres", "-D", folder / "data", "-k", folder, "-c", "listen_addresses=", *SPEED]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, user=user, cwd=folder)
    try:
        _wait(process, folder)
        yield
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(START_WITHIN_S)


def _wait(process: subprocess.Popen[bytes], folder: Path) -> None:
    deadline = time.monotonic() + START_WITHIN_S
    while process.poll() is None and time.monotonic() < deadline:
        try:
            psycopg.connect(host=str(folder), user="tests", dbname="postgres").close()
        except psycopg.OperationalError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"PostgreSQL did not start: {(folder / 'log').read_text()[-2000:]}")


def new_database(folder: Path, name: str) -> str:
    """An empty database on the server whose socket lies in ``folder``; its URL."""
    with psycopg.connect(host=str(folder), user="tests", dbname="postgres", autocommit=True) as link:
        link.execute(f'CREATE DATABASE "{name}"')
    return f"postgresql://tests@/{name}?host={folder}"
