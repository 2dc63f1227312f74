"""Object storage that does not answer for a while: an honest 503, and nothing is cut off, lost or left behind."""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from service.engine import Engine
from service.jobs import desk
from service.jobs import store_s3 as s3
from service.settings import Settings
from tests.service.jobs.stores import BUCKET, Storage, s3_storage
from tests.service.jobs_over_http import Counter, counter
from tests.service.test_api_jobs import code
from tests.serving import until


@pytest.fixture(scope="module")
def storage() -> Iterator[Storage]:
    with s3_storage() as running:
        yield running


@pytest.fixture
def at(tiny_engine: Engine, tmp_path: Path, storage: Storage, monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter]:
    monkeypatch.setattr(s3, "CONNECT_WITHIN", 0.3)
    monkeypatch.setattr(s3, "ANSWER_WITHIN", 0.3)
    monkeypatch.setattr(s3, "TRIES", 1)
    monkeypatch.setattr(desk, "ERASE_EVERY_S", 0.2)
    url = f"s3://{BUCKET}/{uuid.uuid4().hex}?endpoint={storage.endpoint}"
    with counter(tiny_engine, Settings(data_dir=tmp_path, store_url=url)) as opened:
        yield opened


@contextmanager
def away(storage: Storage) -> Iterator[None]:
    os.kill(storage.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(storage.pid, signal.SIGCONT)


def test_results_are_not_begun_and_cut_off(at: Counter, storage: Storage) -> None:
    job = at.done()
    with away(storage):
        assert code(at.client.get(f"/jobs/{job}/results")) == (503, "store_away")
    assert "00000_a/00000_a.json" in at.unzipped(job)


def test_an_erased_job_is_gone_and_its_files_follow(at: Counter, storage: Storage) -> None:
    job, other = at.done(), at.done()
    with away(storage):
        for _ in range(2):
            assert code(at.client.delete(f"/jobs/{job}")) == (503, "store_away")
            assert code(at.client.get(f"/jobs/{job}")) == (404, "unknown_job")
    assert at.client.delete(f"/jobs/{job}").status_code in (204, 404)
    until(lambda: {key.split("/")[1] for key in at.stored()} == {other})
    assert code(at.client.delete(f"/jobs/{job}")) == (404, "unknown_job")


def test_files_of_an_erased_job_follow_by_themselves(at: Counter, storage: Storage) -> None:
    job = at.done()
    with away(storage):
        assert code(at.client.delete(f"/jobs/{job}")) == (503, "store_away")
    until(lambda: at.stored() == [])
    until(lambda: at.desk.rows.erasures() == ())
