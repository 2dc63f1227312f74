"""Redis is restarted, emptied or away, and sends messages twice: no job depends on a message."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing

import pytest

from service.jobs.broker import WAKE, publisher_app, queue
from tests.chaos.house import House
from tests.chaos.orders import Told, accepted, check, check_attempts, ended, mixed
from tests.service.jobs.brokers import Broker

pytestmark = pytest.mark.chaos
AWAY_S = 15.0
COPIES = 20


def _restarted(broker: Broker) -> None:
    broker.stop()
    broker.start()


def _flushed(broker: Broker) -> None:
    broker.say("FLUSHALL")


FAULTS: dict[str, Callable[[Broker], None]] = {"restart": _restarted, "FLUSHALL": _flushed}


@pytest.mark.parametrize("fault", FAULTS)
def test_in_the_middle_of_an_item(on_redis: House, broker: Broker, fault: str, undisturbed: Told) -> None:
    on_redis.arm("lesion")
    job_id = accepted(on_redis, mixed())
    on_redis.halted("lesion")
    FAULTS[fault](broker)
    on_redis.release()
    check(on_redis, job_id, undisturbed)
    check_attempts(on_redis, job_id)


@pytest.mark.parametrize("fault", FAULTS)
def test_right_after_a_job_was_accepted(on_redis: House, broker: Broker, fault: str, undisturbed: Told) -> None:
    job_id = accepted(on_redis, mixed())
    FAULTS[fault](broker)
    check(on_redis, job_id, undisturbed)


def test_away(on_redis: House, broker: Broker, undisturbed: Told) -> None:
    on_redis.arm("lesion")
    before = accepted(on_redis, mixed())
    on_redis.halted("lesion")
    broker.stop()
    # The answer comes although nobody can be told, and what is in hand goes on.
    meanwhile = accepted(on_redis, mixed())
    on_redis.release()
    ended(on_redis, before)
    time.sleep(AWAY_S)
    broker.start()
    for job_id in (before, meanwhile):
        check(on_redis, job_id, undisturbed)
        check_attempts(on_redis, job_id)
    # Nobody lives on deaf.
    on_redis.until(on_redis.fresh)


def test_copies_of_one_message_at_once(on_redis: House, undisturbed: Told) -> None:
    on_redis.arm("claimed")
    job_id = accepted(on_redis, mixed())
    on_redis.halted("claimed")
    with closing(publisher_app(on_redis.settings, None)) as app:
        for _ in range(COPIES):
            app.send_task(WAKE, args=[job_id], queue=queue("cpu"), task_id="one and the same")
    on_redis.release()
    check(on_redis, job_id, undisturbed)
    check_attempts(on_redis, job_id)
