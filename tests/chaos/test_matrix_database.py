"""PostgreSQL is restarted, or takes no writes for longer than a lease, as in a failover."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from sqlalchemy import make_url

from tests.chaos.house import House
from tests.chaos.orders import Told, accepted, check, check_attempts, mixed, posted
from tests.postgres import Server, read_only

pytestmark = pytest.mark.chaos
# Two leases.
AWAY_S = 4.0
POINTS = ("lesion", "writing", "written")


def _name(made: House) -> str:
    return str(make_url(made.settings.jobs_database).database)


def _restarted(made: House, server: Server) -> None:
    server.restart()


def _in_failover(made: House, server: Server) -> None:
    read_only(server.folder, _name(made), True)
    time.sleep(AWAY_S)
    read_only(server.folder, _name(made), False)


FAULTS: dict[str, Callable[[House, Server], None]] = {"restart": _restarted, "failover": _in_failover}


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("fault", FAULTS)
def test_in_the_middle_of_an_item(
    apart: House, database_server: Server, point: str, fault: str, undisturbed: Told
) -> None:
    apart.arm(point)
    job_id = accepted(apart, mixed())
    pid = apart.halted(point)
    FAULTS[fault](apart, database_server)
    apart.release()
    check(apart, job_id, undisturbed)
    check_attempts(apart, job_id)
    # Nobody died of it.
    assert pid in apart.processes()


def test_a_job_is_refused_for_now_and_taken_later(apart: House, database_server: Server, undisturbed: Told) -> None:
    read_only(database_server.folder, _name(apart), True)
    refused = posted(apart, mixed(), "failover")
    assert (refused.status_code, refused.json()["code"]) == (503, "database_away")
    assert int(refused.headers["retry-after"]) >= 1
    read_only(database_server.folder, _name(apart), False)
    check(apart, accepted(apart, mixed(), "failover"), undisturbed)
