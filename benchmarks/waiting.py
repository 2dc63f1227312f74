"""What a long queue of jobs costs those who ask about it, and the broker.

    python benchmarks/waiting.py [--items N] [--seconds S] [--json]

A service with many items waiting, in one large job and many small ones, and two workers that are stopped (SIGSTOP), so
that nobody takes a message away. A few more jobs are sent over HTTP and then questions asked. Printed are the times of
the answers and the most messages that the broker held meanwhile. Exit status 1 when 19 of 20 answers to a question
take longer than 50 ms, or when there were more messages than a handful.

Database, broker and store are those of the environment, which must be empty, or a folder of this run's own.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import redis

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.jobs import new_job, pictures, settings_here, started, until, workers  # noqa: E402
from service.jobs.broker import NAME, folders_of  # noqa: E402 - the tree before any installed copy
from service.jobs.machine import open_rows  # noqa: E402
from service.jobs.model import NewItem  # noqa: E402
from service.jobs.rows import Rows  # noqa: E402
from service.settings import Settings  # noqa: E402

ANSWER_MS, HANDFUL = 50.0, 5
WORKERS, SMALL_JOBS, POSTS = 2, 50, 20
ASKED, PAGE = 40, 1000
LOOK_EVERY_S = 0.2


def wait_in_line(rows: Rows, number: int) -> str:
    """The id of a job of so many items, of which rows alone know."""
    job = new_job()
    rows.accept(job, [NewItem(f"{n}.png", "image", f"jobs/{job.id}/{n}/input", "", 0) for n in range(number)])
    return job.id


def line_up(rows: Rows, number: int) -> str:
    """Let so many items wait: one in ten in small jobs, the others in a large one, whose id is returned."""
    small = max(1, number // 10 // SMALL_JOBS)
    large = wait_in_line(rows, number - small * SMALL_JOBS)
    for _ in range(SMALL_JOBS):
        wait_in_line(rows, small)
    return large


@contextmanager
def stopped(pids: list[int]) -> Iterator[None]:
    """Processes that stand still meanwhile."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


@contextmanager
def service(settings: Settings) -> Iterator[httpx.Client]:
    """A client of a service in a process of its own, ready."""
    with started(settings, "-m", "service.cli", "serve", "--port", "0") as process:
        url = re.search(r"http://\S+", process.stdout.readline() if process.stdout else "")
        if url is None:
            raise SystemExit("The service did not start; see `breast-cascade doctor`.")
        with httpx.Client(base_url=url[0], timeout=60.0, trust_env=False) as client:
            until(lambda: client.get("/health/ready").status_code == httpx.codes.OK)
            yield client


class Messages:
    """Looks at the broker from a thread; ``most`` is what it held at most."""

    def __init__(self, settings: Settings) -> None:
        self._folders, self._url = folders_of(settings), settings.broker_url
        self.most = 0
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Look no more."""
        self._closed.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._closed.wait(LOOK_EVERY_S):
            self.most = max(self.most, self._count())

    def _count(self) -> int:
        if self._folders:
            return sum(1 for _ in self._folders.inbox.iterdir())
        with closing(redis.Redis.from_url(str(self._url))) as link:
            lists = [key for key in link.scan_iter(f"{NAME}:*") if link.type(key) == b"list"]
            return sum(link.llen(key) for key in lists) + link.hlen(f"{NAME}:unacked")


def questions(large: str, number: int) -> dict[str, str]:
    """What is asked, in words, and where."""
    last = max(0, number - PAGE)
    return {
        "the jobs": "/jobs",
        "a small page of one": f"/jobs/{large}?limit=10",
        f"the first {PAGE} items of one": f"/jobs/{large}?limit={PAGE}",
        f"the last {PAGE} items of one": f"/jobs/{large}?limit={PAGE}&offset={last}",
        "an answer of one item": f"/jobs/{large}/items/{number - 1}",
    }


def ask(client: httpx.Client, path: str) -> list[float]:
    """Milliseconds of the answers to one question."""
    found = []
    for _ in range(ASKED):
        start = time.perf_counter()
        status = client.get(path).status_code
        found.append((time.perf_counter() - start) * 1000)
        if status not in (httpx.codes.OK, httpx.codes.CONFLICT):
            raise SystemExit(f"{path}: status {status}.")
    return found


def post(client: httpx.Client) -> None:
    """Some small jobs more, each of which wants to wake somebody."""
    for content in pictures(POSTS):
        client.post("/jobs", files={"files": content}).raise_for_status()


def measured(settings: Settings, items: int, seconds: float) -> tuple[dict[str, list[float]], int]:
    """Milliseconds by question, and the most messages there were."""
    database, rows = open_rows(settings)
    with closing(database), workers(settings, rows, WORKERS) as pids, stopped(pids), service(settings) as client:
        with closing(Messages(settings)) as messages:
            large = line_up(rows, items)
            number = rows.job(large, "").total
            post(client)
            times = {name: ask(client, path) for name, path in questions(large, number).items()}
            time.sleep(seconds)
        return times, messages.most


def figures(times: dict[str, list[float]], messages: int) -> dict[str, float]:
    """Milliseconds that 19 of 20 answers to each question do not exceed, and the messages."""
    slow = {name: statistics.quantiles(found, n=20)[-1] for name, found in times.items()}
    return {**slow, "messages": messages}


def within(found: dict[str, float]) -> bool:
    """Whether every bound is kept."""
    return found["messages"] <= HANDFUL and all(
        value <= ANSWER_MS for name, value in found.items() if name != "messages"
    )


def report(times: dict[str, list[float]], found: dict[str, float]) -> None:
    """Print what was measured."""
    print(f"milliseconds over HTTP, median and 95th percentile of {ASKED} (wanted at most {ANSWER_MS:g}):")
    for name, values in times.items():
        print(f"{statistics.median(values):9.1f} {found[name]:9.1f}  {name}")
    print(f"\nmessages in the broker, at most: {found['messages']} (wanted at most {HANDFUL})")


def main() -> int:
    """Command line; the exit status is 1 when a bound is broken."""
    parser = argparse.ArgumentParser(description="What a long queue of jobs costs.")
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument(
        "--seconds", type=float, default=12.0, help="how long to look at the broker after the questions"
    )
    parser.add_argument("--json", action="store_true", help="print the figures as one JSON line too")
    arguments = parser.parse_args()
    with settings_here() as settings:
        times, messages = measured(settings, arguments.items, arguments.seconds)
    found = figures(times, messages)
    print(f"{arguments.items} items wait in {1 + SMALL_JOBS} jobs, {POSTS} more jobs were sent.\n")
    report(times, found)
    if arguments.json:
        print(json.dumps(found))
    print(f"\n{'Within' if within(found) else 'BEYOND'} the bounds.")
    return 0 if within(found) else 1


if __name__ == "__main__":
    sys.exit(main())
