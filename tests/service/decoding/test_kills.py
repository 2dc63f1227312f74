"""kill -9 of the real service and of its decoders: nothing is left, and whoever stays goes on."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.processes import Served, gone, named, served
from tests.service.asking import post
from tests.serving import until


@pytest.fixture
def service(tmp_path: Path, tiny_pipelines: Path) -> Iterator[Served]:
    """A service, ready, in a process of its own."""
    with served(tmp_path / "service", tiny_pipelines) as service:
        yield service


def decoders(service: Served) -> list[int]:
    """Process ids of its decoders."""
    return named(service.pids, "decoder")


def at_work(client: httpx.Client) -> bool:
    """Whether the service works on a request."""
    return "breast_cascade_admitted 1.0" in client.get("/metrics").text


def test_nothing_stays_when_the_service_is_killed(service: Served) -> None:
    """With a file half decoded: its decoder is stopped and cannot even see that the service is gone."""
    names, pids = set(os.listdir("/dev/shm")), service.pids
    assert len(pids) == 4
    for pid in decoders(service):
        os.kill(pid, signal.SIGSTOP)
    with ThreadPoolExecutor(1) as pool:
        lost = pool.submit(post, service.client, pipeline="tiny")
        until(lambda: at_work(service.client))
        service.process.kill()
        service.process.wait()
        assert isinstance(lost.exception(), httpx.TransportError)
    until(lambda: all(gone(pid) for pid in pids))
    assert set(os.listdir("/dev/shm")) <= names
    assert list((service.log.parent / "tmp").iterdir()) == []


def test_a_decoder_killed_before_it_began_is_not_seen(service: Served) -> None:
    stopped = decoders(service)
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(post, service.client, pipeline="tiny")
        until(lambda: at_work(service.client))
        for pid in stopped:
            os.kill(pid, signal.SIGKILL)
        assert answer.result().status_code == 200
    assert post(service.client, pipeline="tiny").status_code == 200
    assert "found_dead" in service.log.read_text()


def test_told_to_stop_it_takes_its_decoders_along(service: Served) -> None:
    pids = service.pids
    service.process.terminate()
    assert service.process.wait(60) == 0
    until(lambda: all(gone(pid) for pid in pids))


def test_ctrl_c_reaches_the_whole_group_and_the_answer_still_comes(service: Served) -> None:
    stopped = decoders(service)
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(post, service.client, pipeline="tiny")
        until(lambda: at_work(service.client))
        for pid in service.pids:
            os.kill(pid, signal.SIGINT)
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
        assert answer.result().status_code == 200
    assert service.process.wait(60) == 0
