"""Leases that are kept, and the two endings that need no help from the work itself."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.engine import Engine
from service.errors import Cancelled, LeaseLost
from service.jobs.perform import Bench
from service.jobs.warden import GIVEN_BACK, OVER_LIMIT, Stopping, Warden
from tests.service.jobs.benches import bench_over
from tests.service.jobs.limits import files_limited_to
from tests.service.jobs.pictures import order, picture
from tests.serving import until

ROOT = Path(__file__).resolve().parents[3]
WORKER = ("w", "cpu")
# Claims an item, then hangs in a call that no exception reaches.
HANGS = """
import sys, time
from service.jobs.database import Database
from service.jobs.rows import Rows
from service.jobs.warden import Warden
rows = Rows(Database.open(sys.argv[1]), item_seconds=float(sys.argv[2]))
warden = Warden(rows, ("w", "cpu"), 30.0, 0.0, lambda: sys.argv[3] == "stop")
with warden.holding(rows.claim("w", "cpu", 30.0)):
    time.sleep(60)
"""


@pytest.fixture
def bench(sqlite_with_tables: Path, tmp_path: Path, tiny_engine: Engine) -> Iterator[Bench]:
    with bench_over(sqlite_with_tables, tmp_path, tiny_engine) as made:
        yield made


@pytest.fixture
def job_id(bench: Bench, tiny_pipelines: Path) -> str:
    return order(bench.rows, bench.store, tiny_pipelines, picture()).id


def test_lease_is_renewed_while_an_item_is_held(bench: Bench, job_id: str) -> None:
    warden = Warden(bench.rows, WORKER, 0.6, 0, lambda: False)
    claim = warden.claimed()
    assert claim is not None
    with warden.holding(claim) as held:
        time.sleep(1.2)
        assert bench.rows.reap() == 0
        held.check()
        assert [(one.busy, one.silent_s < 0.6) for one in bench.rows.workers()] == [(True, True)]
    until(lambda: bench.rows.reap() == 1)
    warden.beat(busy=False)
    assert [one.busy for one in bench.rows.workers()] == [False]
    warden.close()


def test_item_given_to_another_ends(bench: Bench, job_id: str) -> None:
    warden = Warden(bench.rows, WORKER, 0.5, 0, lambda: False)
    claim = warden.claimed()
    assert claim is not None
    with warden.holding(claim) as held:
        bench.rows.bury("w")
        until(lambda: held.ending)
        with pytest.raises(LeaseLost, match="given to another"):
            held.check()
    warden.close()


def test_cancelled_item_ends(bench: Bench, job_id: str) -> None:
    warden = Warden(bench.rows, WORKER, 0.5, 0, lambda: False)
    claim = warden.claimed()
    assert claim is not None
    with warden.holding(claim) as held:
        bench.rows.cancel(job_id, "")
        until(lambda: held.ending)
        with pytest.raises(Cancelled, match="cancelled or erased"):
            held.check()
    warden.close()


def test_a_full_disk_is_told_of_once(bench: Bench, job_id: str, caplog: pytest.LogCaptureFixture) -> None:
    warden = Warden(bench.rows, WORKER, 1.5, 0, lambda: False)
    claim = warden.claimed()
    assert claim is not None
    with warden.holding(claim) as held:
        with files_limited_to(0):
            until(lambda: held.late)
            time.sleep(0.5)
        until(lambda: not held.late)
        held.check()
    warden.close()
    assert [record.message for record in caplog.records] == ["lease_not_renewed"]


def test_whatever_goes_wrong_it_looks_again(
    bench: Bench, job_id: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    warden = Warden(bench.rows, WORKER, 0.6, 0, lambda: False)
    claim = warden.claimed()
    assert claim is not None
    with warden.holding(claim) as held:
        with monkeypatch.context() as patch:
            patch.setattr(type(bench.rows), "renew", lambda *_: 1 / 0)
            until(lambda: held.late)
            time.sleep(0.3)
        until(lambda: not held.late)
        held.check()
    warden.close()
    assert [record.message for record in caplog.records] == ["warden_stumbled"]


def test_stop_leaves_an_item_its_grace(bench: Bench, job_id: str) -> None:
    start = time.monotonic()
    warden = Warden(bench.rows, WORKER, 30, 0.5, lambda: True)
    claim = warden.claimed()
    assert claim is not None
    with warden.holding(claim) as held:
        until(lambda: held.ending)
        assert time.monotonic() - start > 0.5
        with pytest.raises(Stopping, match="told to stop.*Give the item back"):
            held.check()
    warden.close()


def test_item_that_hangs_over_its_limit_ends_its_process(bench: Bench, job_id: str) -> None:
    assert _hang(bench, "1", "go") == OVER_LIMIT
    assert bench.rows.item(job_id, "", 0).state == "running"
    assert bench.rows.bury("w") == 1


def test_item_that_hangs_when_told_to_stop_is_given_back(bench: Bench, job_id: str) -> None:
    assert _hang(bench, "3600", "stop") == GIVEN_BACK
    assert bench.rows.item(job_id, "", 0).state == "queued"


def _hang(bench: Bench, limit: str, stop: str) -> int:
    url = str(bench.rows._database._reading.url)
    return subprocess.run([sys.executable, "-c", HANGS, url, limit, stop], cwd=ROOT, timeout=60).returncode
