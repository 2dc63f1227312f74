"""Houses that several cases share, and the results that every disturbed job must come to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.house import House, house
from tests.chaos.orders import Told, accepted, ended, mixed, told
from tests.service.jobs.brokers import Broker, redis_server

CREW = 2


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, tiny_pipelines: Path) -> Told:
    """The results of the mixed job when nobody disturbs it."""
    with house(tmp_path_factory.mktemp("undisturbed"), tiny_pipelines) as quiet:
        job_id = accepted(quiet, mixed())
        ended(quiet, job_id)
        results = told(quiet, job_id)
    folders = {name.split("/")[0] for name, _, _ in results}
    assert folders == {"findings.csv", "report.json", "00000_volume", "00001_picture", "00003_scan"}
    return results


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A Redis server for all houses that need one."""
    with redis_server(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture(scope="module")
def on_redis(broker: Broker, tmp_path_factory: pytest.TempPathFactory, tiny_pipelines: Path) -> Iterator[House]:
    """A house with Redis and two workers beside the web process."""
    with house(tmp_path_factory.mktemp("redis_house"), tiny_pipelines, CREW, broker_url=broker.url) as made:
        yield made
