"""A worker is killed or stopped at every point of an item's way: the embedded one and one of two on Redis, with SQLite
and a folder beside them or, apart from them, PostgreSQL and object storage.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.halting import POINTS
from tests.chaos.house import House, house
from tests.chaos.orders import Told, accepted, check, check_attempts, ended, mixed

pytestmark = pytest.mark.chaos
ENDS = {"SIGKILL": signal.SIGKILL, "SIGSTOP": signal.SIGSTOP}


@pytest.fixture(scope="module", params=POINTS)
def embedded(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, tiny_pipelines: Path
) -> Iterator[tuple[House, str]]:
    """A house for each point: a worker that dies again and again is started again ever later."""
    with house(tmp_path_factory.mktemp("embedded"), tiny_pipelines) as made:
        yield made, request.param


@pytest.mark.parametrize("end", ENDS)
def test_the_embedded_worker(embedded: tuple[House, str], end: str, undisturbed: Told) -> None:
    made, point = embedded
    job_id, pid = _halted(made, point)
    os.kill(pid, ENDS[end])
    # A worker that is only stopped is found silent, and killed.
    made.until(lambda: pid not in made.processes())
    _settled(made, point, job_id, undisturbed)


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("end", ENDS)
def test_one_of_two_workers(crewed: House, point: str, end: str, undisturbed: Told) -> None:
    job_id, pid = _halted(crewed, point)
    os.kill(pid, ENDS[end])
    if end == "SIGKILL":
        _settled(crewed, point, job_id, undisturbed)
        return
    ended(crewed, job_id)
    # Now it wakes up again, sure that the item is its own.
    crewed.release()
    os.kill(pid, signal.SIGCONT)
    _settled(crewed, point, job_id, undisturbed)
    assert pid in crewed.processes()


def _halted(made: House, point: str) -> tuple[str, int]:
    """A job, and the worker that has halted in the middle of an item, the first one to come there."""
    made.arm(point)
    job_id = accepted(made, mixed())
    return job_id, made.halted(point)


def _settled(made: House, point: str, job_id: str, undisturbed: Told) -> None:
    check(made, job_id, undisturbed)
    assert sum(check_attempts(made, job_id)) >= (point != "committed")
    made.release()
