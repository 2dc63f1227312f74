"""Tampered files and invented requests, for BREAST_CASCADE_FUZZ_SECONDS each (12; ``make fuzz`` takes longer)."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.decoding.pool import Decoders
from service.errors import InputError
from service.formats.options import Options
from tests.hostile.corpus.dicoms import dataset
from tests.hostile.corpus.outputs import COPIED, PLACED, UIDS, with_raw
from tests.hostile.seeds import SEEDS
from tests.hostile.tampering import tampered
from tests.hostile.writing import FORMATS, found, written
from tests.processes import ROOT, served
from tests.untraced import untraced

SECONDS = float(os.environ.get("BREAST_CASCADE_FUZZ_SECONDS", "12"))
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
    """An answer in any format or an error that says what to do; no error that our readers did not foresee."""
    end = time.monotonic() + EACH

    @settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
    @given(
        content=tampered(SEEDS[name]()),
        options=st.sampled_from((Options(), Options(phase=0), Options(slice=0), Options(slice=0, around=0))),
        form=st.sampled_from(list(FORMATS)),
    )
    def search(content: bytes, options: Options, form: str) -> None:
        if time.monotonic() > end:
            return
        try:
            image = decoders.read(content, options)
            assert image.channels in (1, 3)
            written(found(image), form)
        except InputError as error:
            assert error.remedy
            assert error.code != "decoder_timeout"

    search()
    assert [record for record in caplog.records if record.message == "decoder_error"] == []


ATTRIBUTES = (*COPIED, *PLACED, *UIDS, "ImagerPixelSpacing", "LossyImageCompression", "AcquisitionDate", "Rows")
VALUE = st.one_of(
    st.binary(max_size=12),
    st.sampled_from(
        (b"", b"0", b"-1", b"1e-300", b"1e300 ", b"nan ", b"1\\2\\3 ", b"1\\\\1", b"1.2.3\\4", b"\xff" * 8)
    ),
    st.text("0123456789.\\eE+-", max_size=40).map(str.encode),
)


def test_tampered_attributes(decoders: Decoders) -> None:
    """What DICOM outputs take over from the source, as any bytes of any kind."""
    end = time.monotonic() + SECONDS / 4

    @settings(max_examples=max(50, int(SECONDS * 10)), suppress_health_check=list(HealthCheck))
    @given(
        name=st.sampled_from(ATTRIBUTES),
        kind=st.sampled_from(("UI", "DS", "IS", "FD", "US", "SQ", "DA", "PN", "UN")),
        value=VALUE,
        form=st.sampled_from([form for form in FORMATS if form.startswith("dicom-") or form in ("json", "nifti")]),
    )
    def search(name: str, kind: str, value: bytes, form: str) -> None:
        if time.monotonic() > end:
            return
        even = value + b" " * (len(value) % 2)
        with suppress(InputError):
            written(found(decoders.read(with_raw(dataset(**PLACED), name, kind, even), Options())), form)

    search()


def test_the_contract(tmp_path: Path, tiny_pipelines: Path) -> None:
    """Schemathesis, with all its checks, over the service's own OpenAPI document."""
    with served(tmp_path / "service", tiny_pipelines, receive_timeout="2") as service:
        command = [
            *(Path(sys.executable).with_name("schemathesis"), "--config-file", CONFIG, "--no-color"),
            *("run", f"{service.url}/openapi.json", "--checks", "all", "--continue-on-failure"),
            *("--max-time", str(max(1, round(SECONDS)))),
        ]
        # The service is measured, what asks it is not.
        with untraced():
            there = {**os.environ, "PYTHONPATH": str(ROOT)}
            ended = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=there, check=False)
        assert service.client.get("/health/ready").status_code == 200
    assert ended.returncode == 0, ended.stdout[-20_000:] + ended.stderr[-2000:]
