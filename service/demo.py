"""The first command a newcomer runs: start the service, send it the bundled phantoms over HTTP, keep what comes back.

    python -m service.demo -o demo-out

Everything goes through the public door, as any client would; nothing of the engine is touched here. Exit status 0 only
if every sample was answered.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

from service.errors import BreastCascadeError, SetupError

SAMPLES = Path(__file__).parent / "samples"
HOST = "127.0.0.1"
READY_WITHIN = 120.0  # seconds: a busy computer may take far longer than the 30 s that two free cores need
PATIENCE = 30.0  # seconds after which a reader wants to hear that something still happens
ANSWER_WITHIN = 60.0  # seconds
STOP_WITHIN = 10.0  # seconds
LOG_TAIL = 40  # lines of the service's log shown when it fails
PROBLEM_SHOWN = 600  # characters of a problem document shown
TABLE_WIDTH = 100  # characters
READY = "one that answers /health/ready with 200"
STOPPED_BY = (signal.SIGTERM, signal.SIGINT)
OUTPUTS = {"mask": "_mask.png", "overlay": "_overlay.png", "json": ".json"}


class DemoError(SetupError):
    """The demo could not be carried through; the installation is at fault."""

    code = "demo_failed"


@dataclass(frozen=True)
class Sample:
    """One bundled picture as ``index.json`` lists it."""

    name: str
    pipeline: str
    title: str

    @property
    def path(self) -> Path:
        """Where the picture lies."""
        return SAMPLES / self.name


def bundled_samples() -> list[Sample]:
    """All bundled samples in the order of their index."""
    entries = json.loads((SAMPLES / "index.json").read_text(encoding="utf-8"))
    return [Sample(**entry) for entry in entries]


# ---- the service as a child ----------------------------------------------------------------------------------------


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


@contextmanager
def running_service(ready_within: float = READY_WITHIN) -> Iterator[httpx.Client]:
    """A client of a service started for this block alone, in a data directory that is gone afterwards.

    Raises DemoError with the end of the service's log when it ends by itself or is not ready within ``ready_within``
    seconds, and in the place of any httpx error inside the block. Says so on stderr when it takes long.
    """
    with tempfile.TemporaryDirectory(prefix="breast-cascade-demo-") as folder:
        log = Path(folder) / "service.log"
        port = _free_port()
        process = _start(Path(folder) / "data", log, port)
        try:
            # trust_env off: a proxy from the environment has no business between two local processes.
            with httpx.Client(base_url=f"http://{HOST}:{port}", timeout=ANSWER_WITHIN, trust_env=False) as client:
                _wait_until_ready(process, client, log, ready_within)
                yield client
        except httpx.HTTPError as error:
            raise _failure(str(error), "an answer with status 200", log) from error
        finally:
            _stop(process)


def _start(data: Path, log: Path, port: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "service.cli", "serve", "--host", HOST, "--port", str(port)]
    environment = {**os.environ, "BREAST_CASCADE_DATA_DIR": str(data)}
    with log.open("wb") as sink:
        return subprocess.Popen(command, stdout=sink, stderr=subprocess.STDOUT, env=environment)


def _wait_until_ready(process: subprocess.Popen[bytes], client: httpx.Client, log: Path, seconds: float) -> None:
    start, patient = time.monotonic(), True
    while (waited := time.monotonic() - start) < seconds:
        if process.poll() is not None:
            raise _failure(f"a service that ended with status {process.returncode}", READY, log)
        if _is_ready(client):
            return
        if patient and waited > PATIENCE:
            patient = False
            _stderr().print(f"The service is still starting after {PATIENCE:g} s ...")
        time.sleep(0.1)
    raise _failure(f"a service that was not ready after {seconds:g} s", READY, log)


def _is_ready(client: httpx.Client) -> bool:
    try:
        return client.get("/health/ready", timeout=2).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def _failure(found: str, wanted: str, log: Path) -> DemoError:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_TAIL:]
    said = "The service's log ends with:\n" + "\n".join(lines) if lines else "The service had printed nothing yet."
    return DemoError(found, wanted, said)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_WITHIN)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


# ---- one sample ----------------------------------------------------------------------------------------------------


def segment(client: httpx.Client, sample: Sample, output: Path) -> Mapping[str, Any]:
    """Send one sample, write its mask, overlay and JSON into ``output``, give the JSON answer."""
    answers = {kind: _post(client, sample, kind) for kind in OUTPUTS}
    for kind, suffix in OUTPUTS.items():
        (output / f"{sample.path.stem}{suffix}").write_bytes(answers[kind])
    document: Mapping[str, Any] = json.loads(answers["json"])
    return document


def _post(client: httpx.Client, sample: Sample, kind: str) -> bytes:
    with sample.path.open("rb") as picture:
        files = {"file": (sample.name, picture, "image/png")}
        answer = client.post("/segment", files=files, data={"pipeline": sample.pipeline, "format": kind})
    if answer.status_code != httpx.codes.OK:
        found = f"status {answer.status_code} for {sample.name} as {kind}: {answer.text[:PROBLEM_SHOWN]}"
        raise httpx.HTTPStatusError(found, request=answer.request, response=answer)
    return answer.content


# ---- what the reader sees ------------------------------------------------------------------------------------------


def _table(rows: list[tuple[Sample, Mapping[str, Any]]]) -> Table:
    table = Table(title="Bundled phantoms (drawn, no patients), segmented over HTTP")
    for heading in ("pipeline", "sample", "status", "findings", "class"):
        table.add_column(heading)
    table.add_column("ms", justify="right")
    for sample, answer in rows:
        table.add_row(*_row(sample, answer))
    return table


def _row(sample: Sample, answer: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        f"{answer['pipeline']} {answer['version']}",
        sample.path.stem,
        answer["status"],
        str(len(answer["findings"])),
        _best_class(answer.get("classification")),
        f"{answer['timings_ms']['total']:.0f}",
    )


def _best_class(classification: Mapping[str, Any] | None) -> str:
    """The label with the highest score, or a dash where nothing was classified."""
    scores = (classification or {}).get("scores")
    if not scores:
        return "-"
    label = max(scores, key=scores.__getitem__)
    return f"{label} {scores[label]:.2f}"


def _how_to_go_on(output: Path) -> str:
    return (
        f"Masks, overlays and JSON lie in {output}/. Research use only, not a medical device.\n"
        "Go on with:  make serve   and open http://127.0.0.1:8000 to try pictures of your own."
    )


def _console() -> Console:
    """At least as wide as the table: where there is no terminal, rich would cut names at 80 columns."""
    return Console(highlight=False, soft_wrap=True, width=max(Console().width, TABLE_WIDTH))


def _stderr() -> Console:
    return Console(stderr=True, highlight=False, markup=False, soft_wrap=True)


def run(output: Path, console: Console) -> None:
    """Start, send, write, report. Raises DemoError when anything of it fails."""
    output.mkdir(parents=True, exist_ok=True)
    console.print("Starting the service ...")
    with running_service() as client:
        rows = [(sample, segment(client, sample, output)) for sample in bundled_samples()]
    console.print(_table(rows))
    console.print(_how_to_go_on(output))


@contextmanager
def _tidy_when_stopped() -> Iterator[None]:
    """Inside, SIGTERM and SIGINT unwind the stack, so that the child ends and its folder goes; a second is ignored."""
    before = {number: signal.signal(number, _unwind) for number in STOPPED_BY}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _unwind(number: int, _: FrameType | None) -> None:
    for one in STOPPED_BY:
        signal.signal(one, signal.SIG_IGN)
    # As a shell reports a command that a signal ended.
    raise SystemExit(128 + number)


def main() -> int:
    """Command line; the exit status is 0 only if every sample was answered."""
    parser = argparse.ArgumentParser(description="Segment the bundled phantoms over HTTP.")
    parser.add_argument("-o", "--output", type=Path, default=Path("demo-out"), metavar="DIR")
    try:
        with _tidy_when_stopped():
            run(parser.parse_args().output, _console())
    except BreastCascadeError as error:
        _stderr().print(f"The demo failed. {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
