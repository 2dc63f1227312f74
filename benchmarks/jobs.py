"""What a second worker is worth, and what a worker does beside its networks.

    python benchmarks/jobs.py [--items N] [--rounds N] [--json]

The same pictures of 0.3 megapixels, through the bundled ultrasound pipeline, are worked off by one worker process and
by two, in turn, one thread each. Each clock starts once every worker has done some items and is idle again. Printed
are, from one run of this script: how much faster two are, what an item then takes of the processor, and the share of
its time that one worker does not spend in networks. Exit status 1 when a bound is broken.

Database, broker and store are those of the environment, which must be empty, or a folder of this run's own.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from service.engine import BUNDLED  # noqa: E402 - the tree before any installed copy
from service.jobs.desk import Desk  # noqa: E402
from service.jobs.item_outputs import TIMINGS  # noqa: E402
from service.jobs.launch import ONE_THREAD, environment  # noqa: E402
from service.jobs.model import FINAL_JOB_STATES, JobRow, NewItem, NewJob  # noqa: E402
from service.jobs.pinned import weights_digest  # noqa: E402
from service.jobs.rows import Rows  # noqa: E402
from service.jobs.store import read  # noqa: E402
from service.manifest import read_manifest  # noqa: E402
from service.settings import Settings, read_settings  # noqa: E402

FASTER, SHARE = 1.6, 0.35
PIPELINE = "ultrasound"
WIDTH, HEIGHT = 640, 480
# Items that every worker has done before a clock starts.
WARM = 2
PATIENCE_S = 300.0
TICKS = os.sysconf("SC_CLK_TCK")
LINES = {
    "networks": "networks",
    "decode": "read and decode the picture",
    "around": "stages without networks (crop, resize, paste, measure)",
    "encode": "encode the outputs",
    "rest": "claim, store, commit, tell",
}


@dataclass(frozen=True)
class Run:
    """One queue worked off: seconds of the clock and of the workers' processors, and those of the clock by part."""

    items: int
    clock: float
    processor: float
    parts: dict[str, float]


def pictures(number: int) -> list[bytes]:
    """So many PNGs of 0.3 megapixels: the bundled phantoms, each a little further to the side."""
    paths = sorted((ROOT / "service" / "samples").glob("ultrasound_*.png"))
    drawn = [cv2.resize(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), (WIDTH, HEIGHT)) for path in paths]
    moved = (np.roll(drawn[n % len(drawn)], n, axis=1) for n in range(number))
    return [cv2.imencode(".png", one)[1].tobytes() for one in moved]


def until(condition: Callable[[], object]) -> None:
    """Wait for it, looking a few times a second."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > end:
            raise SystemExit(f"Waited in vain for {PATIENCE_S:g} s; see `breast-cascade doctor`.")
        time.sleep(0.1)


@contextmanager
def settings_here() -> Iterator[Settings]:
    """Those of the environment, with one thread, no embedded worker and a data folder that is removed in the end."""
    with tempfile.TemporaryDirectory() as folder:
        given = {"data_dir": Path(folder), "device": "cpu", "threads": 1, "workers_embedded": 0, "min_free_bytes": 0}
        yield read_settings().model_copy(update=given)


@contextmanager
def started(settings: Settings, *command: str) -> Iterator[subprocess.Popen[str]]:
    """A Python process with these settings; killed in the end."""
    process = subprocess.Popen(
        [sys.executable, *command],
        env=environment(settings) | ONE_THREAD,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@contextmanager
def workers(settings: Settings, rows: Rows, number: int) -> Iterator[list[int]]:
    """Process ids of so many workers, idle; they end in peace, so that their rows do, too."""
    with ExitStack() as stack:
        processes = [stack.enter_context(started(settings, "-m", "service.jobs")) for _ in range(number)]
        until(lambda: idle(rows) == number)
        yield [one.pid for one in processes]
        for one in processes:
            one.terminate()
        for one in processes:
            one.wait()


def idle(rows: Rows) -> int:
    """Workers that wait for items."""
    return sum(not one.busy for one in rows.workers())


def processor(pids: list[int]) -> float:
    """Seconds that these processes and all their descendants have taken of the processor."""
    lines: dict[int, list[str]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            lines[int(path.parent.name)] = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
    found = list(pids)
    for pid in found:
        found += [child for child, line in lines.items() if int(line[1]) == pid]
    return sum(int(lines[pid][at]) for pid in found if pid in lines for at in range(11, 15)) / TICKS


def new_job() -> NewJob:
    """A job of nobody, for JSON and mask."""
    manifest = read_manifest(max((BUNDLED / PIPELINE).iterdir()))
    version, weights = manifest.version, weights_digest(manifest)
    return NewJob(uuid.uuid4().hex, "", PIPELINE, version, weights, ("json", "mask"), {}, uuid.uuid4().hex)


def send(desk: Desk, contents: list[bytes]) -> NewJob:
    """A job, as the service takes it in once it has received its files."""
    job = new_job()
    keys = [f"jobs/{job.id}/{n}/input" for n in range(len(contents))]
    stored = [desk.store.put(key, content) for key, content in zip(keys, contents, strict=True)]
    items = [
        NewItem(f"{n}.png", "image", key, one.sha256, one.bytes)
        for n, (key, one) in enumerate(zip(keys, stored, strict=True))
    ]
    desk.rows.accept(job, items)
    desk.publisher.wake(job.id, job.device_class)
    return job


def ended(desk: Desk, job: NewJob) -> JobRow:
    """The job's row, once it has one that is final."""
    until(lambda: desk.rows.job(job.id, "").state in FINAL_JOB_STATES)
    row = desk.rows.job(job.id, "")
    if row.state != "succeeded":
        raise SystemExit(f"A job ended as {row.state}, {row.failed} of {row.total} items failed.")
    return row


def warm(desk: Desk, number: int) -> None:
    """Let every worker do some items."""
    while min(one.finished for one in desk.rows.workers()) < WARM:
        ended(desk, send(desk, pictures(WARM * number)))
        until(lambda: idle(desk.rows) == number)


def measured(desk: Desk, settings: Settings, number: int, contents: list[bytes]) -> Run:
    """The queue worked off by so many workers, each started anew."""
    with workers(settings, desk.rows, number) as pids:
        warm(desk, number)
        before = processor(pids)
        job = send(desk, contents)
        row = ended(desk, job)
        until(lambda: idle(desk.rows) == number)
        taken = processor(pids) - before
    clock = (row.finished - row.created).total_seconds()  # type: ignore[operator]
    return Run(len(contents), clock, taken, parts(desk, job, len(contents), clock * number))


def parts(desk: Desk, job: NewJob, number: int, clock: float) -> dict[str, float]:
    """Seconds of all items by part; ``rest`` is what their own timings do not know."""
    items = desk.rows.items(job.id, "", number, 0)
    files = [next(file for file in item.files if file.name.endswith(f"/{TIMINGS}")) for item in items]
    timings = [json.loads(read(desk.store, file)) for file in files]
    networks = sum(stage["network_ms"] for one in timings for stage in one["by_stage"]) / 1000
    known = {name: sum(one[name] for one in timings) / 1000 for name in ("decode", "stages", "encode")}
    return {
        "networks": networks,
        "decode": known["decode"],
        "around": known["stages"] - networks,
        "encode": known["encode"],
        "rest": clock - sum(known.values()),
    }


def figures(pairs: list[tuple[Run, Run]]) -> dict[str, float]:
    """Medians of ratios; each pair was measured one after the other."""
    return {
        "two_workers_faster": statistics.median(one.clock / two.clock for one, two in pairs),
        "processor_per_item_ratio": statistics.median(two.processor / one.processor for one, two in pairs),
        "share_outside_networks": statistics.median(1 - one.parts["networks"] / one.clock for one, _ in pairs),
        "milliseconds_an_item": statistics.median(1000 * one.clock / one.items for one, _ in pairs),
    }


def report(pairs: list[tuple[Run, Run]], found: dict[str, float]) -> None:
    """Print what was measured."""
    one = pairs[-1][0]
    print(
        f"{one.items} pictures of {WIDTH} x {HEIGHT}, one worker: {found['milliseconds_an_item']:.1f} ms each, of which"
    )
    for name, text in LINES.items():
        share = statistics.median(run.parts[name] / run.items for run, _ in pairs)
        print(f"{1000 * share:12.2f}  {text}")
    print(f"\nshare outside of networks:       {found['share_outside_networks']:.3f} (wanted at most {SHARE})")
    print(f"two workers, times as fast:      {found['two_workers_faster']:.2f} (wanted at least {FASTER})")
    print(f"processor an item, two to one:   {found['processor_per_item_ratio']:.2f}")


def within(found: dict[str, float]) -> bool:
    """Whether every bound is kept."""
    return found["two_workers_faster"] >= FASTER and found["share_outside_networks"] <= SHARE


def main() -> int:
    """Command line; the exit status is 1 when a bound is broken."""
    parser = argparse.ArgumentParser(description="What a second worker is worth, what one does beside its networks.")
    parser.add_argument("--items", type=int, default=120)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print the figures as one JSON line too")
    arguments = parser.parse_args()
    contents = pictures(arguments.items)
    with settings_here() as settings, closing(Desk(settings)) as desk:
        pairs = [
            (measured(desk, settings, 1, contents), measured(desk, settings, 2, contents))
            for _ in range(arguments.rounds)
        ]
    found = figures(pairs)
    report(pairs, found)
    if arguments.json:
        print(json.dumps(found))
    print(f"\n{'Within' if within(found) else 'BEYOND'} the bounds.")
    return 0 if within(found) else 1


if __name__ == "__main__":
    sys.exit(main())
