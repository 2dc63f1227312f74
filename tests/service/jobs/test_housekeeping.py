"""Retention, and the sweeper of what nobody names any more."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.engine import Engine
from service.jobs.broker import Folders
from service.jobs.housekeeping import ORPHAN_AFTER_S, Housekeeping, clean, expire, shrink, sweep
from service.jobs.perform import Bench
from service.jobs.publish import Courier
from service.jobs.rows import Rows
from service.settings import Settings
from tests.service.jobs.benches import bench_over
from tests.service.jobs.making import FAILED
from tests.service.jobs.pictures import order, picture


@pytest.fixture
def bench(sqlite_with_tables: Path, tmp_path: Path, tiny_engine: Engine) -> Iterator[Bench]:
    with bench_over(sqlite_with_tables, tmp_path, tiny_engine) as made:
        yield made


def ended(bench: Bench, pipelines: Path) -> str:
    """The id of a job that has ended, its input still stored."""
    job_id = order(bench.rows, bench.store, pipelines, picture()).id
    claim = bench.rows.claim("w", "cpu", 60)
    assert claim is not None
    assert bench.rows.commit(claim, FAILED)
    return job_id


def keys(bench: Bench) -> set[str]:
    return {one.key for one in bench.store.keys("jobs/")}


def stored(bench: Bench) -> int:
    """Bytes of all files."""
    return sum(one.bytes for one in bench.store.keys("jobs/"))


def age(folder: Path, seconds: float) -> None:
    """Make everything in a folder look older."""
    for path in folder.rglob("*"):
        os.utime(path, (time.time() - seconds,) * 2)


def test_jobs_expire_with_their_files(bench: Bench, tiny_pipelines: Path) -> None:
    old, waiting = ended(bench, tiny_pipelines), order(bench.rows, bench.store, tiny_pipelines, picture()).id
    assert expire(bench.rows, bench.store) == 0
    impatient = Rows(bench.rows._database, keep_seconds=0.01)
    time.sleep(0.05)
    assert expire(impatient, bench.store) == 1
    assert keys(bench) == {f"jobs/{waiting}/0/input"}
    assert bench.rows.item(waiting, "", 0).state == "queued"
    assert old not in {key.split("/")[1] for key in keys(bench)}


def test_oldest_jobs_make_room(bench: Bench, tiny_pipelines: Path) -> None:
    first, second = ended(bench, tiny_pipelines), ended(bench, tiny_pipelines)
    waiting = order(bench.rows, bench.store, tiny_pipelines, picture()).id
    assert shrink(bench.rows, bench.store, 0) == 0
    assert shrink(bench.rows, bench.store, 1) == 1
    assert bench.rows.job(first, "").state == "expired"
    assert bench.rows.job(second, "").state == "failed"
    # What waits is never given up, however little room there is.
    assert shrink(bench.rows, bench.store, 10**12) == 1
    assert keys(bench) == {f"jobs/{waiting}/0/input"}


def test_sweeper_removes_what_no_row_names(bench: Bench, tmp_path: Path, tiny_pipelines: Path) -> None:
    job_id = ended(bench, tiny_pipelines)
    for key in (f"jobs/{job_id}/0/1/half", "jobs/erased/0/input", "jobs/erased/0/1/answer.json"):
        bench.store.put(key, b"orphan")
    kept = stored(bench)
    assert sweep(bench.rows, bench.store, ORPHAN_AFTER_S) == kept
    age(tmp_path / "jobs" / "files", ORPHAN_AFTER_S + 60)
    assert sweep(bench.rows, bench.store, ORPHAN_AFTER_S) == kept - 18
    assert keys(bench) == {f"jobs/{job_id}/0/input"}


def test_sweeper_leaves_a_job_alone_that_is_being_received(bench: Bench, tmp_path: Path) -> None:
    bench.store.put("jobs/coming/0/input", b"first")
    age(tmp_path / "jobs" / "files", ORPHAN_AFTER_S + 60)
    bench.store.put("jobs/coming/1/input", b"second")
    sweep(bench.rows, bench.store, ORPHAN_AFTER_S)
    assert len(keys(bench)) == 2


def test_messages_that_nobody_needs_are_removed(tmp_path: Path) -> None:
    courier = Courier(Settings(data_dir=tmp_path))
    courier.hint("cpu", 3)
    folders = Folders(tmp_path / "broker")
    read, waiting, _ = sorted(folders.inbox.iterdir())
    read.rename(folders.read / read.name)
    clean(folders)
    assert len(list(folders.read.iterdir())) == 1
    age(folders.read, 120)
    clean(folders)
    assert (len(list(folders.read.iterdir())), len(list(folders.inbox.iterdir()))) == (0, 2)
    os.utime(waiting, (time.time() - 7200,) * 2)
    clean(folders)
    assert not waiting.exists()
    assert len(list(folders.inbox.iterdir())) == 1
    courier.close()


def test_round_keeps_to_the_settings(bench: Bench, tmp_path: Path, tiny_pipelines: Path) -> None:
    ended(bench, tiny_pipelines), ended(bench, tiny_pipelines)
    plain = Settings(data_dir=tmp_path)
    keeping = Housekeeping(plain, bench.rows, bench.store)
    keeping()
    assert len(keys(bench)) == 2
    size = stored(bench)
    narrow = Housekeeping(plain.model_copy(update={"keep_bytes": size - 1}), bench.rows, bench.store)
    # Another holds the lock.
    narrow()
    assert len(keys(bench)) == 2
    keeping.close()
    narrow()
    assert len(keys(bench)) == 1
    narrow.close()
