"""One job whose rows and files lie beside its results: what ``breast-cascade batch`` runs, without a server.

In ``<output>/.breast-cascade`` stands all that makes the job survive a kill; the same call goes on from there. Files
are copied there while they are worked on, and erased once their results lie in the output folder.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import secrets
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from service.engine import software
from service.errors import BadParameter, UnknownJob
from service.jobs.intake import IntakeLimits, Upload, take
from service.jobs.kept import Kept, digest_of, is_written
from service.jobs.later import opened_later
from service.jobs.machine import open_rows
from service.jobs.model import FINAL_JOB_STATES, ItemRow, JobRow, NewItem, NewJob
from service.jobs.pinned import weights_digest
from service.jobs.report import findings_csv, is_timings, report_json, timings_json
from service.jobs.rows import Rows
from service.jobs.sql.deaths import POISONED
from service.jobs.store import Store, open_store, verified
from service.manifest import Manifest
from service.settings import Settings

HOME = ".breast-cascade"
OF_THE_JOB = ("findings.csv", "report.json", "timings.json")
# Of files or bytes together: they lie on this computer already.
NO_LIMIT = 1 << 62
NOBODY = ""
PAGE = 500
# Long enough for any intake: the lock on the folder, not this, keeps others out.
RECEIVING_S = 86400.0
# Nobody shall wait long for a worker that was told to stop: its item is begun anew another time.
DRAIN_S = 2.0

File = tuple[str, Path]


@dataclass(frozen=True)
class Asked:
    """What is wanted: named files, and what to do with each."""

    files: tuple[File, ...]
    manifest: Manifest
    outputs: tuple[str, ...]
    parameters: dict[str, list[str]]

    @property
    def key(self) -> str:
        """The same for the same files, unchanged since, the same wishes and software; no file is read for it."""
        states = [(name, path.stat()) for name, path in self.files]
        files = [(name, state.st_size, state.st_mtime_ns) for name, state in states]
        about = [self.manifest.name, self.manifest.version, weights_digest(self.manifest)]
        said = json.dumps([files, about, self.outputs, self.parameters, software()], sort_keys=True)
        return hashlib.sha256(said.encode("utf-8", "surrogateescape")).hexdigest()

    def is_like(self, job: JobRow) -> bool:
        """Whether the job makes the same of the same content, as far as its row tells."""
        pipeline = (self.manifest.name, self.manifest.version, weights_digest(self.manifest))
        same = (job.pipeline, job.version, job.weights) == pipeline and job.outputs == self.outputs
        return same and dict(job.parameters) == self.parameters


class FolderJob:
    """The job of one output folder. Opened by `folder_job`.

    ``kept`` counts the items of the job that keep the results of an earlier one; None where the job itself was known.
    """

    def __init__(self, output: Path, settings: Settings, rows: Rows, store: Store) -> None:
        self._output, self._store = output, store
        self.settings, self.rows = settings, rows
        self.kept: int | None = None

    def accept(self, asked: Asked) -> JobRow:
        """The job for this, going on where it was; else a new one, which keeps what an earlier one made of content that
        has not changed.
        """
        known = self._begun(asked.key)
        if known is not None and self._is_whole(known):
            return known
        earlier = self._earlier()
        job_id = secrets.token_hex(16)
        items = self._items(asked, earlier, job_id)
        row = self._replace(earlier, asked, job_id, items)
        for job in earlier:
            self._clear(job)
        self.kept = sum(item.done is not None for item in items)
        return row

    def _earlier(self) -> list[JobRow]:
        found: list[JobRow] = []
        while jobs := self.rows.jobs(NOBODY, PAGE, len(found)):
            found += jobs
        return found

    def _items(self, asked: Asked, earlier: list[JobRow], job_id: str) -> list[NewItem]:
        """Those of a new job. What an earlier one left in the output folder and is of no use any more is removed: it
        would stand among the new results as if it were theirs.
        """
        kept = Kept(self._output, self._store)
        for job in earlier:
            if asked.is_like(job):
                kept.add(item for item in self.items(job) if _software(item) == software())
        uploads = [Upload(name, opened_later(path)) for name, path in asked.files]
        limits = IntakeLimits(files=NO_LIMIT, bytes=NO_LIMIT, item_bytes=self.settings.max_job_item_bytes)
        taken = take(uploads, self._store, job_id, limits, kept.digests)
        items = [kept.done(item, n, job_id) for n, item in enumerate(taken.items)]
        for job in earlier:
            self._remove(job, kept.in_place)
        return items

    def _replace(self, earlier: list[JobRow], asked: Asked, job_id: str, items: list[NewItem]) -> JobRow:
        return self.rows.replace(
            [job.id for job in earlier],
            NewJob(
                id=job_id,
                owner=NOBODY,
                pipeline=asked.manifest.name,
                version=asked.manifest.version,
                weights=weights_digest(asked.manifest),
                outputs=asked.outputs,
                parameters=asked.parameters,
                fingerprint=asked.key,
                key=asked.key,
                device_class=self.settings.device_class,
            ),
            items,
        )

    def row(self, job: JobRow) -> JobRow:
        """The job as it stands now."""
        return self.rows.job(job.id, NOBODY)

    def items(self, job: JobRow) -> Iterator[ItemRow]:
        """All its items."""
        for offset in range(0, job.total, PAGE):
            yield from self.rows.items(job.id, NOBODY, PAGE, offset)

    def unpack(self, job: JobRow) -> None:
        """Put what is done into the output folder; of a job that has ended all of it, and erase the copies."""
        for item in self.items(job):
            for file in item.files:
                target = self._output / file.name
                if not is_timings(file) and not is_written(target, file):
                    _write(target, verified(self._store, file))
        if job.state not in FINAL_JOB_STATES:
            return
        unpacked = self._is_unpacked()
        _write_if_other(self._output / "findings.csv", lambda: findings_csv(job, self.items(job)))
        _write_if_other(self._output / "report.json", lambda: report_json(job, self.items(job)))
        if not unpacked:
            _write(self._output / "timings.json", timings_json(job, self.items(job), self._store))
        self._clear(job)

    def _begun(self, key: str) -> JobRow | None:
        # Nobody but this process is at work here: a key that is being received is one whose process was killed.
        self.rows.abandon_key(NOBODY, key)
        job_id = self.rows.begin_key(NOBODY, key, RECEIVING_S)
        if job_id is None:
            self.rows.abandon_key(NOBODY, key)
            return None
        with suppress(UnknownJob):
            return self.rows.job(job_id, NOBODY)
        return None

    def _is_whole(self, job: JobRow) -> bool:
        """Whether the job can go on, or has ended with all its results still there.

        What its workers died of is tried again: it may have been the memory or the time that there was.
        """
        if job.state not in FINAL_JOB_STATES:
            return True
        if any(item.problem and item.problem.code == POISONED.code for item in self.items(job)):
            return False
        files = [file for item in self.items(job) for file in item.files]
        if self._is_unpacked():
            return all(is_timings(file) or is_written(self._output / file.name, file) for file in files)
        stored = {found.key for found in self._store.keys(f"jobs/{job.id}/")}
        return all(file.key in stored or is_written(self._output / file.name, file) for file in files)

    def _is_unpacked(self) -> bool:
        return all((self._output / name).is_file() for name in OF_THE_JOB)

    def _remove(self, job: JobRow, keep: Collection[Path]) -> None:
        for item in self.items(job):
            for file in item.files:
                path = self._output / file.name
                if path not in keep and is_written(path, file):
                    path.unlink()
        for name in OF_THE_JOB:
            (self._output / name).unlink(missing_ok=True)

    def _clear(self, job: JobRow) -> None:
        for found in list(self._store.keys(f"jobs/{job.id}/")):
            self._store.delete(found.key)


@contextmanager
def folder_job(output: Path, settings: Settings) -> Iterator[FolderJob]:
    """The job of a folder, for one process at a time. Raises BadParameter while another one has it, SetupError."""
    home = output / HOME
    home.mkdir(parents=True, exist_ok=True)
    with (home / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BadParameter(
                "another batch at work in the output folder", "one at a time", "Wait for it, or choose another folder."
            ) from None
        here = _own(settings, home)
        database, rows = open_rows(here)
        try:
            store = open_store(here.jobs_store)
            _sweep(rows, store)
            yield FolderJob(output, here, rows, store)
        finally:
            database.close()


def _own(settings: Settings, home: Path) -> Settings:
    """The same settings for rows and files of this folder alone."""
    changes = {"data_dir": home.absolute(), "database_url": None, "store_url": None, "broker_url": None}
    return settings.model_copy(update={**changes, "jobs_device": None, "drain_timeout": DRAIN_S})


def _sweep(rows: Rows, store: Store) -> None:
    """What a killed process was still taking in has no row; what it had in hand is free again."""
    store.sweep(0)
    for worker in rows.workers():
        # Whoever owned it has ended, too, else it would have seen to this itself.
        rows.free(worker.worker)
    for job_id in {found.key.split("/")[1] for found in store.keys("jobs/")}:
        known = rows.known_keys_of(f"jobs/{job_id}/")
        for found in list(store.keys(f"jobs/{job_id}/")):
            if found.key not in known:
                store.delete(found.key)


def _software(item: ItemRow) -> object:
    provenance = item.summary.get("provenance")
    return provenance.get("software") if isinstance(provenance, dict) else None


def _write_if_other(target: Path, pieces: Callable[[], Iterable[bytes]]) -> None:
    """A file that is what it should be stays as it is."""
    wanted = hashlib.sha256()
    for piece in pieces():
        wanted.update(piece)
    if not target.is_file() or digest_of(target) != wanted.hexdigest():
        _write(target, pieces())


def _write(target: Path, pieces: Iterable[bytes]) -> None:
    """A whole file or none."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part")
    try:
        with part.open("wb") as sink:
            sink.writelines(pieces)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
