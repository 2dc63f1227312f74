"""Tampered files and invented requests, for BREAST_CASCADE_FUZZ_SECONDS each (20; ``make fuzz`` takes longer)."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.decoding.pool import Decoders
from service.errors import InputError
from service.formats.options import Options
from tests.hostile.seeds import SEEDS
from tests.hostile.tampering import tampered
from tests.processes import ROOT, served

SECONDS = float(os.environ.get("BREAST_CASCADE_FUZZ_SECONDS", "20"))
EACH = SECONDS / len(SEEDS)
# As many as fit into the time on a free core; on a busy one the time ends the search.
EXAMPLES = max(50, int(EACH * 250))
CONFIG = Path(__file__).with_name("contract.toml")


@pytest.fixture(scope="module")
def decoders() -> Iterator[Decoders]:
    """Decoding processes as the service has them: what crashes there must not end the tests."""
    decoders = Decoders()
    decoders.start()
    yield decoders
    decoders.close()


@pytest.mark.parametrize("name", SEEDS)
def test_good_files_are_read(decoders: Decoders, name: str) -> None:
    assert decoders.read(SEEDS[name](), Options()).width in (40, 48, 64, 24, 32)


@pytest.mark.parametrize("name", SEEDS)
def test_tampered_files(decoders: Decoders, name: str, caplog: pytest.LogCaptureFixture) -> None:
    """An image or an error that says what to do, in time; no error that our readers did not foresee."""
    end = time.monotonic() + EACH

    @settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
    @given(content=tampered(SEEDS[name]()), options=st.sampled_from((Options(), Options(phase=0), Options(slice=0))))
    def search(content: bytes, options: Options) -> None:
        if time.monotonic() > end:
            return
        try:
            assert decoders.read(content, options).channels in (1, 3)
        except InputError as error:
            assert error.remedy
            assert error.code != "decoder_timeout"

    search()
    assert [record for record in caplog.records if record.message == "decoder_error"] == []


def test_the_contract(tmp_path: Path, tiny_pipelines: Path) -> None:
    """Schemathesis, with all its checks, over the service's own OpenAPI document."""
    with served(tmp_path / "service", tiny_pipelines, receive_timeout="2") as service:
        command = [
            *(Path(sys.executable).with_name("schemathesis"), "--config-file", CONFIG, "--no-color"),
            *("run", f"{service.url}/openapi.json", "--checks", "all", "--continue-on-failure"),
            *("--max-time", str(max(1, round(SECONDS)))),
        ]
        ended = subprocess.run(
            command, capture_output=True, text=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False
        )
        assert service.client.get("/health/ready").status_code == 200
    assert ended.returncode == 0, ended.stdout[-20_000:] + ended.stderr[-2000:]
