"""``breast-cascade jobs`` against a real service."""

from __future__ import annotations

import itertools
import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar
from zipfile import ZipFile

import pytest

from service.api.keys import add_key
from service.cli import client as speaking
from service.cli.client import Form, Server, Unreachable
from service.engine import Engine
from service.errors import CapacityError, SetupError
from service.settings import Settings
from tests.service.asking import SQUARE, png
from tests.service.commands import call
from tests.service.jobs_over_http import Counter, counter
from tests.serving import until


@pytest.fixture(scope="module")
def at(tiny_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Counter]:
    folder = tmp_path_factory.mktemp("cli")
    (folder / "key").write_text(add_key(folder / "keys", "anna"))
    with counter(tiny_engine, Settings(data_dir=folder / "data", access_keys=folder / "keys")) as opened:
        yield opened


@pytest.fixture(autouse=True)
def address(at: Counter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BREAST_CASCADE_URL", str(at.client.base_url))


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    folder = tmp_path / "scans"
    (folder / "below").mkdir(parents=True)
    (folder / "a.png").write_bytes(png(SQUARE))
    (folder / "below" / 'b"ä.png').write_bytes(png(SQUARE))
    (folder / "notes.txt").write_text("no picture")
    return folder


def jobs(*arguments: object) -> tuple[int, str, str]:
    return call("jobs", *arguments)


def submitted(scans: Path, *more: str) -> str:
    code, out, err = jobs("submit", scans, *more)
    assert code == 0, err
    return out.strip()


def test_submit_show_list_and_results(at: Counter, scans: Path, tmp_path: Path) -> None:
    job = submitted(scans, "--outputs", "json,mask", "--set", "threshold=0.4", "--pipeline", "tiny")
    shown = json.loads(jobs("show", job, "--json")[1])
    assert [one["name"] for one in shown["items"]] == ["a.png", "below/b%22ä.png"]
    at.work()
    code, out, _ = jobs("show", job)
    assert (code, f"{job} succeeded, 2/2 items, 0 failed" in out, "a.png" in out) == (0, True, True)
    code, out, _ = jobs("list", "--limit", "5")
    assert (code, job in out, "tiny 1.0.0" in out, "created (UTC)" in out) == (0, True, True, True)
    assert json.loads(jobs("list", "--json")[1])["jobs"][0]["id"] == job
    assert jobs("results", job, "-o", tmp_path / "out")[:2] == (0, f"{tmp_path / 'out'}\n")
    assert (tmp_path / "out" / "00000_a" / "00000_a.mask.png").is_file()
    assert not list((tmp_path / "out").glob("*.zip"))
    assert jobs("results", job, "-o", tmp_path / "whole.zip")[0] == 0
    with ZipFile(tmp_path / "whole.zip") as archive:
        assert archive.testzip() is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "scans", "whole.zip"]


def test_watch_follows_to_the_end(at: Counter, scans: Path) -> None:
    job = submitted(scans)
    worker = threading.Timer(0.5, at.work)
    worker.start()
    code, out, err = jobs("watch", job)
    worker.join()
    assert (code, out, "succeeded: 2/2 items, 0 failed" in err) == (0, "", True)
    # Of a job that has ended the end is told at once.
    assert jobs("watch", job)[0] == 0


def test_submit_and_watch_exits_1_where_an_item_fails(at: Counter, scans: Path) -> None:
    (scans / "broken.png").write_bytes(png(SQUARE)[:90])
    worker = threading.Timer(1.0, at.work)
    worker.start()
    code, out, err = jobs("submit", scans, "--watch", "--json")
    worker.join()
    assert (code, json.loads(out)["progress"]["total"], "partial: 3/3 items, 1 failed" in err) == (1, 3, True)


def test_cancel_and_erase(scans: Path) -> None:
    job = submitted(
        scans / "a.png",
    )
    assert jobs("cancel", job)[:2] == (0, "cancelled\n")
    assert jobs("watch", job)[0] == 1
    assert jobs("erase", job)[0] == 0
    code, out, err = jobs("show", job)
    assert (code, out, "Found no job of this id" in err) == (1, "", True)


def test_a_key_shows_its_owners_jobs_alone(at: Counter, scans: Path) -> None:
    key = at.running.service.settings.data_dir.parent / "key"
    job = submitted(scans / "a.png", "--key-file", str(key))
    assert jobs("show", job)[0] == 1
    assert jobs("show", job, "--key-file", key)[0] == 0
    assert jobs("erase", job, "--key-file", key)[0] == 0


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["submit", "{scans}/notes.txt", "--outputs", "gif"], 1, "format=gif"),
        (["submit", "{scans}/below/none"], 2, "does not exist"),
        (["submit", "{scans}", "--set", "threshold"], 2, "wanted NAME=VALUE"),
        (["results", "0" * 32, "-o", "{scans}/out"], 1, "no job of this id"),
        (["show", "../health/live"], 2, "wanted letters and digits"),
    ],
)
def test_what_is_refused_is_said(scans: Path, arguments: list[str], status: int, said: str) -> None:
    code, out, err = jobs(*(one.format(scans=scans) for one in arguments))
    assert (code, out) == (status, "")
    assert said in " ".join(err.replace("│", " ").split())


def test_a_folder_without_pictures_exits_2(tmp_path: Path) -> None:
    assert jobs("submit", tmp_path)[0] == 2


def test_a_wrong_key_or_key_file_exits_3(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("wrong")
    with pytest.raises(SetupError, match="no key of this service.*--key-file"):
        jobs("list", "--key-file", tmp_path / "key")
    (tmp_path / "key").write_text("two\nlines")
    with pytest.raises(SetupError, match="no key in it"):
        jobs("list", "--key-file", tmp_path / "key")
    with pytest.raises(SetupError, match="no readable file"):
        jobs("list", "--key-file", tmp_path / "none")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_no_service_exits_3(scans: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speaking, "PAUSES_S", (0.0,))
    url = f"http://127.0.0.1:{free_port()}"
    for arguments in (["list"], ["submit", scans], ["watch", "0" * 32]):
        with pytest.raises(SetupError, match="no answer from.*breast-cascade serve"):
            jobs(*arguments, "--url", url)


class Foreign(BaseHTTPRequestHandler):
    """Some other web server."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path.startswith("/jobs?") else 404)
        self.send_header("Content-Length", "6")
        self.end_headers()
        self.wfile.write(b"<html>")

    def log_message(self, *_: object) -> None:
        """Nothing."""


def test_something_else_on_that_port_is_told() -> None:
    with HTTPServer(("127.0.0.1", 0), Foreign) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        for arguments in (["list"], ["show", "0" * 32]):
            with pytest.raises(SetupError, match="an answer that Breast Cascade does not give"):
                jobs(*arguments, "--url", url)
        server.shutdown()
    for url in ("http://[", "ftp://127.0.0.1", "127.0.0.1"):
        with pytest.raises(SetupError, match="no answer from"):
            jobs("list", "--url", url)


def test_a_full_line_says_when_to_come_back(tiny_engine: Engine, tmp_path: Path, scans: Path) -> None:
    with counter(tiny_engine, Settings(data_dir=tmp_path / "data", max_waiting_items=1)) as full:
        url = str(full.client.base_url)
        submitted(scans / "a.png", "--url", url)
        code, _, err = jobs("submit", scans / "a.png", "--url", url)
    assert (code, "items of jobs waiting" in err, "(Retry-After: 30 s)" in err) == (1, True, True)


def test_watch_waits_for_a_service_that_restarts(
    tiny_engine: Engine, tmp_path: Path, scans: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speaking, "RECONNECT_S", (0.1,))
    port = free_port()
    settings = Settings(data_dir=tmp_path / "data")
    with counter(tiny_engine, settings, port=port) as first:
        url = str(first.client.base_url)
        job = submitted(scans / "a.png", "--url", url)
        with ThreadPoolExecutor(1) as pool:
            watching = pool.submit(lambda: list(Server(url).events(job)))
            until(lambda: first.running.server.server_state.tasks)
            first.running.server.should_exit = True
            first.running.service.drain()
            until(lambda: not first.running.thread.is_alive())
            with counter(tiny_engine, settings, port=port) as second:
                second.work()
                assert [one["state"] for one in watching.result(60)][-1] == "succeeded"


def test_watch_of_a_service_that_stays_away_says_that_the_job_goes_on(
    tiny_engine: Engine, tmp_path: Path, scans: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speaking, "RECONNECT_S", (0.1,))
    monkeypatch.setattr(speaking, "PATIENT_S", 0.5)
    with counter(tiny_engine, Settings(data_dir=tmp_path / "data")) as opened:
        url = str(opened.client.base_url)
        job = submitted(scans / "a.png", "--url", url)
    with pytest.raises(CapacityError, match=f"no answer from .* any more.*The job goes on.*jobs watch {job}"):
        list(Server(url).events(job))


class Draining(BaseHTTPRequestHandler):
    """Ends each stream of events at once."""

    asked: ClassVar[list[float]] = []

    def do_GET(self) -> None:
        self.asked.append(time.monotonic())
        said = b'data: {"seq": 2, "state": "succeeded"}\n\n' if len(self.asked) == 4 else b"retry: 2000\n\n"
        self.send_response(200)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *_: object) -> None:
        """Nothing."""


def test_a_stream_that_ends_at_once_is_not_asked_for_without_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speaking, "RECONNECT_S", (0.2, 0.3))
    with HTTPServer(("127.0.0.1", 0), Draining) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        told = list(Server(f"http://127.0.0.1:{server.server_port}").events("0" * 32))
        server.shutdown()
    assert [one["seq"] for one in told] == [2]
    pauses = [after - before for before, after in itertools.pairwise(Draining.asked)]
    assert all(pause > wanted for pause, wanted in zip(pauses, (0.2, 0.3, 0.3), strict=True))


class Breaking(Server):
    """Loses the answer to the first post, as a broken connection does."""

    lost: ClassVar[list[Any]] = []

    def _post_form(self, form: Form, key: str, sent: Any) -> Any:
        answer = super()._post_form(form, key, sent)
        if not self.lost:
            self.lost.append(answer)
            raise Unreachable("a", "b", "Do c.")
        return answer


def test_a_lost_answer_makes_no_second_job(at: Counter, scans: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speaking, "PAUSES_S", (0.0,))
    before = len(at.client.get("/jobs?limit=1000").json()["jobs"])
    server = Breaking(str(at.client.base_url))
    job = server.submit([("a.png", scans / "a.png")], [], lambda _: None)
    assert job["id"] == server.lost[0]["id"]
    assert len(at.client.get("/jobs?limit=1000").json()["jobs"]) == before + 1
