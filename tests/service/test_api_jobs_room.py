"""Back-pressure of jobs: a full line is 429, a full disk 507, each with an honest word on when to come back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.api import room
from service.api.room import Room
from service.engine import Engine
from service.errors import QueueFull
from service.settings import Settings
from tests.service.jobs.making import time_passes
from tests.service.jobs_over_http import PICTURE, Counter, counter
from tests.service.test_api_jobs import code


@pytest.fixture
def at(tiny_engine: Engine, tmp_path: Path) -> Iterator[Counter]:
    with counter(tiny_engine, Settings(data_dir=tmp_path, max_waiting_items=3)) as opened:
        yield opened


def pictures(count: int) -> list[tuple[str, bytes]]:
    return [(f"{n}.png", PICTURE) for n in range(count)]


def test_a_full_line_is_429_before_anything_is_sent(at: Counter) -> None:
    at.made(*pictures(3))
    stored = at.stored()
    refused = at.client.post("/jobs", content=b"")
    assert code(refused) == (429, "queue_full")
    assert int(refused.headers["retry-after"]) >= 1
    assert at.stored() == stored
    at.work()
    assert at.send().status_code == 202


def test_a_job_that_would_overfill_the_line_is_429_and_one_that_never_fits_413(at: Counter) -> None:
    at.made(*pictures(2))
    stored = at.stored()
    assert code(at.send(*pictures(2))) == (429, "queue_full")
    assert code(at.send(*pictures(4))) == (413, "too_many_files")
    assert at.stored() == stored
    assert at.send().status_code == 202


def test_a_repeat_is_served_though_the_line_is_full(at: Counter) -> None:
    headers = {"Idempotency-Key": "k"}
    first = at.send(*pictures(3), headers=headers)
    again = at.send(*pictures(3), headers=headers)
    assert (again.status_code, again.json()["id"]) == (202, first.json()["id"])


def test_broken_files_take_no_place(at: Counter) -> None:
    at.made(*pictures(2))
    assert at.send(("a.txt", b"none"), ("b.txt", b"none"), ("c.png", PICTURE)).status_code == 202


def test_retry_after_follows_the_pace_of_the_workers(at: Counter) -> None:
    settings = at.running.service.settings
    asked = Room(at.desk, settings)
    at.made(*pictures(3))
    with pytest.raises(QueueFull) as caught:
        asked.check_line(3)
    # Nothing measured yet.
    assert caught.value.retry_after == QueueFull.retry_after
    at.work()
    at.made(*pictures(2))
    with pytest.raises(QueueFull, match=r"2 items of jobs waiting; wanted at most 0 before") as caught:
        asked.check_line(3)
    # Three in the last minute, two too many: forty seconds.
    assert caught.value.retry_after == 40


def test_retry_after_looks_further_back_where_the_workers_are_slow(
    at: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    at.done(*pictures(3))
    at.made(*pictures(3))
    monkeypatch.setattr(room, "LATELY_S", 0.0)
    with pytest.raises(QueueFull) as caught:
        Room(at.desk, at.running.service.settings).check_line(1)
    assert caught.value.retry_after == 300


def test_retry_after_is_long_where_nothing_has_ended_for_long(at: Counter) -> None:
    at.made(*pictures(3))
    time_passes(at.desk.rows._database, 1000)
    with pytest.raises(QueueFull) as caught:
        Room(at.desk, at.running.service.settings).check_line(1)
    assert 1000 <= caught.value.retry_after <= 1100


def test_a_disk_without_room_is_507(tiny_engine: Engine, tmp_path: Path) -> None:
    with counter(tiny_engine, Settings(data_dir=tmp_path, min_free_bytes=2**60)) as at:
        answer = at.send()
        assert code(answer) == (507, "disk_full")
        assert int(answer.headers["retry-after"]) >= 60
        assert at.stored() == []
        assert "DELETE" in answer.json()["remedy"]


def test_the_disk_is_watched_while_an_upload_of_unknown_length_comes(tiny_engine: Engine, tmp_path: Path) -> None:
    with counter(tiny_engine, Settings(data_dir=tmp_path)) as at:
        free = at.desk.store.free()
        assert free
        # So much is free now that nothing announced is too much, and so little that what comes soon is.
        settings = at.running.service.settings.model_copy(update={"min_free_bytes": free - 1_500_000})
        at.running.service.settings = settings

        def body() -> Iterator[bytes]:
            yield b'--x\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n'
            for _ in range(400):
                yield b"x" * 50_000

        kind = {"content-type": "multipart/form-data; boundary=x"}
        assert code(at.client.post("/jobs", content=body(), headers=kind)) == (507, "disk_full")
        assert at.stored() == []
        assert list((tmp_path / "jobs" / "incoming").iterdir()) == []


def test_a_repeat_is_served_though_the_disk_is_full(at: Counter) -> None:
    headers = {"Idempotency-Key": "k"}
    first = at.send(headers=headers).json()["id"]
    stored = at.stored()
    at.running.service.settings = at.running.service.settings.model_copy(update={"min_free_bytes": 2**60})
    assert code(at.send()) == (507, "disk_full")
    again = at.send(headers=headers)
    assert (again.status_code, again.json()["id"]) == (202, first)
    assert code(at.send(*pictures(2), headers=headers)) == (422, "idempotency_mismatch")
    assert at.stored() == stored
    at.client.delete(f"/jobs/{first}")
    assert code(at.send(headers=headers)) == (507, "disk_full")
