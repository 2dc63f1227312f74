"""A service that takes jobs, and a worker that runs when a test says so."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from zipfile import ZipFile

import httpx

from service.engine import Engine
from service.jobs.desk import Desk
from service.jobs.perform import Bench, ItemWatch, perform
from service.jobs.warden import Warden
from service.jobs.worker import Worker
from service.settings import Settings
from tests.service.asking import SQUARE, png
from tests.serving import DECODERS, Running, serving

PICTURE = png(SQUARE)
File = tuple[str, bytes]


@dataclass(frozen=True)
class Counter:
    """A running service with jobs, seen from both sides of its counter."""

    running: Running
    engine: Engine

    @property
    def client(self) -> httpx.Client:
        """Asks it."""
        return self.running.client

    @property
    def desk(self) -> Desk:
        """What lies behind it."""
        return self.running.service.desk

    def send(self, *files: File, headers: Mapping[str, str] | None = None, **fields: Any) -> httpx.Response:
        """Post a job; one picture where no files are named."""
        given = files or (("a.png", PICTURE),)
        return self.client.post("/jobs", files=[("files", one) for one in given], data=fields, headers=headers)

    def made(self, *files: File, **fields: Any) -> str:
        """Post a job that is accepted; its id."""
        answer = self.send(*files, **fields)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def done(self, *files: File, **fields: Any) -> str:
        """Post a job and work it off; its id."""
        job_id = self.made(*files, **fields)
        self.work()
        return job_id

    def state(self, job_id: str) -> str:
        """Of a job."""
        return str(self.client.get(f"/jobs/{job_id}").json()["state"])

    def unzipped(self, job_id: str) -> dict[str, bytes]:
        """The results of a job by name."""
        with ZipFile(io.BytesIO(self.client.get(f"/jobs/{job_id}/results").content)) as archive:
            return {name: archive.read(name) for name in archive.namelist()}

    def work(self) -> None:
        """Do all that waits."""
        settings = self.running.service.settings
        bench = Bench(self.desk.rows, self.desk.store, lambda: self.engine, DECODERS, settings.job_limits)
        warden = Warden(bench.rows, ("tests", "cpu"), settings.lease_seconds, 1.0, lambda: False)
        try:
            Worker(bench, lambda claim, held: perform(bench, claim, ItemWatch(bench, claim, held.check)), warden).work()
        finally:
            warden.close()
            bench.rows.forget("tests")

    def stored(self) -> list[str]:
        """Keys of everything in the store."""
        return [one.key for one in self.desk.store.keys("")]


@contextmanager
def counter(engine: Engine, settings: Settings, port: int = 0) -> Iterator[Counter]:
    """A service with jobs and without a worker of its own, on a free port unless one is given."""
    quiet = settings.model_copy(update={"workers_embedded": 0, "jobs_device": "cpu"})
    with serving(quiet, engine, port=port) as running:
        yield Counter(running, engine)
