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
AWAY_S = 60.0
COPIES = 20


def _restarted(broker: Broker) -> None:
    broker.stop()
    broker.start()


def _flushed(broker: Broker) -> None:
    broker.say("FLUSHALL")


FAULTS: dict[str, Callable[[Broker], None]] = {"restart": _restarted, "FLUSHALL": _flushed}


@pytest.mark.parametrize("fault", FAULTS)
def test_in_the_middle_of_an_item(crewed: House, broker: Broker, fault: str, undisturbed: Told) -> None:
    crewed.arm("lesion")
    job_id = accepted(crewed, mixed())
    crewed.halted("lesion")
    FAULTS[fault](broker)
    crewed.release()
    check(crewed, job_id, undisturbed)
    check_attempts(crewed, job_id)


@pytest.mark.parametrize("fault", FAULTS)
def test_right_after_a_job_was_accepted(crewed: House, broker: Broker, fault: str, undisturbed: Told) -> None:
    job_id = accepted(crewed, mixed())
    FAULTS[fault](broker)
    check(crewed, job_id, undisturbed)


def test_away_for_a_minute(on_redis: House, apart: House, broker: Broker, undisturbed: Told) -> None:
    houses = (on_redis, apart)
    before = [_half_done(made) for made in houses]
    broker.stop()
    # The answer comes although nobody can be told, and what is in hand goes on.
    meanwhile = [accepted(made, mixed()) for made in houses]
    for made, job_id in zip(houses, before, strict=True):
        made.release()
        ended(made, job_id)
    time.sleep(AWAY_S)
    broker.start()
    for made, *jobs in zip(houses, before, meanwhile, strict=True):
        for job_id in jobs:
            check(made, job_id, undisturbed)
            check_attempts(made, job_id)
        # Nobody lives on deaf.
        made.until(made.fresh)


def _half_done(made: House) -> str:
    """A job in the middle of an item."""
    made.arm("lesion")
    job_id = accepted(made, mixed())
    made.halted("lesion")
    return job_id


def test_copies_of_one_message_at_once(crewed: House, undisturbed: Told) -> None:
    crewed.arm("claimed")
    job_id = accepted(crewed, mixed())
    crewed.halted("claimed")
    with closing(publisher_app(crewed.settings, None)) as app:
        for _ in range(COPIES):
            app.send_task(WAKE, args=[job_id], queue=queue("cpu"), task_id="one and the same")
    crewed.release()
    check(crewed, job_id, undisturbed)
    check_attempts(crewed, job_id)
