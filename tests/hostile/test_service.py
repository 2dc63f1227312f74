"""Some four hundred hostile files and requests against the real service: each is refused, and nothing else happens."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from service.answers.outputs import OFFERED
from tests.hostile.corpus import complete, costs, dicoms, outputs, pngs, rasters, requests, volumes, zips
from tests.hostile.corpus.common import CANARY, MEBIBYTE, Files
from tests.processes import Served, forget_peaks, growth, served
from tests.service.asking import EXPECTED, pixels, post

PARTS = (pngs, rasters, dicoms, costs, volumes, zips, complete)
FILES: Files = {name: file for part in PARTS for name, file in part.REFUSED.items()}
ODD: Files = {name: file for part in PARTS for name, file in part.ODD.items()}
REFUSALS = {400, 413, 415, 422}
PROBLEM = {"type", "title", "status", "detail", "code", "found", "wanted", "remedy"}
WITHIN_S = 2.0
# A busy machine may need a second look.
ATTEMPTS = 3
MOST_GROWTH = 300 * MEBIBYTE
# What no answer may hold: places on this computer, pieces of a stack, names of decoders, data of a patient.
FORBIDDEN = re.compile(
    rf'/(root|home|tmp|usr|opt|etc|var|work|proc)\b|site-packages|\.py\b|Traceback|File "|line \d|0x[0-9a-f]{{6}}'
    rf"|Error\b|Exception|pydicom|nibabel|gdcm|openjpeg|PIL|cv2|{re.escape(CANARY)}|ZZPHI"
)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, tiny_pipelines: Path) -> Iterator[Served]:
    """One service for all of them: what one breaks, the next ones show."""
    folder = tmp_path_factory.mktemp("hostile") / "service"
    with served(folder, tiny_pipelines, receive_timeout="1") as service:
        assert right(service.client)
        yield service
        assert service.process.poll() is None
        kept = [service.log, *(one for one in (folder / "data").rglob("*") if one.is_file())]
        assert len(kept) > 1
        assert [str(one) for one in kept if b"ZZPHI" in one.read_bytes()] == []


def right(client: httpx.Client) -> bool:
    """Whether a normal picture gets its mask."""
    answer = post(client, pipeline="tiny", format="mask")
    return answer.status_code == 200 and np.array_equal(pixels(answer.content), EXPECTED)


def left_behind(service: Served) -> list[str]:
    """Files that nobody should have written; the rows of jobs and the folders around them lie there from the start."""
    folder = service.log.parent
    written = [str(one) for name in ("tmp", "work") for one in (folder / name).iterdir()]
    kept = (one for one in (folder / "data").rglob("*") if one.is_file() and not one.name.startswith("jobs.sqlite"))
    return [*written, *map(str, kept)]


def watched(service: Served, send: Callable[[], tuple[int, bytes]]) -> tuple[int, bytes]:
    """Status and body, once time, memory and disk are found to be in order."""
    pids = service.pids
    before = forget_peaks(pids)
    seconds = []
    while not seconds or (min(seconds) > WITHIN_S and len(seconds) < ATTEMPTS):
        start = time.perf_counter()
        status, body = send()
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < WITHIN_S
    assert growth(before, service.pids) < MOST_GROWTH
    assert left_behind(service) == []
    assert not FORBIDDEN.search(body.decode("latin-1") if body[:1] == b"{" else "")
    assert right(service.client)
    return status, body


def sent(client: httpx.Client, content: bytes, raw: bool) -> tuple[int, bytes]:
    """As the whole body, or under a patient's name in a form."""
    if raw:
        answer = client.post("/segment?pipeline=tiny", content=content, headers={"content-type": "image/png"})
    else:
        answer = client.post("/segment?pipeline=tiny", files={"file": (f"{CANARY}.dcm", content)})
    return answer.status_code, answer.content


@pytest.mark.parametrize("name", FILES)
def test_refused(service: Served, name: str) -> None:
    content = FILES[name]()
    status, body = watched(service, lambda: sent(service.client, content, raw=len(name) % 2 == 0))
    problem = json.loads(body)
    assert status in REFUSALS, problem
    assert set(problem) == PROBLEM
    assert problem["code"] not in ("decoder_crash", "decoder_timeout", "decoder_memory"), problem


@pytest.mark.parametrize("name", ODD)
def test_odd(service: Served, name: str) -> None:
    content = ODD[name]()
    status, _ = watched(service, lambda: sent(service.client, content, raw=len(name) % 2 == 0))
    assert status in {200, *REFUSALS}


@pytest.mark.parametrize("form", OFFERED)
def test_odd_in_every_format(service: Served, form: str) -> None:
    """Each file in one of the formats; `test_outputs` has each in all of them."""
    at, files = list(OFFERED).index(form), {**outputs.ACCEPTED, **ODD}
    for name in [name for number, name in enumerate(files) if number % len(OFFERED) == at]:
        sent = {"file": (f"{CANARY}.dcm", files[name]())}
        answer = service.client.post("/segment", files=sent, data={"pipeline": "tiny", "format": form})
        assert answer.status_code in {200, 204, *REFUSALS}, (name, answer.text)
    assert left_behind(service) == []
    assert right(service.client)


@pytest.mark.parametrize("name", requests.REFUSED)
def test_requests(service: Served, name: str) -> None:
    content = requests.REFUSED[name]()
    status, body = watched(service, lambda: spoken(service.client, content))
    assert status in {*REFUSALS, 408, 414, 431}, body[:500]


def spoken(client: httpx.Client, content: bytes) -> tuple[int, bytes]:
    """Status and body of the answer to a whole HTTP message, which the other side may not want to hear out."""
    with socket.create_connection((client.base_url.host, client.base_url.port), 30) as connection:
        try:
            connection.sendall(content)
        except OSError:
            # Hung up on: the answer may be there all the same.
            connection.settimeout(5)
        return _answer(connection)


def _answer(connection: socket.socket) -> tuple[int, bytes]:
    received = b""
    try:
        while piece := connection.recv(65_536):
            received += piece
    except (ConnectionError, TimeoutError):
        received = received or b"HTTP/1.1 400 \r\n\r\n"
    head, _, body = received.partition(b"\r\n\r\n")
    return int(head.split(b" ")[1]), body


def test_enough() -> None:
    assert len(FILES) + len(requests.REFUSED) > 300
