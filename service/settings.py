"""Settings from the environment, all under the prefix ``BREAST_CASCADE_``, and how many cores this process may use.

A file /run/secrets/BREAST_CASCADE_<FIELD> counts as well, where containers get their secrets; the environment wins.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from service.decoding.bounds import DEFAULT_BOUNDS, LEAST_MEMORY, MOST_PROCESSES, Bounds
from service.engine import BUNDLED
from service.errors import SetupError
from service.formats.limits import DEFAULT_LIMITS, PILLOW_GUARD, Limits
from service.network import GPU_MEMORY, built_for_gpu

PREFIX = "BREAST_CASCADE_"
CGROUP = Path("/sys/fs/cgroup")
SECRETS = Path("/run/secrets")
# What a decoder needs beside the file and the voxels of the largest volume.
DECODER_ROOM = 256 * 2**20


def _data_home() -> Path:
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base) / "breast-cascade"


class Settings(BaseSettings):
    """What the environment may set; each field is read from ``BREAST_CASCADE_<FIELD>``.

    Attributes:
        data_dir: the one folder this service ever writes to.
        pipelines_dir: further pipelines, laid out as ``<name>/<version>/``; they win over the bundled ones.
        device: where networks run: ``auto``, ``cpu``, ``cuda`` or ``cuda:n``.
        gpu_memory: most that one network may take of a GPU, in bytes.
        access: ``off`` lets anyone who reaches the port use it, on any address.
        access_keys: file of ``owner:sha256-of-key`` lines; with it the service may listen on any address.
        max_bytes: largest upload, in bytes.
        max_pixels: largest picture, in pixels, as its header declares it.
        min_side: smallest picture side, in pixels.
        max_volume_bytes: largest volume or cine, in bytes of its decoded voxels, as its header declares them.
        max_slices: most slices that one request may ask to be looked at.
        decoders: processes in which files are decoded, 1 or 2.
        decoder_memory: bytes one of them may take for a file.
        decoder_seconds: longest time one of them may take for a file.
        queue_length: requests that may wait for a slot before the service answers 429.
        slots: requests worked on at the same time.
        threads: per network run; unset means as many as the CPU quota allows.
        receive_timeout: longest silence of a client in the middle of an upload, in seconds.
        drain_timeout: longest wait for running work when the service or a worker is told to stop, in seconds.
        broker_url: Redis that tells workers of waiting jobs, ``redis://...``; unset, files under ``data_dir`` do.
        database_url: rows of jobs, ``sqlite:////...`` or ``postgresql://...``; unset, SQLite under ``data_dir``.
        store_url: files of jobs, ``file:///...`` or ``s3://...``; unset, a folder under ``data_dir``.
        jobs_device: class of workers that new jobs wait for, ``cpu`` or ``cuda``; unset, the class of ``device``.
        workers_embedded: 1 lets `serve` start and watch a worker of its own as soon as an item waits, 0 does not;
            unset, 1 where ``broker_url`` is unset.
        lease_seconds: how long a worker that fell silent keeps its item, in seconds.
        item_seconds: longest time one item may take; its worker process ends then, in seconds.
        max_waiting_items: items of jobs that may wait before new jobs are answered 429.
        max_job_bytes: largest upload of a job, in bytes, and most that its files may take once their zips are opened.
        max_job_item_bytes: largest file of a job, or files of one series together, in bytes.
        max_job_volume_bytes: largest volume or cine of a job, in bytes of its decoded voxels, as its header declares
            them; it may have any number of slices. A worker needs memory for up to four times as much.
        job_decoder_seconds: longest time that decoding one file of a job may take, in seconds.
        keep_days: how long a finished job is kept, in days.
        keep_bytes: most that jobs may keep in the store; the oldest finished ones go first. Unset, no limit.
        min_free_bytes: room that new jobs leave in the store; below it they are answered 507.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="ignore")

    data_dir: Path = Field(default_factory=_data_home)
    pipelines_dir: Path | None = None
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:[0-9]+)?)$")] = "auto"
    gpu_memory: Annotated[int, Field(ge=2**20)] = GPU_MEMORY
    access: Literal["on", "off"] = "on"
    access_keys: Path | None = None
    max_bytes: Annotated[int, Field(ge=1)] = DEFAULT_LIMITS.max_bytes
    max_pixels: Annotated[int, Field(ge=1, le=PILLOW_GUARD)] = DEFAULT_LIMITS.max_pixels
    min_side: Annotated[int, Field(ge=1)] = DEFAULT_LIMITS.min_side
    max_volume_bytes: Annotated[int, Field(ge=1)] = DEFAULT_LIMITS.max_volume_bytes
    max_slices: Annotated[int, Field(ge=1)] = DEFAULT_LIMITS.max_slices
    decoders: Annotated[int, Field(ge=1, le=MOST_PROCESSES)] = DEFAULT_BOUNDS.processes
    decoder_memory: Annotated[int, Field(ge=LEAST_MEMORY)] = DEFAULT_BOUNDS.memory
    decoder_seconds: Annotated[float, Field(gt=0)] = DEFAULT_BOUNDS.seconds
    queue_length: Annotated[int, Field(ge=0)] = 16
    slots: Annotated[int, Field(ge=1)] = 2
    threads: Annotated[int, Field(ge=1)] | None = None
    receive_timeout: Annotated[float, Field(gt=0)] = 20.0
    drain_timeout: Annotated[float, Field(ge=0)] = 30.0
    broker_url: Annotated[str, Field(pattern=r"^rediss?://")] | None = None
    database_url: Annotated[str, Field(pattern=r"^(sqlite:////|postgresql(\+psycopg)?://)")] | None = None
    store_url: Annotated[str, Field(pattern=r"^(file:///|s3://)")] | None = None
    jobs_device: Literal["cpu", "cuda"] | None = None
    workers_embedded: Annotated[int, Field(ge=0, le=1)] | None = None
    lease_seconds: Annotated[float, Field(ge=0.5, le=600)] = 15.0
    item_seconds: Annotated[float, Field(ge=1)] = 3600.0
    max_waiting_items: Annotated[int, Field(ge=1)] = 20_000
    max_job_bytes: Annotated[int, Field(ge=1)] = 16 * 2**30
    max_job_item_bytes: Annotated[int, Field(ge=1)] = 2**30
    max_job_volume_bytes: Annotated[int, Field(ge=1)] = 640 * 2**20
    job_decoder_seconds: Annotated[float, Field(gt=0)] = 300.0
    keep_days: Annotated[float, Field(gt=0)] = 7.0
    keep_bytes: Annotated[int, Field(ge=0)] | None = None
    min_free_bytes: Annotated[int, Field(ge=0)] = 2**30

    @property
    def pipeline_roots(self) -> tuple[Path, ...]:
        """Folders of pipelines, the winning one last."""
        return (BUNDLED,) if self.pipelines_dir is None else (BUNDLED, self.pipelines_dir)

    @property
    def limits(self) -> Limits:
        """What one picture or volume may be that somebody waits for."""
        return Limits(self.max_bytes, self.max_pixels, self.min_side, self.max_volume_bytes, self.max_slices)

    @property
    def job_limits(self) -> Limits:
        """What one item of a job may be: nobody waits behind it."""
        sizes = self.max_job_item_bytes, self.max_pixels, self.min_side, self.max_job_volume_bytes
        return Limits(*sizes, max_slices=sys.maxsize, of_a_job=True)

    @property
    def decoder_bounds(self) -> Bounds:
        """What one decoding process may use."""
        return Bounds(self.decoder_memory, self.decoder_seconds, processes=self.decoders)

    @property
    def job_decoder_bounds(self) -> Bounds:
        """What the one decoding process of a worker may use: it holds a file and for a moment its voxels, too."""
        largest = self.max_job_item_bytes + self.max_job_volume_bytes
        return Bounds(max(self.decoder_memory, largest + DECODER_ROOM), self.job_decoder_seconds, processes=1)

    @property
    def network_threads(self) -> int:
        """Threads of one network run: as set, else as the CPU quota allows."""
        return self.threads or available_threads()

    @property
    def jobs_database(self) -> str:
        """Address of the rows of jobs."""
        return self.database_url or f"sqlite:///{self.data_dir.absolute() / 'jobs' / 'jobs.sqlite'}"

    @property
    def jobs_store(self) -> str:
        """Address of the files of jobs."""
        return self.store_url or (self.data_dir.absolute() / "jobs" / "files").as_uri()

    @property
    def device_class(self) -> Literal["cpu", "cuda"]:
        """Which items a worker with these settings takes."""
        return "cuda" if self.device.startswith("cuda") or (self.device == "auto" and built_for_gpu()) else "cpu"

    @property
    def embeds_worker(self) -> bool:
        """Whether `serve` has a worker of its own."""
        return self.broker_url is None if self.workers_embedded is None else bool(self.workers_embedded)


def read_settings(secrets: Path = SECRETS) -> Settings:
    """Settings of this process. Raises SetupError naming the variable, what it holds and what it should."""
    try:
        return Settings(_secrets_dir=secrets if secrets.is_dir() else None)
    except ValidationError as error:
        first = error.errors()[0]
        name = PREFIX + "_".join(str(part) for part in first["loc"]).upper()
        # Such an address may hold a password.
        found = "..." if name.endswith("_URL") else f"{first['input']!r:.80}"
        raise SetupError(
            f"{name}={found}", first["msg"], f"Set {name} to such a value or unset it.", "bad_setting"
        ) from (None if name.endswith("_URL") else error)


def available_threads(cgroup: Path = CGROUP) -> int:
    """Cores this process may keep busy: its CPU affinity or its cgroup's quota, whichever is less; at least 1."""
    quota = _quota_v2(cgroup) or _quota_v1(cgroup)
    cores = len(os.sched_getaffinity(0))
    return max(1, cores if quota is None else min(cores, int(quota)))


def _quota_v2(cgroup: Path) -> float | None:
    fields = _words(cgroup / "cpu.max")
    if len(fields) != 2 or fields[0] == "max":
        return None
    return float(fields[0]) / float(fields[1])


def _quota_v1(cgroup: Path) -> float | None:
    quota, period = _words(cgroup / "cpu" / "cpu.cfs_quota_us"), _words(cgroup / "cpu" / "cpu.cfs_period_us")
    if not quota or not period or int(quota[0]) <= 0:
        return None
    return int(quota[0]) / int(period[0])


def _words(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii").split()
    except OSError:
        return []
