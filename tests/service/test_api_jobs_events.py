"""Server-sent events: every change once, with a number that a client can go on from."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from service.api.events import events, last_seen
from service.engine import Engine
from service.jobs.model import JobRow
from service.settings import Settings
from tests.service.jobs_over_http import Counter, counter
from tests.service.test_api_jobs import SUMMARY, code
from tests.serving import until


@pytest.fixture
def at(tiny_engine: Engine, tmp_path: Path) -> Iterator[Counter]:
    with counter(tiny_engine, Settings(data_dir=tmp_path)) as opened:
        yield opened


def parsed(text: str) -> list[dict[str, Any]]:
    """The events of a stream, each with its id among its data."""
    found = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if "data" in fields:
            job = json.loads(fields["data"])
            assert int(fields["id"]) == job["seq"]
            found.append(job)
    return found


def test_the_stream_tells_each_change_and_ends_with_the_job(at: Counter) -> None:
    job = at.made()
    with ThreadPoolExecutor(1) as pool:
        stream = pool.submit(at.client.get, f"/jobs/{job}/events")
        at.work()
        answer = stream.result(20)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-store"
    told = parsed(answer.text)
    assert (told[-1]["state"], told[-1]["progress"]["done"]) == ("succeeded", 1)
    assert [one["seq"] for one in told] == sorted({one["seq"] for one in told})
    assert set(told[-1]) == SUMMARY


def test_a_client_goes_on_from_what_it_has_seen(at: Counter) -> None:
    job = at.done()
    (last,) = parsed(at.client.get(f"/jobs/{job}/events").text)
    seen = {"Last-Event-ID": str(last["seq"] - 1)}
    assert parsed(at.client.get(f"/jobs/{job}/events", headers=seen).text) == [last]
    for number in (last["seq"], last["seq"] + 5):
        answer = at.client.get(f"/jobs/{job}/events", headers={"Last-Event-ID": str(number)})
        assert (answer.status_code, answer.content) == (204, b"")
    assert code(at.client.get("/jobs/nothing/events")) == (404, "unknown_job")


@pytest.mark.parametrize(
    ("header", "seen"), [(None, -1), ("", -1), ("7", 7), ("-1", -1), ("x", -1), ("²", -1), ("9" * 40, -1)]
)
def test_last_event_id(header: str | None, seen: int) -> None:
    assert last_seen(header) == seen


def test_an_erased_job_ends_its_stream(at: Counter) -> None:
    job = at.made()
    with ThreadPoolExecutor(1) as pool:
        stream = pool.submit(at.client.get, f"/jobs/{job}/events")
        until(lambda: not stream.done())
        at.client.delete(f"/jobs/{job}")
        assert stream.result(20).status_code in (200, 404)


def test_a_service_that_stops_ends_its_streams(at: Counter) -> None:
    job = at.made()
    with ThreadPoolExecutor(1) as pool:
        stream = pool.submit(at.client.get, f"/jobs/{job}/events")
        until(lambda: at.client.get(f"/jobs/{job}").status_code == 200)
        at.running.server.handle_exit(signal.SIGTERM, None)
        assert stream.result(20).status_code in (200, 503)


def test_comments_keep_a_silent_stream_alive(at: Counter) -> None:
    row: JobRow = at.desk.rows.job(at.made(), "")

    async def listen() -> list[bytes]:
        stopping = iter([False] * 4 + [True])
        stream = events(lambda: row, row.seq, lambda: next(stopping), comment_every=0.2)
        return [piece async for piece in stream]

    said = asyncio.run(listen())
    assert said[0] == b"retry: 2000\n\n"
    assert said[1:]
    assert set(said[1:]) == {b": still here\n\n"}
