"""An input that kills whatever works on it ends as poisoned, after four deaths, and takes nothing with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.house import House, house
from tests.chaos.orders import accepted, attempts, check_house, ended, pictures
from tests.service.jobs.brokers import Broker

pytestmark = pytest.mark.chaos


def test_the_embedded_worker(tmp_path: Path, tiny_pipelines: Path) -> None:
    with house(tmp_path, tiny_pipelines) as made:
        _check(made)


def test_two_workers_on_redis(tmp_path: Path, tiny_pipelines: Path, broker: Broker) -> None:
    with house(tmp_path, tiny_pipelines, crew=2, broker_url=broker.url) as made:
        _check(made)


def _check(made: House) -> None:
    made.poison()
    name, content = pictures(1)[0]
    job_id = accepted(made, [("poison.png", content), (name, content), ("other.png", content)])
    ended(made, job_id)
    first, *others = made.rows.items(job_id, "", 10, 0)
    assert made.rows.job(job_id, "").state == "partial"
    assert (first.state, first.problem and first.problem.code) == ("failed", "poisoned")
    assert [one.state for one in others] == ["succeeded", "succeeded"]
    assert attempts(made, job_id)[0] == 4
    check_house(made)
