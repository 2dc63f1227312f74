"""One item, from its stored input to its stored outputs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from service.answers.clock import Clock
from service.answers.outputs import wanted_format
from service.answers.parameters import Parameters, read_parameters
from service.decoding.pool import Decoders
from service.engine import Answer, Engine
from service.errors import BreastCascadeError, Cancelled, CapacityError, DamagedFile, InputError, LeaseLost
from service.formats.limits import Limits
from service.image import Image
from service.jobs.item_outputs import write_item
from service.jobs.model import Claim, Done, Failed, NewJob, Problem, StoredFile
from service.jobs.pinned import pinned
from service.jobs.rows import Rows
from service.jobs.store import StoredContent, read
from service.jobs.store_base import Store
from service.log import event

# Progress is told no more often: of a picture not at all.
TELL_EVERY_S = 0.25
OCTETS = "application/octet-stream"


@dataclass(frozen=True)
class Bench:
    """What items are worked on with. ``engine`` gives the engine, opened when first asked for."""

    rows: Rows
    store: Store
    engine: Callable[[], Engine]
    decoders: Decoders
    limits: Limits


class ItemWatch:
    """Between two batches of an item: asks whether to go on, tells of progress, keeps checkpoints.

    ``check`` raises when the item must not be worked on any more.
    """

    def __init__(self, bench: Bench, claim: Claim, check: Callable[[], None] = lambda: None) -> None:
        self._rows, self._store = bench.rows, bench.store
        self._claim, self._check = claim, check
        self._told = time.monotonic()
        self._saved = 0

    def step(self, stage: str, done: int, total: int) -> None:
        """Raises LeaseLost, Cancelled, or what ``check`` raises."""
        self._check()
        if time.monotonic() - self._told < TELL_EVERY_S:
            return
        self._told = time.monotonic()
        # To tell is a courtesy: a database that is away for a moment does not end an item.
        with suppress(CapacityError):
            self._rows.progress(self._claim, stage, done, total)

    def load(self) -> bytes | None:
        """What an earlier attempt kept, None where there is nothing whole."""
        if self._claim.checkpoint is None:
            return None
        try:
            return read(self._store, self._claim.checkpoint)
        except (DamagedFile, CapacityError) as error:
            event("warning", "checkpoint_not_read", code=error.code)
            return None

    def save(self, state: bytes) -> None:
        """Keep a checkpoint in the place of the last one. Without room for it the item goes on without.

        Raises LeaseLost or Cancelled; nothing of the checkpoint stays then.
        """
        self._saved += 1
        name = f"{self._claim.token}-{self._saved}"
        key = f"{item_prefix(self._claim)}checkpoint/{name}"
        try:
            stored = self._store.put(key, state)
            file = StoredFile(name, key, stored.sha256, stored.bytes, OCTETS)
            replaced = self._rows.checkpoint(self._claim, file)
            if replaced is not None:
                self._store.delete(replaced.key)
        except (LeaseLost, Cancelled):
            self._store.delete(key)
            raise
        except CapacityError as error:
            event("warning", "checkpoint_not_kept", code=error.code)


def item_prefix(claim: Claim) -> str:
    """Of the keys of an item."""
    return f"jobs/{claim.job_id}/{claim.n}/"


def attempt_prefix(claim: Claim) -> str:
    """Of the keys that this attempt alone writes, checkpoints aside."""
    return f"{item_prefix(claim)}{claim.attempt}/"


def perform(bench: Bench, claim: Claim, watch: ItemWatch) -> Done | Failed:
    """Decode, segment, write. What is wrong with the input is an outcome; everything else is raised."""
    try:
        clock = Clock()
        answer = _answer(bench, claim, watch, clock)
        return write_item(answer, claim.job.outputs, bench.store, claim, clock)
    except (InputError, DamagedFile) as error:
        return Failed(problem_of(error))


def problem_of(error: BreastCascadeError) -> Problem:
    """The same for a row."""
    return Problem(error.code, error.found, error.wanted, error.remedy)


def _answer(bench: Bench, claim: Claim, watch: ItemWatch, clock: Clock) -> Answer:
    engine = bench.engine()
    pinned(engine, claim.job)
    parameters = parameters_of(claim.job)
    with clock.span("decode"):
        image = _decoded(bench, engine, claim, parameters)
    _check_some(claim.job.outputs, image)
    formats = [wanted_format(name, None) for name in claim.job.outputs]
    probabilities, masks = any(one.probabilities for one in formats), any(one.masks for one in formats)
    request = replace(parameters.request(), probabilities=probabilities, masks=masks)
    answer = engine.segment(image, request, watch)
    clock.add("stages", answer.timings_ms["stages"])
    return answer


def _check_some(outputs: Sequence[str], image: Image) -> None:
    """Raises InputError, before the networks run, where none of the outputs can be had of this image."""
    refused: list[InputError] = []
    for name in outputs:
        try:
            wanted_format(name, None).of(image)
        except InputError as error:
            refused.append(error)
    if len(refused) == len(outputs):
        raise refused[0]


def _decoded(bench: Bench, engine: Engine, claim: Claim, parameters: Parameters) -> Image:
    item = claim.item
    content = StoredContent(bench.store, StoredFile(item.name, item.key, item.sha256, item.bytes, OCTETS))
    request = parameters.request()
    options = parameters.options(bench.limits, engine.raw_modalities(request), engine.around(request))
    image = bench.decoders.read(content, options)
    parameters.check(image)
    return image


def parameters_of(job: NewJob) -> Parameters:
    """What a job asks of each item, its pipeline pinned. Raises BadParameter."""
    given = {name: texts for name, texts in job.parameters.items() if name not in ("pipeline", "version")}
    asked = {**given, "pipeline": [job.pipeline], "version": [job.version]}
    return read_parameters((name, text) for name, texts in asked.items() for text in texts)
