"""Chaos: jobs while everything around them is killed at random. Prints what was lost, which must be nothing.

    python -m tests.chaos.run [--items 300] [--seed 1] [--broker redis|embedded]

Status 1 when an item has no end, a result is missing or differs from the undisturbed one, or something is left behind.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from service.errors import CapacityError
from tests import tiny_pipeline
from tests.chaos import house as houses
from tests.chaos.faults import Faults
from tests.chaos.house import House
from tests.chaos.orders import FINAL_ITEMS, File, Told, accepted, check_house, ended, pictures, told
from tests.service.jobs.brokers import Broker, redis_server
from tests.service.jobs.pictures import volume

CREW = 2
ITEMS_OF_A_JOB = 20
# One in so many items is a volume, of so many slices: long enough to be hit in the middle.
EVERY, SLICES = 5, 600
# Between two faults, in seconds: one worker alone, started again ever later, needs more time to come to anything.
PAUSE = {"redis": (0.5, 3.0), "embedded": (3.0, 12.0)}
LOOK_EVERY_S = 0.1


@dataclass(frozen=True)
class Report:
    """What a run came to.

    Attributes:
        lost: items without a final state.
        wrong: jobs whose results are not those of the undisturbed run.
        left: files and processes that nobody looks after.
    """

    seed: int
    broker: str
    items: int
    jobs: int
    faults: dict[str, int]
    lost: int
    wrong: int
    left: list[str]
    executions: int
    duplicated: int
    failed: int
    undisturbed_s: float
    drain_s: float

    @property
    def status(self) -> int:
        """Of the process."""
        return int(bool(self.lost or self.wrong or self.left or self.failed))


def main() -> None:
    """Run and report."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.run", description=__doc__)
    parser.add_argument("--items", type=int, default=300)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--broker", choices=["redis", "embedded"], default="redis")
    given = parser.parse_args()
    print(f"seed {given.seed}", flush=True)  # noqa: T201
    with tempfile.TemporaryDirectory(prefix="breast-cascade-chaos-") as folder:
        report = run(Path(folder), given.items, given.seed, given.broker)
        if report.status:
            kept = shutil.copytree(Path(folder) / "house" / "logs", f"chaos-logs-{given.seed}", dirs_exist_ok=True)
            print(f"logs in {kept}", file=sys.stderr)  # noqa: T201
    print(json.dumps({**vars(report), "machine": _machine()}, indent=2))  # noqa: T201
    sys.exit(report.status)


def run(folder: Path, items: int, seed: int, broker: str) -> Report:
    """One undisturbed run of every job, then all of them again among faults."""
    chance = random.Random(seed)
    jobs = [_files(start, min(ITEMS_OF_A_JOB, items - start)) for start in range(0, items, ITEMS_OF_A_JOB)]
    with _opened(folder, broker) as (house, redis):
        undisturbed, calm_s = _undisturbed(house, jobs)
        faults = Faults(house, redis, chance)
        start = time.monotonic()
        ids = _disturbed(house, jobs, faults, PAUSE[broker])
        drain_s = time.monotonic() - start
        rows = [row for job_id in ids for row in house.rows.items(job_id, "", 1000, 0)]
        executions = sum(row.attempts for row in rows)
        return Report(
            seed=seed,
            broker=broker,
            items=len(rows),
            jobs=len(ids),
            faults=dict(Counter(faults.done)),
            lost=sum(row.state not in FINAL_ITEMS for row in rows),
            wrong=sum(told(house, one) != right for one, right in zip(ids, undisturbed, strict=True)),
            left=_left(house),
            executions=executions,
            duplicated=executions - len(rows),
            failed=sum(row.state == "failed" for row in rows),
            undisturbed_s=round(calm_s, 1),
            drain_s=round(drain_s, 1),
        )


@contextmanager
def _opened(folder: Path, broker: str) -> Iterator[tuple[House, Broker | None]]:
    pipelines = tiny_pipeline.write(folder / "pipelines")
    with ExitStack() as closing:
        if broker == "embedded":
            yield closing.enter_context(houses.house(folder / "house", pipelines)), None
            return
        (folder / "redis").mkdir()
        redis = closing.enter_context(redis_server(folder / "redis"))
        yield closing.enter_context(houses.house(folder / "house", pipelines, CREW, broker_url=redis.url)), redis


def _files(start: int, count: int) -> list[File]:
    drawn = pictures(start + count)[start:]
    slices = volume(SLICES)
    return [("volume.nii", slices) if n % EVERY == 2 else one for n, one in enumerate(drawn)]


def _undisturbed(house: House, jobs: Sequence[Sequence[File]]) -> tuple[list[Told], float]:
    start = time.monotonic()
    ids = [accepted(house, files) for files in jobs]
    for job_id in ids:
        ended(house, job_id)
        assert house.rows.job(job_id, "").state == "succeeded", "an item fails though nobody disturbs it"
    return [told(house, job_id) for job_id in ids], time.monotonic() - start


def _disturbed(house: House, jobs: Sequence[Sequence[File]], faults: Faults, pause: tuple[float, float]) -> list[str]:
    """Post the jobs one after the other while faults happen, until all have ended; their ids."""
    waiting, ids = [(f"key {n}", files) for n, files in enumerate(jobs)], list[str]()
    end = time.monotonic() + houses.PATIENCE_S * 10
    while waiting or not all(_has_ended(house, one) for one in ids):
        if waiting and (job_id := _posted(house, *waiting[0])):
            ids.append(job_id)
            del waiting[0]
        if time.monotonic() > end:
            break
        faults.strike()
        faults.mend_during(faults.chance.uniform(*pause), LOOK_EVERY_S)
    faults.mend_all()
    return ids


def _posted(house: House, key: str, files: Sequence[File]) -> str | None:
    """As a client does that repeats its request under one key until it has an answer."""
    try:
        return accepted(house, files, key)
    except (httpx.TransportError, RuntimeError, AssertionError):
        return None


def _has_ended(house: House, job_id: str) -> bool:
    try:
        return house.rows.job(job_id, "").state in ("succeeded", "partial", "failed")
    except CapacityError:
        return False


def _left(house: House) -> list[str]:
    try:
        check_house(house)
    except AssertionError as error:
        return [str(error)[:2000]]
    return []


def _machine() -> str:
    names = [
        line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "name" in line
    ]
    return f"{os.cpu_count()} cores, {next(iter(names), 'unknown')}, load {os.getloadavg()[1]:.1f}"


if __name__ == "__main__":
    main()
