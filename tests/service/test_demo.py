"""The demo against stand-in services: what it writes, prints and returns when things go well and when they do not."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from service import demo

# A service of forty lines: ready at once, answers every picture alike. argv: port, status of /segment.
STAND_IN = """
import json, sys
from http.server import BaseHTTPRequestHandler, HTTPServer

ANSWER = {"pipeline": "ultrasound", "version": "1.0.0", "status": "found", "findings": [{}, {}],
          "classification": {"scores": {"benign": 0.25, "malignant": 0.75}, "reason": None},
          "timings_ms": {"total": 12.4}}

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.reply(200, b"{}")

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status = int(sys.argv[2])
        if status != 200:
            self.reply(status, b'{"code": "made_up_problem"}')
        elif b"\\r\\n\\r\\njson\\r\\n" in body:
            self.reply(200, json.dumps(ANSWER).encode())
        else:
            self.reply(200, b"picture")

    def reply(self, status, content):
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass

HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
DEAF = "import time; print('still loading', flush=True); time.sleep(60)"
DYING = "import sys; print('found a manifest that is broken'); sys.exit(3)"

Children = list[subprocess.Popen[bytes]]
Swap = Callable[..., Children]


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Swap:
    """Put a script in the service's place; gives the list of processes started."""

    def swap(script: str, *arguments: str) -> Children:
        started: Children = []

        def start(data: Path, log: Path, port: int) -> subprocess.Popen[bytes]:
            with log.open("wb") as sink:
                command = [sys.executable, "-c", script, str(port), *arguments]
                started.append(subprocess.Popen(command, stdout=sink, stderr=sink))
            return started[-1]

        monkeypatch.setattr(demo, "_start", start)
        return started

    return swap


def _run(monkeypatch: pytest.MonkeyPatch, output: Path) -> int:
    monkeypatch.setattr(sys, "argv", ["demo", "-o", str(output)])
    return demo.main()


def test_each_sample_leaves_a_mask_an_overlay_and_json(
    stand_in: Swap, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    started = stand_in(STAND_IN, "200")
    assert _run(monkeypatch, tmp_path / "deep" / "out") == 0
    stems = [sample.path.stem for sample in demo.bundled_samples()]
    wanted = {f"{stem}{suffix}" for stem in stems for suffix in ("_mask.png", "_overlay.png", ".json")}
    assert {path.name for path in (tmp_path / "deep" / "out").iterdir()} == wanted
    assert json.loads((tmp_path / "deep" / "out" / f"{stems[0]}.json").read_text())["status"] == "found"
    shown = capsys.readouterr().out
    assert "malignant 0.75" in shown
    assert "make serve" in shown
    assert started[0].poll() is not None


def test_a_refused_sample_fails_the_demo_and_shows_the_problem(
    stand_in: Swap, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    started = stand_in(STAND_IN, "422")
    assert _run(monkeypatch, tmp_path) == 1
    shown = capsys.readouterr().err
    assert "status 422" in shown
    assert "made_up_problem" in shown
    assert started[0].poll() is not None


def test_a_service_that_dies_is_reported_with_its_log(
    stand_in: Swap, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stand_in(DYING)
    assert _run(monkeypatch, tmp_path) == 1
    shown = capsys.readouterr().err
    assert "ended with status 3" in shown
    assert "found a manifest that is broken" in shown


def test_a_service_that_never_gets_ready_is_stopped_and_reported(stand_in: Swap) -> None:
    started = stand_in(DEAF)
    with pytest.raises(demo.DemoError, match=r"not ready after 1 s(.|\n)*still loading"), demo.running_service(1.0):
        pass
    assert started[0].poll() is not None


def test_a_service_that_takes_long_is_waited_for_and_the_reader_told(
    stand_in: Swap, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "PATIENCE", 0.2)
    stand_in(f"import time; time.sleep(1)\n{STAND_IN}", "200")
    with demo.running_service():
        pass
    assert capsys.readouterr().err == "The service is still starting after 0.2 s ...\n"


def test_a_service_that_had_printed_nothing_is_said_to_have(stand_in: Swap) -> None:
    stand_in("import sys; sys.exit(3)")
    with pytest.raises(demo.DemoError, match="printed nothing yet"), demo.running_service():
        pass


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_demo_that_is_stopped_ends_its_child_and_takes_no_second_signal(
    stand_in: Swap, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: signal.Signals
) -> None:
    def stopped_twice(*_: object) -> None:
        try:
            signal.raise_signal(number)
        finally:
            signal.raise_signal(number)

    started, before = stand_in(DEAF), signal.getsignal(number)
    monkeypatch.setattr(demo, "_wait_until_ready", stopped_twice)
    with pytest.raises(SystemExit) as caught:
        _run(monkeypatch, tmp_path)
    assert caught.value.code == 128 + number
    assert started[0].poll() is not None
    assert signal.getsignal(number) == before


def test_a_service_that_ignores_the_polite_signal_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "STOP_WITHIN", 0.3)
    stubborn = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", stubborn], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        demo._stop(process)
        assert process.returncode == -9


def test_where_nothing_was_classified_the_table_has_a_dash() -> None:
    assert demo._best_class({"scores": None, "reason": "nothing found"}) == "-"
    assert demo._best_class(None) == "-"


def test_the_real_service_is_started_in_a_data_directory_of_its_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: dict[str, object] = {}

    def record(command: list[str], **options: object) -> None:
        seen.update(options, command=command)

    monkeypatch.setattr(subprocess, "Popen", record)
    demo._start(tmp_path / "data", tmp_path / "log", 4321)
    assert seen["command"] == [sys.executable, "-m", "service.cli", "serve", "--host", "127.0.0.1", "--port", "4321"]
    assert seen["env"]["BREAST_CASCADE_DATA_DIR"] == str(tmp_path / "data")  # type: ignore[index]
