"""Full line, slow inference, clients that leave, starting and stopping: over real HTTP with a held engine."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from service.api.runner import PROMISES, Abandoned, Runner, Ticket
from service.engine import Engine
from service.errors import Busy, WeightsError
from service.settings import Settings
from tests.service.asking import SQUARE, png, post
from tests.serving import HeldEngine, Running, serving, until

ONE_AND_ONE = Settings(slots=1, queue_length=1, receive_timeout=0.3, drain_timeout=20)


@pytest.fixture
def held(tiny_engine: Engine) -> Iterator[tuple[HeldEngine, Running, ThreadPoolExecutor]]:
    """A server with one slot and one waiting place whose inference waits to be released."""
    engine = HeldEngine(tiny_engine)
    with serving(ONE_AND_ONE, engine) as running, ThreadPoolExecutor(4) as pool:
        yield engine, running, pool
        engine.release.set()


Held = tuple[HeldEngine, Running, ThreadPoolExecutor]


def test_event_loop_answers_while_inference_runs(held: Held) -> None:
    engine, running, pool = held
    slow = pool.submit(post, running.client)
    engine.wait_started()
    assert running.client.get("/health/live").json() == {"status": "alive"}
    assert running.client.get("/pipelines").status_code == 200
    assert not slow.done()
    engine.release.set()
    assert slow.result().status_code == 200


def test_full_line_is_429_with_retry_after_and_frees_again(held: Held) -> None:
    engine, running, pool = held
    first = pool.submit(post, running.client)
    engine.wait_started()
    second = pool.submit(post, running.client)
    until(lambda: running.service.runner.waiting == 1)
    refused = post(running.client)
    assert (refused.status_code, refused.json()["code"]) == (429, "busy")
    assert int(refused.headers["retry-after"]) >= 1
    assert engine.calls == 1
    engine.release.set()
    assert [first.result().status_code, second.result().status_code] == [200, 200]
    assert post(running.client).status_code == 200


@contextmanager
def sent(running: Running, body: bytes, length: int | None = None) -> Iterator[socket.socket]:
    """A raw request on its way; to leave the block is to hang up."""
    size = f"Content-Length: {length or len(body)}"
    lines = ("POST /segment HTTP/1.1", "Host: localhost", "Content-Type: image/png", size)
    with socket.create_connection((running.client.base_url.host, running.client.base_url.port)) as client:
        client.sendall("\r\n".join([*lines, "", ""]).encode() + body)
        client.settimeout(10)
        yield client


def test_client_that_leaves_the_line_frees_its_place(held: Held) -> None:
    engine, running, pool = held
    first = pool.submit(post, running.client)
    engine.wait_started()
    with sent(running, png(SQUARE)):
        until(lambda: running.service.runner.waiting == 1)
    until(lambda: running.service.runner.waiting == 0)
    engine.release.set()
    assert first.result().status_code == 200
    assert engine.calls == 1


def test_client_that_leaves_during_inference_frees_its_slot(held: Held) -> None:
    engine, running, _ = held
    with sent(running, png(SQUARE)):
        engine.wait_started()
    engine.release.set()
    until(lambda: running.service.runner.admitted == 0)
    assert post(running.client).status_code == 200


def test_upload_that_stops_half_way_is_408(held: Held) -> None:
    _, running, _ = held
    with sent(running, b"half", length=100) as client:
        answer = client.recv(65536).decode()
    assert answer.startswith("HTTP/1.1 408")
    assert "upload_timeout" in answer
    assert running.service.runner.admitted == 0


def test_client_that_hangs_up_while_uploading_is_only_counted(held: Held) -> None:
    _, running, _ = held
    with sent(running, b"half", length=100):
        pass
    until(lambda: 'route="/segment",status="499"' in running.client.get("/metrics").text)
    assert running.client.get("/health/ready").status_code == 200


def test_draining_refuses_new_work_and_ends_the_old(held: Held) -> None:
    engine, running, pool = held
    first = pool.submit(post, running.client)
    engine.wait_started()
    running.server.handle_exit(signal.SIGTERM, None)
    for answer in (post(running.client), running.client.get("/health/ready"), running.client.get("/pipelines")):
        assert (answer.status_code, answer.json()["code"]) == (503, "draining")
        assert int(answer.headers["retry-after"]) >= 1
    assert running.client.get("/health/live").status_code == 200
    assert not running.server.should_exit
    engine.release.set()
    assert first.result().status_code == 200
    until(lambda: running.server.should_exit)


def test_drain_does_not_wait_for_ever(tiny_engine: Engine) -> None:
    engine = HeldEngine(tiny_engine)
    with serving(Settings(drain_timeout=0.2), engine) as running, ThreadPoolExecutor(1) as pool:
        pool.submit(post, running.client)
        engine.wait_started()
        running.server.handle_exit(signal.SIGTERM, None)
        until(lambda: running.server.should_exit)
        engine.release.set()


def test_second_signal_stops_at_once(held: Held) -> None:
    engine, running, pool = held
    pool.submit(post, running.client)
    engine.wait_started()
    running.server.handle_exit(signal.SIGINT, None)
    assert not running.server.force_exit
    running.server.handle_exit(signal.SIGINT, None)
    assert running.server.force_exit
    engine.release.set()


def test_not_ready_until_everything_is_loaded(tiny_engine: Engine) -> None:
    gate = threading.Event()

    def opener(_: Settings) -> Engine:
        assert gate.wait(20)
        return tiny_engine

    with serving(Settings(), opener, ready=False) as running:
        assert running.client.get("/health/live").status_code == 200
        assert running.client.get("/version").json()["provider"] is None
        for answer in (running.client.get("/health/ready"), post(running.client)):
            assert (answer.status_code, answer.json()["code"]) == (503, "starting")
            assert "retry-after" in answer.headers
        gate.set()
        until(lambda: running.client.get("/health/ready").status_code == 200)
        assert post(running.client).status_code == 200


def test_failed_load_is_handed_on() -> None:
    def opener(_: Settings) -> Engine:
        raise WeightsError("a", "b", "Do c.")

    failures: list[BaseException] = []
    with serving(Settings(), opener, ready=False, failed=failures.append) as running:
        until(lambda: failures)
        assert running.client.get("/health/ready").status_code == 503
    assert isinstance(failures[0], WeightsError)


def test_retry_after_follows_what_was_measured() -> None:
    async def crowd() -> None:
        runner = Runner(slots=1, waiting=0)
        await runner.run(lambda _: time.sleep(1.2))
        gate = threading.Event()
        running = asyncio.create_task(runner.run(lambda _: gate.wait(10)))
        await asyncio.sleep(0)
        told = []
        for _ in range(3):
            with pytest.raises(Busy, match="1 request running or waiting") as caught:
                runner.check_room()
            told.append(caught.value.retry_after)
        gate.set()
        await running
        runner.close()
        # Each of a crowd is promised a place of its own.
        assert told == [2, 3, 4]

    asyncio.run(crowd())


def test_retry_after_has_a_bound_however_many_are_refused() -> None:
    runner = Runner(slots=1, waiting=0)
    runner._places = 0
    told = []
    for _ in range(5000):
        with pytest.raises(Busy) as caught:
            runner.check_room()
        told.append(caught.value.retry_after)
    runner.close()
    assert (told[0], told[29], max(told), told[-1]) == (1, 30, 60, 60)
    assert len(runner._promised) == PROMISES


def test_abandoned_work_stops_at_its_next_check() -> None:
    async def leaver() -> None:
        runner = Runner(slots=1, waiting=0)
        started, go, seen = threading.Event(), threading.Event(), []

        def work(ticket: Ticket) -> None:
            started.set()
            go.wait(10)
            try:
                ticket.check()
            except Abandoned:
                seen.append("abandoned")
                raise

        task = asyncio.create_task(runner.run(work))
        await asyncio.to_thread(started.wait, 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert runner.admitted == 1
        go.set()
        while runner.admitted:
            await asyncio.sleep(0.01)
        runner.close()
        assert seen == ["abandoned"]

    asyncio.run(leaver())
