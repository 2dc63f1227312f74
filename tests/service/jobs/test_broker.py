"""How Celery is set up: what its own manual and its issues ask of a worker that loses nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.jobs.broker import Folders, folders_of, own_queue, publisher_app, worker_app
from service.settings import Settings

REDIS = "redis://127.0.0.1:1/0"


@pytest.fixture(params=[None, REDIS])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path, broker_url=request.param, device="cpu", item_seconds=100)


def test_worker_takes_one_message_at_a_time_and_acknowledges_it_late(settings: Settings) -> None:
    conf = worker_app(settings, "w").conf
    assert (conf.worker_pool, conf.worker_concurrency, conf.worker_prefetch_multiplier) == ("solo", 1, 1)
    assert conf.task_acks_late
    assert conf.task_reject_on_worker_lost
    assert conf.broker_connection_retry_on_startup
    assert not conf.worker_enable_remote_control


def test_only_json_and_no_results(settings: Settings) -> None:
    for app in (worker_app(settings, "w"), publisher_app(settings, None)):
        assert (app.conf.task_serializer, app.conf.accept_content) == ("json", ["json"])
        assert app.conf.result_backend is None
        assert app.conf.task_ignore_result


def test_visibility_timeout_stands_in_all_three_places(settings: Settings) -> None:
    for app in (worker_app(settings, "w"), publisher_app(settings, None)):
        places = (app.conf.broker_transport_options, app.conf.result_backend_transport_options)
        assert [one["visibility_timeout"] for one in places] == [200, 200]
        assert app.conf.visibility_timeout == 200


@pytest.mark.parametrize(("device", "kind"), [("cpu", "cpu"), ("cuda:1", "cuda")])
def test_worker_listens_to_its_class_and_to_itself(tmp_path: Path, device: str, kind: str) -> None:
    app = worker_app(Settings(data_dir=tmp_path, device=device), "host_1_ab")
    assert list(app.amqp.queues) == [kind, own_queue(kind, "host_1_ab")]
    # Without an exchange there is no binding that a flushed broker could lose.
    assert {queue.exchange.name for queue in app.amqp.queues.values()} == {""}


def test_folders_belong_to_this_user_alone(tmp_path: Path) -> None:
    folders = folders_of(Settings(data_dir=tmp_path))
    assert folders == Folders(tmp_path / "broker")
    folders.make(folders.outbox())
    assert {path.stat().st_mode & 0o777 for path in (folders.inbox, folders.read, folders.control)} == {0o700}
    assert folders.outbox() != folders.outbox()


def test_no_folders_with_redis(tmp_path: Path) -> None:
    worker_app(Settings(data_dir=tmp_path / "data", broker_url=REDIS), "w")
    assert folders_of(Settings(data_dir=tmp_path, broker_url=REDIS)) is None
    assert not (tmp_path / "data").exists()
