"""A message that cannot be acknowledged, on a real Redis; that a whole worker goes on is part of the kill matrix."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from kombu import Connection, Consumer, Queue

from service.jobs.reconnect import _check
from tests.service.jobs.brokers import redis_server
from tests.serving import until


def test_a_message_in_hand_while_nothing_runs_breaks_the_connection(tmp_path: Path) -> None:
    with redis_server(tmp_path) as broker, Connection(broker.url) as connection:
        queue, taken = Queue("items"), list[Any]()
        with Consumer(connection, queue, on_message=taken.append, prefetch_count=1) as consumer:
            worker = SimpleNamespace(task_consumer=consumer)
            _check(worker)
            connection.Producer().publish({}, routing_key="items")
            until(lambda: connection.drain_events(timeout=5) or taken)
            with pytest.raises(ConnectionError, match="could not be acknowledged"):
                _check(worker)
            taken[0].ack()
            _check(worker)
