"""What HEALTHCHECK runs, as the container runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import httpx

from service.api.server import listen
from service.engine import Engine
from service.settings import Settings
from tests.serving import serving

SCRIPT = Path(__file__).parents[2] / "docker" / "healthcheck.py"


def status(port: int | str) -> int:
    """Exit status of the check, with a proxy in the environment that leads nowhere."""
    environment = {**os.environ, "http_proxy": "http://127.0.0.1:9"}
    return subprocess.run([sys.executable, SCRIPT, str(port)], env=environment, timeout=30, check=False).returncode


def test_a_ready_service_is_healthy_until_it_stops(tiny_engine: Engine) -> None:
    with serving(Settings(), tiny_engine) as running:
        port = httpx.URL(running.client.base_url).port or 0
        assert status(port) == 0
        running.service.draining = True
        assert status(port) == 1


def test_where_nobody_listens_nothing_is_healthy() -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
    assert status(port) == 1
