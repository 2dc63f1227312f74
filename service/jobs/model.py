"""What jobs are made of, said once: plain frozen values between rows, files, workers and the skins.

Times are aware datetimes in UTC by the database's clock; durations are seconds; sizes are bytes. Items count from 0 in
the order in which they were given, and ``n`` names one inside its job everywhere (rows, file keys, addresses).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Literal

JobState = Literal["queued", "running", "succeeded", "partial", "failed", "cancelled", "expired"]
ItemState = Literal["queued", "running", "succeeded", "failed", "cancelled"]
Kind = Literal["image", "volume"]
DeviceClass = Literal["cpu", "cuda"]

FINAL_ITEM_STATES: frozenset[ItemState] = frozenset({"succeeded", "failed", "cancelled"})
FINAL_JOB_STATES: frozenset[JobState] = frozenset({"succeeded", "partial", "failed", "cancelled", "expired"})

_NOTHING: Mapping[str, object] = MappingProxyType({})


@dataclass(frozen=True)
class Problem:
    """Why an item failed, in the words of `service.errors`."""

    code: str
    found: str
    wanted: str
    remedy: str


@dataclass(frozen=True)
class StoredFile:
    """One file of an item in the store.

    Attributes:
        name: as in the results zip.
        key: where it lies in the store.
        sha256: of its content, 64 hexadecimal digits.
        bytes: its size.
        media_type: as told to clients.
    """

    name: str
    key: str
    sha256: str
    bytes: int
    media_type: str


@dataclass(frozen=True)
class NewItem:
    """One image or volume of a job, as taken in.

    Attributes:
        name: a label for people, never a path.
        kind: a picture or a volume, as its header says.
        key: where its input lies in the store; empty when nothing was stored.
        sha256: of its content.
        bytes: its size.
        problem: set when it could not be read at intake; such an item is born failed.
        done: set when its results are there already; such an item is born succeeded, and its input was not stored.
    """

    name: str
    kind: Kind
    key: str
    sha256: str
    bytes: int
    problem: Problem | None = None
    done: Done | None = None


@dataclass(frozen=True)
class NewJob:
    """What a client asked for, with pipeline version and weights pinned.

    Attributes:
        id: chosen by the taker, unguessable.
        owner: who asked; empty on loopback without a credential.
        weights: one digest over the digests of all weight files.
        outputs: the formats wanted of each item.
        parameters: pairs for `service.answers.parameters.read_parameters`, by name.
        fingerprint: digest over names, contents and parameters, for repeats under the same key.
        key: the client's idempotency key.
        device_class: which workers may take its items.
    """

    id: str
    owner: str
    pipeline: str
    version: str
    weights: str
    outputs: tuple[str, ...]
    parameters: Mapping[str, list[str]]
    fingerprint: str
    key: str | None = None
    device_class: DeviceClass = "cpu"


@dataclass(frozen=True)
class Claim:
    """One item in the hands of one worker.

    Attributes:
        token: fences: a later holder of the same item has a larger one.
        attempt: how many times the item has been claimed, this one included; never given twice, so it may name files.
        alone: it has killed its workers before and must run in a fresh process of its own.
        hard_limit_s: the worker stops renewing the lease after so long.
        created: of the job, the one date that outputs may carry.
        checkpoint: what an earlier attempt kept.
    """

    job_id: str
    n: int
    worker: str
    token: int
    attempt: int
    alone: bool
    hard_limit_s: float
    item: NewItem
    job: NewJob
    created: datetime
    checkpoint: StoredFile | None = None


@dataclass(frozen=True)
class Done:
    """An item that went well: its files, and its rows for findings.csv and report.json (small JSON, no timings)."""

    files: tuple[StoredFile, ...]
    summary: Mapping[str, object] = field(default_factory=lambda: _NOTHING)


@dataclass(frozen=True)
class Failed:
    """An item that cannot be done, whoever tries."""

    problem: Problem


@dataclass(frozen=True)
class JobRow:
    """A job as it stands.

    Attributes:
        done: items in a final state.
        failed: of those, the ones that failed.
        stage: what was last told of its progress, as ``lesion 120/600``; None when nothing runs.
        seq: grows with every visible change.
        expires: when input and results will be erased, once it is finished.
    """

    id: str
    owner: str
    state: JobState
    pipeline: str
    version: str
    outputs: tuple[str, ...]
    created: datetime
    finished: datetime | None
    expires: datetime | None
    total: int
    done: int
    stage: str | None
    seq: int
    failed: int
    weights: str
    parameters: Mapping[str, list[str]]


@dataclass(frozen=True)
class ItemRow:
    """An item as it stands. ``files`` and ``summary`` are filled once it has succeeded, and emptied when it expires.

    ``sha256`` is that of its content.
    """

    job_id: str
    n: int
    name: str
    state: ItemState
    problem: Problem | None
    stage: str | None
    steps_done: int
    steps_total: int
    files: tuple[StoredFile, ...]
    summary: Mapping[str, object]
    kind: Kind
    attempts: int
    sha256: str = ""


@dataclass(frozen=True)
class WorkerRow:
    """A worker as it last told of itself.

    Attributes:
        busy: it had an item in hand.
        finished: items it has ended since it started.
        silent_s: seconds since it last told.
    """

    worker: str
    device_class: DeviceClass
    busy: bool
    finished: int
    silent_s: float


@dataclass(frozen=True)
class Figures:
    """How jobs stand as a whole, of one class of workers.

    Attributes:
        queued: items that wait.
        running: items in the hands of workers.
        oldest_waiting_s: age in seconds of the oldest job of which an item waits, 0 when none does.
        idle: workers without an item.
        busy: workers with one.
        last_told: when any of them last told that it lives, in seconds since 1970 by the database's clock.
        longest_silence_s: seconds since the most silent of them told so.
        tallies: what happened since the database was made, by name (`service.jobs.sql.tallies`).
    """

    device_class: DeviceClass
    queued: int
    running: int
    oldest_waiting_s: float
    idle: int
    busy: int
    last_told: float | None
    longest_silence_s: float
    tallies: Mapping[str, int]


def parameters_by_name(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """(name, text) pairs as `NewJob.parameters` holds them; pipeline and version have places of their own there."""
    found: dict[str, list[str]] = {}
    for name, text in sorted(pairs, key=lambda pair: pair[0]):
        if text and name not in ("pipeline", "version"):
            found.setdefault(name, []).append(text)
    return found
