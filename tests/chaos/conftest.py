"""Houses that several cases share, and the results that every disturbed job must come to."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.house import House, house
from tests.chaos.orders import Told, accepted, ended, mixed, told
from tests.postgres import Server, new_database, postgres
from tests.service.jobs.brokers import Broker, redis_server
from tests.service.jobs.stores import BUCKET, s3_server

CREW = 2
APART = "apart"


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


@pytest.fixture(scope="session")
def database_server() -> Iterator[Server]:
    """A PostgreSQL."""
    with postgres() as server:
        yield server


@pytest.fixture(scope="session")
def storage() -> Iterator[str]:
    """The address of an S3 server; credentials for it stand in the environment."""
    with s3_server() as address:
        yield address


@pytest.fixture(scope="module")
def apart(
    broker: Broker,
    database_server: Server,
    storage: str,
    tmp_path_factory: pytest.TempPathFactory,
    tiny_pipelines: Path,
) -> Iterator[House]:
    """A house whose processes have no disk in common: PostgreSQL, object storage and Redis."""
    name = f"{APART}_{uuid.uuid4().hex}"
    addresses = {
        "database_url": new_database(database_server.folder, name),
        "store_url": f"s3://{BUCKET}/{name}?endpoint={storage}",
        # Beside the other house, on the same server.
        "broker_url": broker.url.removesuffix("0") + "1",
    }
    with house(tmp_path_factory.mktemp(APART), tiny_pipelines, CREW, **addresses) as made:
        yield made


@pytest.fixture(scope="module", params=["on_redis", APART])
def crewed(request: pytest.FixtureRequest) -> House:
    """Either house with two workers beside the web process."""
    made: House = request.getfixturevalue(request.param)
    return made
