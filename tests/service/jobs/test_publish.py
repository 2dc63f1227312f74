"""Messages on both brokers: few, whole, and never in the way of a request."""

from __future__ import annotations

import base64
import json
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.jobs.broker import CALL, WAKE
from service.jobs.publish import Courier, Publisher
from service.settings import Settings
from tests.service.jobs.brokers import Broker, redis_server
from tests.serving import until

# The limit is a second; a busy computer adds to it.
LIMIT_S = 2.5


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with redis_server(tmp_path_factory.mktemp("redis")) as broker:
        yield broker


@pytest.fixture(params=["folder", "redis"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    if request.param == "folder":
        return Settings(data_dir=tmp_path)
    broker: Broker = request.getfixturevalue("redis")
    broker.say("FLUSHALL")
    return Settings(data_dir=tmp_path, broker_url=broker.url)


@pytest.fixture
def courier(settings: Settings) -> Iterator[Courier]:
    made = Courier(settings)
    yield made
    made.close()


def test_hints_are_brought_up_to_a_number(courier: Courier) -> None:
    assert [courier.hint("cpu", most) for most in (2, 2, 3, 1, 0)] == [2, 0, 1, 0, 0]
    assert courier.depth("cpu") == 3
    assert courier.hint("cuda", 1) == 1
    assert courier.depth("cpu") == 3


def test_worker_is_called_once_until_it_answers(courier: Courier) -> None:
    for _ in range(3):
        courier.call("cpu", "w1")
    assert (courier.depth("cpu.w1"), courier.depth("cpu")) == (1, 0)
    courier.drop("cpu", "w1")
    assert courier.depth("cpu.w1") == 0


def test_message_carries_an_id_and_nothing_else(tmp_path: Path) -> None:
    courier = Courier(Settings(data_dir=tmp_path))
    courier.hint("cpu", 1, "f00d")
    courier.call("cpu", "w1")
    messages = [json.loads(path.read_bytes()) for path in (tmp_path / "broker" / "in").iterdir()]
    assert {one["headers"]["task"] for one in messages} == {WAKE, CALL}
    bodies = [json.loads(base64.b64decode(one["body"])) for one in messages]
    assert sorted(tuple(args) for args, _, _ in bodies) == [(), ("f00d",)]
    assert all(kwargs == {} for _, kwargs, _ in bodies)
    assert all(path.stat().st_size < 2048 for path in (tmp_path / "broker" / "in").iterdir())
    courier.close()
    assert list((tmp_path / "broker" / "out").iterdir()) == []


def test_redis_keeps_nothing_but_messages_under_one_prefix(redis: Broker, tmp_path: Path) -> None:
    redis.say("FLUSHALL")
    courier = Courier(Settings(data_dir=tmp_path, broker_url=redis.url))
    courier.hint("cpu", 1)
    courier.call("cpu", "w1")
    assert redis.say("DBSIZE") == b":2\r\n"
    assert redis.say("EXISTS breast_cascade:cpu breast_cascade:cpu.w1") == b":2\r\n"
    courier.close()


def test_thousand_wakes_are_a_handful_of_messages(settings: Settings) -> None:
    called: list[str] = []
    publisher = Publisher(Courier(settings), called.append, lambda _: 2)
    for number in range(1000):
        publisher.wake(f"{number:032x}", "cpu")
    watcher = Courier(settings)
    until(lambda: watcher.depth("cpu") == 2)
    publisher.close()
    assert watcher.depth("cpu") == 2
    assert called == ["cpu"] * 1000
    watcher.close()


def test_broker_that_does_not_answer_holds_up_nobody(tmp_path: Path) -> None:
    with redis_server(tmp_path) as broker:
        settings = Settings(data_dir=tmp_path, broker_url=broker.url)
        courier, publisher = Courier(settings), Publisher(Courier(settings))
        courier.hint("cpu", 1)
        assert broker.process is not None
        broker.process.send_signal(signal.SIGSTOP)
        start = time.monotonic()
        for _ in range(100):
            publisher.wake("f00d", "cpu")
        assert time.monotonic() - start < 0.5
        start = time.monotonic()
        with pytest.raises(OSError, match="TimeoutError"):
            courier.hint("cpu", 5)
        assert time.monotonic() - start < LIMIT_S
        publisher.close()
        courier.close()
    assert not [one for one in threading.enumerate() if one.name == "publisher"]


def test_broker_that_is_away_is_no_error_of_the_request(tmp_path: Path) -> None:
    with redis_server(tmp_path) as broker:
        settings = Settings(data_dir=tmp_path, broker_url=broker.url)
    courier, publisher = Courier(settings), Publisher(Courier(settings))
    start = time.monotonic()
    with pytest.raises(OSError, match="ConnectionError"):
        courier.call("cpu", "w1")
    publisher.wake("f00d", "cpu")
    publisher.close()
    courier.close()
    assert time.monotonic() - start < LIMIT_S


def test_reader_never_sees_half_a_message(tmp_path: Path) -> None:
    courier = Courier(Settings(data_dir=tmp_path))
    inbox, seen, stop = tmp_path / "broker" / "in", [], threading.Event()

    def look() -> None:
        while not stop.is_set():
            for path in inbox.iterdir():
                seen.append(path.read_bytes())
                path.unlink()

    reader = threading.Thread(target=look)
    reader.start()
    for _ in range(200):
        courier.hint("cpu", 3)
    stop.set()
    reader.join()
    courier.close()
    assert all(json.loads(one) for one in seen)
    assert len(seen) > 10
