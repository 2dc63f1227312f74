"""What the service adds to its networks.

    python benchmarks/overhead.py [--images DIR] [--pipeline NAME] [--rounds N] [--json]

Prints, from one run, the median time of ``POST /segment?format=mask`` over HTTP beside that of the network runs
really made for the same pictures: counted per answer from ``Server-Timing``, then made once more, bare, in this
process with the same sessions, batch sizes and threads. The client is Python's plainest, as its own time is not the
service's. Both are timed in turn, picture by picture, so that a busy machine slows both. Exit status 1 when the
service adds more than 25 % and more than 10 ms.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from service.manifest import StageSpec, read_manifest, verified_weights  # noqa: E402 - before any installed copy
from service.network import ON_CPU, Device, OnnxNetwork  # noqa: E402
from service.settings import Settings, read_settings  # noqa: E402

ALLOWED_SHARE, ALLOWED_MS = 0.25, 10.0
READY_WITHIN_S = 60.0
WARM_UP_ROUNDS = 3
NETWORK = "network-"


@dataclass(frozen=True)
class Picture:
    """One picture and the network runs its answer took: (stage, batch size) each."""

    content: bytes
    pipeline: str
    runs: tuple[tuple[str, int], ...]


@dataclass
class Series:
    """Milliseconds by part, one entry per request."""

    parts: dict[str, list[float]] = field(default_factory=dict)

    def add(self, **milliseconds: float) -> None:
        """One request's."""
        for name, value in milliseconds.items():
            self.parts.setdefault(name, []).append(value)

    def median(self, name: str) -> float:
        """Over all requests."""
        return statistics.median(self.parts[name])


@dataclass(frozen=True)
class Reply:
    """What came back."""

    content: bytes
    timing: str


class Client:
    """A connection that is kept open."""

    def __init__(self, url: str) -> None:
        address = urlsplit(url)
        self._connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=READY_WITHIN_S)

    def post(self, content: bytes, pipeline: str, form: str) -> Reply:
        """One raw-body request."""
        query = urlencode({"pipeline": pipeline, "format": form})
        self._connection.request("POST", f"/segment?{query}", content)
        answer = self._connection.getresponse()
        body = answer.read()
        if answer.status != httpx.codes.OK:
            raise SystemExit(f"Status {answer.status}: {body[:400]!r}")
        return Reply(body, answer.headers["server-timing"])


@contextmanager
def service() -> Iterator[Client]:
    """A client of a service in a process of its own."""
    command = [sys.executable, "-m", "service.cli", "serve", "--port", "0"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    ) as process:
        try:
            url = re.search(r"http://\S+", process.stdout.readline() if process.stdout else "")
            if url is None:
                raise SystemExit("The service did not start; see `breast-cascade doctor`.")
            wait_ready(url[0])
            yield Client(url[0])
        finally:
            process.terminate()


def wait_ready(url: str) -> None:
    """Return once every pipeline is loaded."""
    end = time.monotonic() + READY_WITHIN_S
    while httpx.get(f"{url}/health/ready", trust_env=False).status_code != httpx.codes.OK:
        if time.monotonic() > end:
            raise SystemExit(f"The service was not ready within {READY_WITHIN_S:g} s.")
        time.sleep(0.1)


def server_timing(reply: Reply) -> dict[str, tuple[float, str]]:
    """Part to (milliseconds, description)."""
    found = re.findall(r'([\w-]+);dur=([\d.]+)(?:;desc="([^"]*)")?', reply.timing)
    return {name: (float(duration), text) for name, duration, text in found}


def examined(client: Client, content: bytes, pipeline: str) -> Picture:
    """The picture with the runs its answer says it took."""
    reply = client.post(content, pipeline, "json")
    timing = server_timing(reply)
    stages = {stage["name"]: stage for stage in json.loads(reply.content)["stages"]}
    counted = {name.removeprefix(NETWORK): int(text) for name, (_, text) in timing.items() if name.startswith(NETWORK)}
    runs = [(name, size) for name, count in counted.items() for size in batch_sizes(stages[name], count)]
    return Picture(content, pipeline, tuple(runs))


def batch_sizes(stage: dict[str, Any], count: int) -> list[int]:
    """Batch sizes of the ``count`` runs of one stage on a CPU: its regions in batches, each followed by its widened."""
    if count == 0:
        return []
    regions = stage["regions"] if stage["kind"] != "detect" else [{}]
    batches = [regions[at : at + ON_CPU] for at in range(0, len(regions), ON_CPU)]
    wide = [sum(one.get("widened", False) for one in batch) for batch in batches]
    sizes = [size for batch, again in zip(batches, wide, strict=True) for size in (len(batch), again) if size]
    if len(sizes) != count:
        raise SystemExit(f"Stage {stage['name']} made {count} runs; its regions explain {len(sizes)}.")
    return sizes


class Bare:
    """The networks of the pipelines, and nothing around them."""

    def __init__(self, settings: Settings) -> None:
        self._device = Device.parse(settings.device, settings.network_threads)
        self._folders = {
            path.parent.parent.name: path.parent
            for root in settings.pipeline_roots
            for path in sorted(root.glob("*/*/manifest.yaml"))
        }
        self._networks: dict[tuple[str, str], OnnxNetwork] = {}

    def run(self, picture: Picture) -> float:
        """Milliseconds of the picture's network runs, one after the other."""
        prepared = [(self._network(picture.pipeline, stage), size) for stage, size in picture.runs]
        feeds = [(network, feed(network, size)) for network, size in prepared]
        start = time.perf_counter()
        for network, inputs in feeds:
            network.run(inputs)
        return (time.perf_counter() - start) * 1000

    def _network(self, pipeline: str, stage: str) -> OnnxNetwork:
        if (pipeline, stage) not in self._networks:
            spec = read_manifest(self._folders[pipeline]).stage(stage)
            if spec is None or "network" not in spec.weights:
                raise SystemExit(f"Stage {stage} has no single network to time.")
            self._networks[pipeline, stage] = self._open(self._folders[pipeline], spec)
        return self._networks[pipeline, stage]

    def _open(self, folder: Path, spec: StageSpec) -> OnnxNetwork:
        return OnnxNetwork(verified_weights(folder, spec.weights["network"]), spec.name, self._device)


def feed(network: OnnxNetwork, size: int) -> dict[str, Any]:
    """Noise in the shape of a batch."""
    noise = np.random.default_rng(0)
    return {
        name: noise.random((size, *(axis or 1 for axis in shape[1:])), np.float32)
        for name, shape in network.inputs.items()
    }


def measure(client: Client, bare: Bare, pictures: list[Picture], rounds: int) -> Series:
    """Requests and bare runs in turn; the first rounds only warm both."""
    series = Series()
    for number in range(WARM_UP_ROUNDS + rounds):
        kept = series if number >= WARM_UP_ROUNDS else Series()
        for picture in pictures:
            start = time.perf_counter()
            reply = client.post(picture.content, picture.pipeline, "mask")
            request = (time.perf_counter() - start) * 1000
            networks = bare.run(picture)
            parts = {name: duration for name, (duration, _) in server_timing(reply).items()}
            kept.add(
                request=request,
                bare=networks,
                overhead=request - networks,
                decode=parts["decode"],
                around=parts["stages"] - parts["networks"],
                slower=parts["networks"] - networks,
                encode=parts["encode"],
                http=request - parts["decode"] - parts["stages"] - parts["encode"],
            )
    return series


LINES = {
    "decode": "decode the picture",
    "around": "stages without networks (crop, resize, paste, measure)",
    "slower": "networks inside the service, less the same runs bare",
    "encode": "encode the mask",
    "http": "HTTP, waiting for a slot, the rest",
}


def report(series: Series, pictures: list[Picture]) -> dict[str, float]:
    """Print the medians; give them."""
    request, bare = series.median("request"), series.median("bare")
    runs = sum(len(picture.runs) for picture in pictures)
    print(f"{len(pictures)} pictures, {runs} network runs, {len(series.parts['request'])} requests; medians in ms\n")
    print(f"{request:9.2f}  POST /segment?format=mask over HTTP")
    print(f"{bare:9.2f}  the same network runs, bare")
    print(f"{request - bare:9.2f}  added: {100 * (request - bare) / bare:.0f} %, of which, each part's own median:")
    for name, text in LINES.items():
        print(f"{series.median(name):17.2f}  {text}")
    return {name: series.median(name) for name in series.parts}


def chosen(arguments: argparse.Namespace) -> list[tuple[bytes, str]]:
    """(content, pipeline) of what is to be sent: a folder's files, else the bundled samples."""
    if arguments.images is not None:
        files = sorted(path for path in arguments.images.iterdir() if path.is_file())
        return [(path.read_bytes(), arguments.pipeline) for path in files]
    samples = ROOT / "service" / "samples"
    listing = json.loads((samples / "index.json").read_text(encoding="utf-8"))
    return [((samples / one["name"]).read_bytes(), arguments.pipeline or one["pipeline"]) for one in listing]


def main() -> int:
    """Command line; the exit status is 1 when the limit is broken."""
    parser = argparse.ArgumentParser(description="What the service adds to its networks.")
    parser.add_argument("--images", type=Path, help="folder of pictures (default: the bundled samples)")
    parser.add_argument("--pipeline", help="needed with --images (default: as the samples' index says)")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--json", action="store_true", help="print the medians as one JSON line too")
    arguments = parser.parse_args()
    if arguments.images is not None and arguments.pipeline is None:
        parser.error("--images needs --pipeline")
    with service() as client:
        pictures = [examined(client, content, pipeline) for content, pipeline in chosen(arguments)]
        medians = report(measure(client, Bare(read_settings()), pictures, arguments.rounds), pictures)
    if arguments.json:
        print(json.dumps(medians))
    added = medians["request"] - medians["bare"]
    within = added <= max(ALLOWED_MS, ALLOWED_SHARE * medians["bare"])
    print(f"\n{'Within' if within else 'BEYOND'} the limit: 25 % or {ALLOWED_MS:g} ms, whichever is more.")
    return 0 if within else 1


if __name__ == "__main__":
    sys.exit(main())
