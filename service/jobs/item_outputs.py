"""The files of one item: an answer in every format that the job wants, the same bytes whoever writes them and when.

Times of the run stand in a file of their own. DICOM objects take their dates from the source and their UIDs from
digests (`service.formats.dicom_object`). A format that this answer cannot have is left out and named in the summary;
the item fails only where it can have none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import PurePosixPath
from typing import Any

import orjson

from service.answers.body import answer_body
from service.answers.clock import Clock
from service.answers.outputs import JSON, LABELMAPS, OFFERED, Format, wanted_format
from service.answers.schemas import AnswerBody
from service.engine import Answer
from service.errors import BadParameter, InputError
from service.formats.dicom_object import SegType
from service.jobs.model import Claim, Done, ItemRow, Problem, StoredFile
from service.jobs.store import Store

DEFAULT_OUTPUTS = ("json",)
TIMINGS = "timings.json"
TIMES: Any = {"timings_ms": True, "stages": {"__all__": {"milliseconds"}}}
# What findings.csv and report.json tell of an answer; outlines and masks are in the item's own files.
TOLD = {"status", "evidence", "image", "findings", "classification", "measurements", "flags", "provenance"}
UNTOLD: Any = {"findings": {"__all__": {"contour"}}, "provenance": {"preprocessing"}}
UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")
LONGEST_STEM = 60
NOTHING_FOUND = Problem(
    "none_found",
    "nothing to segment in this image",
    "a label, since DICOM knows no empty segmentation",
    "Ask for json or dicom-sr, which say that nothing was found.",
)


NOT_RUN = Problem(
    "not_run",
    "a part whose stage did not run, or of whose probability none was asked for",
    "a part of the stage asked for, or the mask of an earlier one",
    "Leave box, points and stage out, so that every stage runs.",
)


def wanted_outputs(texts: Iterable[str]) -> tuple[str, ...]:
    """Formats from a field that may be repeated and hold several between commas; JSON when nothing is said.

    In the order of the contract, each once. Raises BadParameter for one that is not offered.
    """
    named = [name.strip() for text in texts for name in text.split(",") if name.strip()]
    wanted = {wanted_format(name, None).name for name in named}
    return tuple(name for name in OFFERED if name in wanted) or DEFAULT_OUTPUTS


def write_item(answer: Answer, outputs: Sequence[str], store: Store, claim: Claim, clock: Clock | None = None) -> Done:
    """Write an item's files, one at a time. ``clock`` gets the time it takes and is told of in the timings.

    Raises InputError where no format can be had, DiskFull and whatever the store raises; nothing is left behind then.
    """
    writer = _Writer(store, claim)
    try:
        return _written(writer, answer, outputs, clock or Clock())
    except BaseException:
        discard(store, writer.files)
        raise


def discard(store: Store, files: Iterable[StoredFile]) -> None:
    """Remove files whose item was not committed."""
    for file in files:
        store.delete(file.key)


def file_of(item: ItemRow, output: str) -> StoredFile | None:
    """An item's file in one format; None where there was nothing to write (``none_found``).

    Raises BadParameter for a format that the job did not ask for, InputError for one that the item could not have.
    """
    names, left_out = _mapping(item.summary, "outputs"), _mapping(item.summary, "left_out")
    if output in names:
        return next(file for file in item.files if file.name == names[output])
    problem = left_out.get(output)
    if problem is None:
        offered = ", ".join(names) or "none"
        raise BadParameter(
            f"format={output[:40]}", f"one that this job made: {offered}", "Ask for one of these.", "unsupported_format"
        )
    if problem["code"] == NOTHING_FOUND.code:
        return None
    raise InputError(problem["found"], problem["wanted"], problem["remedy"], problem["code"])


def folder_of(n: int, name: str) -> str:
    """An item's folder in the results: its number and what of its name is harmless on every system."""
    stem = UNSAFE.sub("_", PurePosixPath(name).name.partition(".")[0]).strip("_-")
    return f"{n:05d}_{stem[:LONGEST_STEM] or 'item'}"


class _Writer:
    """Puts the files of one attempt and remembers them."""

    def __init__(self, store: Store, claim: Claim) -> None:
        self._store = store
        self._folder = folder_of(claim.n, claim.item.name)
        self._keys = f"jobs/{claim.job_id}/{claim.n}/{claim.attempt}"
        self.seg_type: Any = next(iter(claim.job.parameters.get("seg_type") or ()), None)
        self.files: list[StoredFile] = []

    def put(self, suffix: str, content: bytes, media_type: str) -> str:
        """Write one file; its name in the results."""
        name, key = f"{self._folder}/{self._folder}{suffix}", f"{self._keys}/answer{suffix}"
        self._put(name, key, content, media_type)
        return name

    def put_timings(self, content: bytes) -> None:
        """Write the times of the run, which no result but one shows."""
        self._put(f"{self._folder}/{TIMINGS}", f"{self._keys}/{TIMINGS}", content, JSON)

    def _put(self, name: str, key: str, content: bytes, media_type: str) -> None:
        # Before it is written: what a kill of this process leaves is the sweeper's, what an error leaves is ours.
        self.files.append(StoredFile(name, key, "", len(content), media_type))
        stored = self._store.put(key, content)
        self.files[-1] = replace(self.files[-1], sha256=stored.sha256)


def _written(writer: _Writer, answer: Answer, outputs: Sequence[str], clock: Clock) -> Done:
    clock.add("stages", answer.timings_ms["stages"] - clock["stages"])
    body = answer_body(answer, clock)
    names: dict[str, str] = {}
    left_out: dict[str, Problem] = {}
    for output in outputs:
        try:
            form = _format(output, writer.seg_type).of(answer.image)
            content = _json(body) if output == "json" else form.encode(answer, clock)
        except InputError as error:
            left_out[output] = Problem(error.code, error.found, error.wanted, error.remedy)
            continue
        files = {output: (form.suffix, content or None, NOTHING_FOUND), **_parts(form, answer)}
        for name, (suffix, part, problem) in files.items():
            if part is None:
                left_out[name] = problem
            else:
                names[name] = writer.put(suffix, part, form.media_type)
    _check_some(names, left_out)
    writer.put_timings(orjson.dumps(_timings(answer, clock)))
    return Done(tuple(writer.files), _summary(body, names, left_out))


def _parts(form: Format, answer: Answer) -> dict[str, tuple[str, bytes | None, Problem]]:
    """Suffix, content and why there may be none of the files that a format has beside its own, by name."""
    parts = form.parts(answer) if form.parts else {}
    return {name: (form.suffix_of(name), content, NOT_RUN) for name, content in parts.items()}


def _format(output: str, seg_type: SegType | None) -> Format:
    return wanted_format(output, None, seg_type if output in LABELMAPS else None)


def _json(body: AnswerBody) -> bytes:
    return body.model_dump_json(exclude=TIMES).encode()


def _check_some(names: dict[str, str], left_out: dict[str, Problem]) -> None:
    problems = [one for one in left_out.values() if one is not NOTHING_FOUND]
    if problems and not names and len(problems) == len(left_out):
        first = problems[0]
        raise InputError(first.found, first.wanted, first.remedy, first.code)


def _summary(body: AnswerBody, names: dict[str, str], left_out: dict[str, Problem]) -> dict[str, object]:
    told = body.model_dump(mode="json", include=TOLD, exclude=UNTOLD)
    problems = {name: asdict(problem) for name, problem in left_out.items()}
    return {**told, "outputs": names, "left_out": problems}


def _timings(answer: Answer, clock: Clock) -> dict[str, object]:
    parts = {name: round(clock[name], 3) for name in ("decode", "stages", "encode")}
    return {**parts, "total": round(clock.total, 3), "by_stage": [_stage(one) for one in answer.result.stages]}


def _stage(one: Any) -> dict[str, object]:
    return {
        "name": one.name,
        "milliseconds": round(one.milliseconds, 3),
        "network_ms": round(one.network_ms, 3),
        "network_runs": one.network_runs,
    }


def _mapping(summary: Any, name: str) -> dict[str, Any]:
    return dict(summary.get(name) or {})
