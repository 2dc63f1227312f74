"""Many at once, in threads and in processes of their own: nothing is worked on twice, nothing waits for ever."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from service.errors import Cancelled, Conflict, LeaseLost, UnknownJob
from service.jobs.database import Database
from service.jobs.model import FINAL_ITEM_STATES, FINAL_JOB_STATES
from service.jobs.rows import Rows
from tests.service.jobs.making import FAILED, accepted, done

ROOT = Path(__file__).resolve().parents[3]
# Works until nothing waits, and says which items it had in hand.
WORKER = """
import sys, time
from service.jobs.database import Database
from service.jobs.model import Done
from service.jobs.rows import Rows
rows = Rows(Database.open(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
while (claim := rows.claim(sys.argv[2], "cpu", 60)) is not None:
    time.sleep(0.01)
    print(claim.job_id, claim.n, claim.token, rows.commit(claim, Done(())), flush=True)
"""


def worker(url: str, name: str) -> subprocess.Popen[str]:
    """A process that waits for a line on its standard input, then works."""
    command = [sys.executable, "-W", "error", "-c", WORKER, url, name]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)


def test_two_processes_never_have_the_same_item(rows: Rows, database_url: str) -> None:
    jobs = [accepted(rows, 20, owner=owner) for owner in ("anna", "ben", "anna")]
    processes = [worker(database_url, name) for name in ("w1", "w2")]
    assert [process.stdout.readline() for process in processes if process.stdout] == ["ready\n"] * 2
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    lines = [process.communicate(timeout=60)[0].splitlines() for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert all(lines), "one of them had all the work"
    assert sorted(lines[0] + lines[1]) == sorted(f"{job_id} {n} 1 True" for job_id in jobs for n in range(20))
    owners = ("anna", "ben", "anna")
    assert [rows.job(job_id, owner).state for job_id, owner in zip(jobs, owners, strict=True)] == ["succeeded"] * 3


def test_everything_at_once_ends(rows: Rows, database: Database) -> None:
    jobs = {accepted(rows, 6, owner=owner): owner for owner in ("anna", "ben") * 4}
    erased = sorted(jobs)[:2]
    finished = time.monotonic() + 40

    def work(name: str) -> Counter[tuple[str, int]]:
        ended: Counter[tuple[str, int]] = Counter()
        dice = random.Random(name)
        while any(rows.waiting("cpu") or rows.running("cpu") for _ in range(2)) and time.monotonic() < finished:
            claim = rows.claim(name, "cpu", 60)
            if claim is None:
                continue
            try:
                rows.progress(claim, "lesion", 1, 2)
                rows.renew(claim, 60)
            except (Cancelled, LeaseLost):
                continue
            deed = dice.random()
            if deed < 0.2:
                rows.release(claim)
            elif deed < 0.3:
                rows.bury(name)
            elif rows.commit(claim, done(claim) if deed < 0.9 else FAILED):
                ended[claim.job_id, claim.n] += 1
        return ended

    def meddle(job_id: str) -> None:
        try:
            rows.cancel(job_id, jobs[job_id])
        except Conflict as error:
            assert error.code == "job_finished"
        rows.reap()
        if job_id in erased:
            rows.erase(job_id, jobs[job_id])

    with ThreadPoolExecutor(7) as threads:
        workers = [threads.submit(work, f"w{n}") for n in range(4)]
        meddlers = [threads.submit(meddle, job_id) for job_id in sorted(jobs)[:3]]
        ended = sum((one.result() for one in workers), Counter[tuple[str, int]]())
        for one in meddlers:
            one.result()
    assert time.monotonic() < finished
    assert set(ended.values()) == {1}
    for job_id, owner in jobs.items():
        _check_end(rows, job_id, owner, job_id in erased)


def _check_end(rows: Rows, job_id: str, owner: str, erased: bool) -> None:
    try:
        row, items = rows.job(job_id, owner), rows.items(job_id, owner, 99, 0)
    except UnknownJob:
        assert erased
        return
    counts = Counter(item.state for item in items)
    assert row.state in FINAL_JOB_STATES
    assert row.done == row.total == sum(counts[state] for state in FINAL_ITEM_STATES)
    assert row.failed == counts["failed"]
