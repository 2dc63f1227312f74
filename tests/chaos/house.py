"""A house of real processes to be killed: the web service, workers beside it or its own, one data folder for all."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
from sqlalchemy import select

from service.jobs.housekeeping import ORPHAN_AFTER_S, sweep
from service.jobs.launch import environment
from service.jobs.tables import ITEMS
from service.settings import Settings
from tests.chaos.halting import POISON
from tests.processes import ROOT, descendants
from tests.service.jobs.pictures import opened

# Much, for the machine may be busy with other things: nothing here is concluded from a wait in vain but that it hangs.
PATIENCE_S = 240.0
ANSWER_WITHIN_S = 120.0
# Idle workers are called every ten seconds.
FRESH_S = 5.0
HOOKS = Path(__file__).parent / "hooks"
FIELDS = {
    "threads": "1",
    "device": "cpu",
    "slots": "1",
    "decoders": "1",
    "drain_timeout": "5",
    "lease_seconds": "2",
    "min_free_bytes": "0",
}
EMBEDDED = (b"service.jobs", b"--parent")


class House:
    """Starts nothing by itself.

    Args:
        folder: where everything lies; ``folder/data`` may be there already.
        pipelines: folder of pipelines.
        crew: how many workers there are beside the web process; none lets it have its own.
        settings: fields of `Settings`, as texts.
    """

    def __init__(self, folder: Path, pipelines: Path, crew: int = 0, **settings: str) -> None:
        self.folder, self.halts = folder, folder / "halts"
        for name in ("data", "tmp", "work", "halts", "logs"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        fields = {**FIELDS, "workers_embedded": str(int(crew == 0)), **settings}
        values = {"data_dir": folder / "data", "pipelines_dir": pipelines, **fields}
        self.settings = Settings.model_validate(values)
        self._database, self.rows, self.store = opened(self.settings)
        self._crew_size = crew
        self.crew: list[subprocess.Popen[bytes]] = []
        self.web: subprocess.Popen[bytes] | None = None
        self.client = httpx.Client()

    # -- processes ----------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Start the web process, and workers beside it; return when it is ready."""
        log = self._log("web")
        with log.open("wb") as sink:
            self.web = self._started(["service.cli", "serve", "--port", "0"], sink)
        self.man()
        self.until(lambda: _address(log) or self._exited(log))
        self.client = httpx.Client(base_url=_address(log), timeout=ANSWER_WITHIN_S, trust_env=False)
        self.until(lambda: self.client.get("/health/ready").status_code == 200)

    def man(self) -> None:
        """Start a worker for each one of the crew that has ended."""
        self.crew = [one for one in self.crew if one.poll() is None]
        while len(self.crew) < self._crew_size:
            with self._log("worker").open("wb") as sink:
                self.crew.append(self._started(["service.jobs"], sink))

    def kill_web(self) -> None:
        """As a power cut would."""
        assert self.web is not None
        self.web.kill()
        self.web.wait()
        self.client.close()

    def close(self) -> None:
        """Tell all to stop, as a system that shuts down would; they must."""
        running = [one for one in (*self.crew, self.web) if one is not None and one.poll() is None]
        for one in running:
            one.send_signal(signal.SIGCONT)
            one.terminate()
        statuses = [_waited(one) for one in running]
        self.client.close()
        self._database.close()
        # One that is told in the middle of its start ends at once.
        assert set(statuses) <= {0, -signal.SIGTERM}
        assert self.processes() == []

    def kill(self) -> None:
        """End whatever is left."""
        for pid in self.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for one in (*self.crew, self.web):
            if one is not None:
                one.wait()

    def processes(self) -> list[int]:
        """Of this house, whoever their parent is by now; they have their working directory in common."""
        return [int(one) for one in os.listdir("/proc") if one.isdecimal() and self._lives_here(int(one))]

    def orphans(self) -> list[int]:
        """Processes that nobody looks after any more."""
        known = {pid for one in (*self.crew, self.web) if one is not None for pid in descendants(one.pid)}
        return [pid for pid in self.processes() if pid not in known]

    def worker_pid(self) -> int:
        """Of the web process's own worker; 0 while there is none."""
        for pid in self.processes():
            with suppress(OSError):
                if all(word in Path(f"/proc/{pid}/cmdline").read_bytes() for word in EMBEDDED):
                    return pid
        return 0

    def _lives_here(self, pid: int) -> bool:
        try:
            return Path(f"/proc/{pid}/cwd").readlink() == self.folder / "work"
        except OSError:
            return False

    def _started(self, module: list[str], sink: object) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", *module],
            stdout=sink,  # type: ignore[arg-type]
            stderr=subprocess.STDOUT,
            cwd=self.folder / "work",
            env={
                **environment(self.settings),
                "PYTHONPATH": f"{HOOKS}{os.pathsep}{ROOT}",
                "CHAOS_FOLDER": str(self.halts),
                "TMPDIR": str(self.folder / "tmp"),
            },
        )

    def _log(self, kind: str) -> Path:
        return self.folder / "logs" / f"{kind}-{len(list((self.folder / 'logs').iterdir()))}"

    def _exited(self, log: Path) -> bool:
        assert self.web is not None
        assert self.web.poll() is None, log.read_text()
        return False

    # -- points -------------------------------------------------------------------------------------------------------

    def arm(self, point: str) -> None:
        """Let the first process that comes to this point halt there."""
        (self.halts / f"{point}.armed").touch()

    def halted(self, point: str) -> int:
        """Wait for a process to halt there; its id."""
        self.until(lambda: list(self.halts.glob(f"{point}.at.*")))
        return int(next(self.halts.glob(f"{point}.at.*")).suffix[1:])

    def release(self) -> None:
        """Let everything go on."""
        for mark in self.halts.glob("*.*"):
            mark.unlink()

    def poison(self) -> None:
        """From now on, whatever works on an item called poison dies of it."""
        (self.halts / POISON).touch()

    # -- waiting and looking ------------------------------------------------------------------------------------------

    def until(self, condition: Callable[[], object]) -> None:
        """Wait for it; whoever of the crew dies meanwhile is replaced."""
        end = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < end, f"waited in vain; see {self.folder / 'logs'}"
            self.man()
            time.sleep(0.05)

    def busy(self) -> bool:
        """Whether a worker that lives has an item in hand, as far as it has told."""
        return any(one.busy for one in self.rows.workers() if self._is_manned(one.worker))

    def fresh(self) -> bool:
        """Whether each one of the crew has just shown that it takes messages."""
        told = [one.silent_s < FRESH_S for one in self.rows.workers() if self._is_manned(one.worker)]
        return sum(told) == self._crew_size

    def _is_manned(self, worker: str) -> bool:
        """By its name, which has its process id in it, the embedded one's that of its parent."""
        own = [self.web] if self.web and not self._crew_size else []
        return any(f"_{one.pid}_" in worker and one.poll() is None for one in (*self.crew, *own))

    def sweep(self) -> None:
        """Let hours pass for all files, then sweep as the service does every few minutes.

        The clock of object storage cannot be turned: what no row names goes at once there.
        """
        if self.settings.store_url:
            sweep(self.rows, self.store, 0)
            return
        long_ago = time.time() - 2 * ORPHAN_AFTER_S
        for path in (self.folder / "data" / "jobs" / "files").rglob("*"):
            # What a worker is about to delete may be gone.
            with suppress(FileNotFoundError):
                os.utime(path, (long_ago, long_ago))
        sweep(self.rows, self.store, ORPHAN_AFTER_S)

    def strangers(self) -> list[str]:
        """Files that no row names and the database does not consist of, wherever the store is; messages aside, which
        are counted.
        """
        data = self.folder / "data"
        found = {path.relative_to(data).as_posix() for path in data.rglob("*") if path.is_file()}
        messages = {name for name in found if name.startswith("broker/")}
        assert len(messages) < 500
        # The file of whoever owns the embedded worker.
        messages |= {name for name in found if name.startswith("jobs/owners/")}
        if self.settings.store_url:
            found |= {f"jobs/files/{one.key}" for one in self.store.keys("")}
        kept = {"jobs/jobs.sqlite", "jobs/jobs.sqlite-wal", "jobs/jobs.sqlite-shm"}
        named = {f"jobs/files/{key}" for job in self.rows.jobs("", 1000, 0) for key in self._keys_of(job.id)}
        return sorted(found - messages - kept - named) + [path.name for path in (self.folder / "tmp").iterdir()]

    def missing(self) -> list[str]:
        """Keys that a row names and the store does not have."""
        there = {one.key for one in self.store.keys("")}
        return [key for job in self.rows.jobs("", 1000, 0) for key in self._keys_of(job.id) if key not in there]

    def deaths(self, job_id: str) -> list[int]:
        """As counted for each item of a job."""
        with self._database.read() as link:
            query = select(ITEMS.c.deaths).where(ITEMS.c.job_id == job_id).order_by(ITEMS.c.n)
            return list(link.scalars(query))

    def _keys_of(self, job_id: str) -> frozenset[str]:
        return self.rows.known_keys_of(f"jobs/{job_id}/")


@contextmanager
def house(folder: Path, pipelines: Path, crew: int = 0, **settings: str) -> Iterator[House]:
    """A house that is open, closed in good order in the end: no process may be left."""
    made = House(folder, pipelines, crew, **settings)
    try:
        made.open()
        yield made
        made.release()
        made.close()
    finally:
        made.kill()


def _address(log: Path) -> str:
    found = re.search(r"http://\S+", log.read_text(encoding="utf-8"))
    return found[0] if found else ""


def _waited(process: subprocess.Popen[bytes]) -> int:
    try:
        return process.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        return -1
