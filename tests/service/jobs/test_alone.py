"""An item in a process of its own: its outcome comes back, and its death ends nobody else."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from service.errors import CapacityError, LeaseLost, SetupError
from service.jobs import alone
from service.jobs.model import Claim, Done, Failed
from service.jobs.perform import problem_of
from service.jobs.rows import Rows
from service.jobs.store import Store, read
from service.jobs.warden import Held
from service.settings import Settings
from tests.processes import descendants
from tests.service.jobs.pictures import opened, order, picture, volume


@pytest.fixture
def settings(tmp_path: Path, tiny_pipelines: Path) -> Settings:
    return Settings(data_dir=tmp_path, pipelines_dir=tiny_pipelines, device="cpu", threads=1)


@pytest.fixture
def shelf(settings: Settings) -> Iterator[tuple[Rows, Store]]:
    database, rows, store = opened(settings)
    yield rows, store
    database.close()


def claimed(rows: Rows) -> Claim:
    claim = rows.claim("w", "cpu", 60)
    assert claim is not None
    return claim


def test_outcomes_come_back(settings: Settings, shelf: tuple[Rows, Store], tiny_pipelines: Path) -> None:
    rows, store = shelf
    order(rows, store, tiny_pipelines, picture(), b"nothing")
    claim = claimed(rows)
    outcome = alone.run(settings, claim, Held(claim))
    assert isinstance(outcome, Done)
    assert [read(store, file)[:1] for file in outcome.files] == [b"{", b"\x89", b"{"]
    assert rows.commit(claim, outcome)
    claim = claimed(rows)
    failed = alone.run(settings, claim, Held(claim))
    assert isinstance(failed, Failed)
    assert failed.problem.code == "unknown_format"


def test_death_is_poison(settings: Settings, shelf: tuple[Rows, Store], tiny_pipelines: Path) -> None:
    rows, store = shelf
    order(rows, store, tiny_pipelines, volume(9000))
    claim = claimed(rows)
    killer = threading.Thread(target=_kill_when, args=(lambda: rows.item(claim.job_id, "", 0).stage,))
    killer.start()
    outcome = alone.run(settings, claim, Held(claim))
    killer.join()
    assert isinstance(outcome, Failed)
    assert outcome.problem.code == "poisoned"


def _kill_when(condition: Callable[[], object]) -> None:
    while not condition():
        time.sleep(0.01)
    for pid in descendants(os.getpid()):
        if b"service.jobs.alone" in Path(f"/proc/{pid}/cmdline").read_bytes():
            os.kill(pid, signal.SIGKILL)
            return


def test_lost_item_ends_its_process(settings: Settings, shelf: tuple[Rows, Store], tiny_pipelines: Path) -> None:
    rows, store = shelf
    order(rows, store, tiny_pipelines, picture())
    claim = claimed(rows)
    lost = LeaseLost("a", "b", "c")
    with pytest.raises(LeaseLost):
        alone.run(settings, claim, Held(claim, ending=lost))


def test_worker_that_cannot_load_is_no_poison(
    settings: Settings, shelf: tuple[Rows, Store], tiny_pipelines: Path, tmp_path: Path
) -> None:
    rows, store = shelf
    order(rows, store, tiny_pipelines, picture())
    claim = claimed(rows)
    nowhere = settings.model_copy(update={"pipelines_dir": tmp_path / "nowhere"})
    with pytest.raises(SetupError, match="cannot load its pipelines.*breast-cascade doctor"):
        alone.run(nowhere, claim, Held(claim))


def test_store_that_is_away_is_no_poison(
    settings: Settings, shelf: tuple[Rows, Store], tiny_pipelines: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, store = shelf
    order(rows, store, tiny_pipelines, picture())
    claim = claimed(rows)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    away = settings.model_copy(update={"store_url": "s3://bucket/p?endpoint=http://127.0.0.1:1"})
    with pytest.raises(CapacityError, match="could not be run now"):
        alone.run(away, claim, Held(claim))


def test_outcomes_survive_the_way() -> None:
    failed = Failed(problem_of(LeaseLost("a", "b", "c")))
    assert alone.outcome_from(alone.as_json(failed)) == failed
