"""Taking a job in: room, form, files into the store, rows; and the same job once only under one Idempotency-Key."""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from starlette.requests import Request

from service.answers.parameters import KNOWN, Pair, Parameters, read_parameters
from service.api.access import owner_of
from service.api.job_upload import Form, read_form
from service.api.limits import received
from service.api.room import Room
from service.api.spool import Spool
from service.api.state import Service
from service.choices import check_choices
from service.engine import Engine, LoadedPipeline
from service.errors import BadParameter, BreastCascadeError, UnknownJob
from service.jobs.desk import Desk
from service.jobs.intake import Taken, Upload, take
from service.jobs.item_outputs import wanted_outputs
from service.jobs.model import JobRow, NewJob, parameters_by_name
from service.jobs.pinned import weights_digest

KEY_HEADER = "Idempotency-Key"
LONGEST_KEY = 255
# How long a key stays taken by a request whose process has died, and how often a living one says that it lives.
RECEIVING_S, PROLONG_S = 60.0, 20.0
# Room of the spool and of the store: both hold the upload for a moment, most often on one disk.
COPIES = 2
SEVERAL = "Send the files as several jobs; BREAST_CASCADE_MAX_JOB_BYTES sets this limit."
# Said elsewhere in a job, or without a meaning in it.
NOT_OF_JOBS = ("format",)
OF_JOBS = ("outputs", *(name for name in KNOWN if name not in NOT_OF_JOBS))


@dataclass(frozen=True)
class Wish:
    """What is wanted of every file, as asked: nothing in it is pinned yet."""

    pairs: tuple[Pair, ...]
    outputs: tuple[str, ...]
    parameters: Parameters

    @property
    def by_name(self) -> dict[str, list[str]]:
        """The parameters as the job's row holds them."""
        return parameters_by_name(self.pairs)

    def fingerprint(self, taken: Taken) -> str:
        """Digest of everything that makes two requests the same."""
        asked = [taken.fingerprint, self.parameters.pipeline, self.parameters.version, self.outputs, self.by_name]
        return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


async def submit(request: Request, service: Service) -> JobRow:
    """The job that a request makes, accepted and on disk; or the one that its key has made before.

    Raises the InputError that says what is wrong with it, QueueFull, DiskFull, or CapacityError.
    """
    engine, desk = service.engine, service.desk
    query, owner = request.query_params.multi_items(), owner_of(request)
    _pipeline(engine, read_wish(query))
    room = Room(desk, service.settings)
    key = _key(request)
    async with _receiving(desk, owner, key) as known:
        if known is None:
            await asyncio.to_thread(room.check_line)
            await asyncio.to_thread(room.check_disk, None, COPIES * _announced(request))
        spool = await asyncio.to_thread(Spool, service.settings.data_dir / "jobs" / "incoming")
        try:
            form = await _form(request, service, spool, room if known is None else None)
            wish = read_wish([*query, *form.fields])
            sender = _Sender(desk, room, _pipeline(engine, wish), owner, key)
            row = await asyncio.to_thread(sender.send, wish, _uploads(form, spool), known is not None)
        finally:
            spool.close()
    desk.publisher.wake(row.id, desk.device_class)
    return row


def read_wish(pairs: Sequence[Pair]) -> Wish:
    """What (name, text) pairs of query and form ask for. Raises BadParameter."""
    outputs = [text for name, text in pairs if name == "outputs"]
    rest = tuple((name, text) for name, text in pairs if name != "outputs")
    for name, _ in rest:
        if name in NOT_OF_JOBS:
            raise BadParameter(f"parameter {name}", "outputs", "Name the formats in outputs, with commas between them.")
    return Wish(rest, wanted_outputs(outputs), read_parameters(rest, OF_JOBS))


def _pipeline(engine: Engine, wish: Wish) -> LoadedPipeline | None:
    """The pipeline that was named, or the only one; None where it is still open.

    Raises UnknownPipeline, BadParameter for a choice that it does not offer.
    """
    name = wish.parameters.pipeline
    if name is None:
        names = {loaded.manifest.name for loaded in engine.pipelines()}
        name = names.pop() if len(names) == 1 else None
    if name is None:
        return None
    found = engine.pipeline(name, wish.parameters.version)
    check_choices(found.manifest, wish.parameters.roi, wish.parameters.enhance)
    return found


def _announced(request: Request) -> int:
    length = request.headers.get("content-length", "")
    return int(length) if length.isdecimal() and len(length) < 19 else 0


async def _form(request: Request, service: Service, spool: Spool, room: Room | None) -> Form:
    """What was sent, as long as there is ``room``. Of a repeat nothing is kept: it may use the last of the disk."""

    def check() -> None:
        if room is not None:
            room.check_disk(spool.free(), spool.size)
            room.check_disk(None, spool.size)

    settings = service.settings
    pieces = received(request, settings.max_job_bytes, settings.receive_timeout, SEVERAL)
    return await read_form(request.headers.get("content-type", ""), pieces, spool, check)


def _uploads(form: Form, spool: Spool) -> list[Upload]:
    return [Upload(part.name, spool.part(part.start, part.size)) for part in form.files]


@dataclass(frozen=True)
class _Sender:
    """Puts the files of one job into the store and its rows into the database; blocking."""

    desk: Desk
    room: Room
    pipeline: LoadedPipeline | None
    owner: str
    key: str | None

    def send(self, wish: Wish, uploads: Sequence[Upload], repeated: bool) -> JobRow:
        """The job; of one that is not accepted nothing stays in the store."""
        manifest = self._loaded().manifest
        if repeated and (first := self._first(wish, uploads)) is not None:
            return first
        job_id = secrets.token_hex(16)
        try:
            taken = take(uploads, self.desk.store, job_id, self.room.limits)
            self.room.check_line(sum(item.problem is None for item in taken.items))
            job = NewJob(
                id=job_id,
                owner=self.owner,
                pipeline=manifest.name,
                version=manifest.version,
                weights=weights_digest(manifest),
                outputs=wish.outputs,
                parameters=wish.by_name,
                fingerprint=wish.fingerprint(taken),
                key=self.key,
                device_class=self.desk.device_class,
            )
            row = self.desk.rows.accept(job, taken.items)
        except BaseException:
            self._forget(job_id)
            raise
        if row.id != job_id:
            self._forget(job_id)
        return row

    def _first(self, wish: Wish, uploads: Sequence[Upload]) -> JobRow | None:
        """The job that this request made before, for which nothing need be stored; None where it was erased since."""
        taken = take(uploads, self.desk.store, "", self.room.limits, _Everything())
        with suppress(UnknownJob):
            return self.desk.rows.repeat(self.owner, str(self.key), wish.fingerprint(taken))
        self.room.check_line(len(taken.items))
        self.room.check_disk(None, sum(item.bytes for item in taken.items))
        return None

    def _loaded(self) -> LoadedPipeline:
        if self.pipeline is None:
            raise BadParameter(
                "no pipeline", "the name of one", "Give the parameter pipeline; GET /pipelines lists them."
            )
        return self.pipeline

    def _forget(self, job_id: str) -> None:
        for stored in list(self.desk.store.keys(f"jobs/{job_id}/")):
            self.desk.store.delete(stored.key)


class _Everything:
    """All contents there are: none is unknown."""

    def __contains__(self, _: object) -> bool:
        return True

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[str]:
        return iter(())


def _key(request: Request) -> str | None:
    key = request.headers.get(KEY_HEADER)
    if key is not None and not (0 < len(key) <= LONGEST_KEY and key.isascii() and key.isprintable()):
        raise BadParameter(
            f"an {KEY_HEADER} of {len(key)} characters, or with other than printable ASCII",
            f"1 to {LONGEST_KEY} printable ASCII characters",
            "Use a random one such as a UUID.",
        )
    return key


@asynccontextmanager
async def _receiving(desk: Desk, owner: str, key: str | None) -> AsyncIterator[str | None]:
    """Hold an idempotency key while its request is received; gives the id of the job it has led to before.

    Raises Conflict while another request is received under it.
    """
    if key is None:
        yield None
        return
    known = await asyncio.to_thread(desk.rows.begin_key, owner, key, RECEIVING_S)
    alive = asyncio.create_task(_every(PROLONG_S, lambda: desk.rows.prolong_key(owner, key, RECEIVING_S)))
    try:
        yield known
    except BaseException:
        # A key that led to a job stays; this only lets go of one that did not.
        await asyncio.shield(asyncio.to_thread(desk.rows.abandon_key, owner, key))
        raise
    finally:
        alive.cancel()


async def _every(seconds: float, work: Callable[[], None]) -> None:
    while True:
        await asyncio.sleep(seconds)
        # What fails here is tried again before the key is lost.
        with suppress(BreastCascadeError):
            await asyncio.to_thread(work)
