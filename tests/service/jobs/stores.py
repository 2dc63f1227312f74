"""Stores to test: a folder, and a bucket of a real S3 server in a process of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

import boto3
import pytest

from service.jobs.store import Store
from service.jobs.store_base import StoredKey

ROOT = Path(__file__).resolve().parents[3]
BUCKET = "jobs"
# Keys that one answer of the server lists at most.
PAGE = 10
PATIENCE_S = 60.0
KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "NO_PROXY": "127.0.0.1"}


@dataclass(frozen=True)
class Storage:
    """A running server, and the process that it is."""

    endpoint: str
    pid: int


@contextmanager
def s3_server() -> Iterator[str]:
    """The address of a running server with one empty bucket; credentials for it stand in the environment."""
    with s3_storage() as storage:
        yield storage.endpoint


@contextmanager
def s3_storage() -> Iterator[Storage]:
    """The same with its process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    environment = {**os.environ, "MOTO_S3_DEFAULT_MAX_KEYS": str(PAGE)}
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    endpoint = f"http://127.0.0.1:{port}"
    try:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in KEYS.items():
                patch.setenv(name, value)
            until(lambda: answers(endpoint))
            client(endpoint).create_bucket(Bucket=BUCKET)
            yield Storage(endpoint, process.pid)
    finally:
        process.kill()
        process.wait()


def client(endpoint: str) -> object:
    """A client of the server, to look at it from outside."""
    return boto3.session.Session().client("s3", endpoint_url=endpoint, region_name="us-east-1")


def listed(store: Store) -> list[StoredKey]:
    """All files of a store."""
    return list(store.keys())


def keys_of(store: Store) -> list[str]:
    """Their keys."""
    return [one.key for one in listed(store)]


def answers(endpoint: str) -> bool:
    """Whether somebody listens there."""
    try:
        with urlopen(endpoint, timeout=5):
            return True
    except OSError:
        return False


def until(true: Callable[[], object]) -> None:
    """Wait for it, at most PATIENCE_S."""
    end = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


@contextmanager
def child(code: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A Python process that runs ``code`` with warnings as errors; killed at the end."""
    command = [sys.executable, "-W", "error", "-c", code, *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    with process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGKILL)
            process.communicate()
