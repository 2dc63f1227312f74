"""One job for one Idempotency-Key, however often and however fast its request comes."""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter as Tally
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import pytest

from service.api import submit
from service.engine import Engine
from service.settings import Settings
from tests.service.jobs_over_http import PICTURE, Counter, counter
from tests.service.test_api_jobs import DARK, code
from tests.serving import until


@pytest.fixture
def at(tiny_engine: Engine, tmp_path: pytest.TempPathFactory) -> Iterator[Counter]:
    with counter(tiny_engine, Settings(data_dir=tmp_path, receive_timeout=2)) as opened:
        yield opened


def keyed(key: str) -> dict[str, str]:
    return {"Idempotency-Key": key}


def test_a_repeat_gets_the_first_job_at_any_time(at: Counter) -> None:
    first = at.send(headers=keyed("k"), outputs="mask").json()["id"]
    stored = at.stored()
    for work in (lambda: None, at.work, lambda: at.client.post(f"/jobs/{first}/cancel")):
        work()
        answer = at.send(headers=keyed("k"), outputs="mask")
        assert (answer.status_code, answer.json()["id"]) == (202, first)
        assert answer.headers["location"] == f"/jobs/{first}"
    assert len(at.client.get("/jobs").json()["jobs"]) == 1
    assert {key.split("/")[1] for key in at.stored()} == {first}
    assert set(stored) <= set(at.stored())


def test_without_a_key_or_with_another_one_there_are_two(at: Counter) -> None:
    assert len({at.made() for _ in range(2)} | {at.send(headers=keyed(key)).json()["id"] for key in "ab"}) == 4


@pytest.mark.parametrize(
    "other",
    [
        {"outputs": "json"},
        {"outputs": "mask", "threshold": "0.4"},
        {"outputs": "mask", "pipeline": "tiny"},
        {"outputs": "mask", "version": "1.0.0"},
    ],
)
def test_other_parameters_under_the_same_key_are_422(at: Counter, other: dict[str, str]) -> None:
    at.send(headers=keyed("k"), outputs="mask")
    assert code(at.send(headers=keyed("k"), **other)) == (422, "idempotency_mismatch")


@pytest.mark.parametrize("files", [(("b.png", PICTURE),), (("a.png", DARK),), (("a.png", PICTURE),) * 2])
def test_other_files_under_the_same_key_are_422_and_leave_nothing(
    at: Counter, files: tuple[tuple[str, bytes], ...]
) -> None:
    at.send(headers=keyed("k"))
    stored = at.stored()
    assert code(at.send(*files, headers=keyed("k"))) == (422, "idempotency_mismatch")
    assert at.stored() == stored


@pytest.mark.parametrize("key", ["", "x" * 256, "a\tb", "ä"])
def test_keys_that_cannot_be_are_422(at: Counter, key: str) -> None:
    answer = at.client.post("/jobs", headers={"Idempotency-Key": key.encode("latin-1")}, files={"files": ("a", b"1")})
    assert code(answer) == (422, "bad_parameter")


def test_a_refused_request_frees_its_key(at: Counter) -> None:
    assert code(at.send(headers=keyed("k"), threshold="9")) == (422, "bad_parameter")
    assert at.send(headers=keyed("k")).status_code == 202


@contextmanager
def half_sent(at: Counter, key: str) -> Iterator[socket.socket]:
    """A request under this key whose body stops in the middle; to leave the block is to hang up."""
    url = at.client.base_url
    head = f"POST /jobs HTTP/1.1\r\nHost: localhost\r\nIdempotency-Key: {key}\r\nContent-Length: 1000\r\n"
    kind = "Content-Type: multipart/form-data; boundary=x\r\n\r\n"
    part = '--x\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\nab'
    with socket.create_connection((url.host, url.port)) as client:
        client.sendall((head + kind + part).encode())
        # Made once the key is taken.
        until((at.running.service.settings.data_dir / "jobs" / "incoming").is_dir)
        yield client


def test_while_the_first_is_received_the_next_is_409(at: Counter) -> None:
    with half_sent(at, "k"):
        assert code(at.send(headers=keyed("k"))) == (409, "idempotency_receiving")
        assert at.send(headers=keyed("other")).status_code == 202
    # Its client hung up: the key is free again.
    until(lambda: at.send(headers=keyed("k")).status_code == 202)


def test_an_upload_that_stops_is_408_and_leaves_nothing(at: Counter) -> None:
    with half_sent(at, "k") as client:
        client.settimeout(20)
        assert client.recv(65536).startswith(b"HTTP/1.1 408")
    assert at.stored() == []
    assert at.send(headers=keyed("k")).status_code == 202


def test_a_slow_upload_keeps_its_key(at: Counter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submit, "RECEIVING_S", 0.6)
    monkeypatch.setattr(submit, "PROLONG_S", 0.1)
    with half_sent(at, "k"):
        time.sleep(1.0)
        assert code(at.send(headers=keyed("k"))) == (409, "idempotency_receiving")


def test_fifty_at_once_make_one_job(at: Counter) -> None:
    gate = threading.Barrier(50)

    def send(_: int) -> tuple[int, str]:
        with httpx.Client(base_url=at.client.base_url, timeout=60, trust_env=False) as client:
            gate.wait(30)
            answer = client.post("/jobs", files={"files": ("a.png", PICTURE)}, headers=keyed("k"))
            return answer.status_code, answer.json().get("id") or answer.json()["code"]

    with ThreadPoolExecutor(50) as pool:
        answers = Tally(pool.map(send, range(50)))
    accepted = {said for status, said in answers if status == 202}
    assert len(accepted) == 1
    assert {status: said for status, said in answers if status != 202} in ({}, {409: "idempotency_receiving"})
    assert [one["id"] for one in at.client.get("/jobs").json()["jobs"]] == [*accepted]
    assert at.send(headers=keyed("k")).json()["id"] in accepted
    assert len(at.stored()) == 1
