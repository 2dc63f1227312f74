"""What a whole job has to say: a table of findings, a report with provenance, the times. Written row by row."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

import orjson

from service.formats.coco import NOTICE
from service.jobs.item_outputs import TIMINGS
from service.jobs.model import ItemRow, JobRow, StoredFile
from service.jobs.store import Store, read

# A program that calculates takes a cell that begins so for a formula.
FORMULA = r"[=+\-@\t\r\n|%\uff1d\uff0b\uff0d\uff20]"
# Where a country writes decimal commas, its programs part cells at semicolons, within quotes of other cells, too.
INJECTED = re.compile(rf"(\A|;[ \"]*)({FORMULA})")
# What ends a cell for one program or another.
SEPARATORS = frozenset(',;\t\r\n"')
ITEM_COLUMNS = ("item", "name", "state", "problem", "pipeline", "version", "status", "class", "class_score")
FINDING_COLUMNS = (
    *("finding", "label", "score", "left_px", "top_px", "right_px", "bottom_px", "first_slice", "last_slice"),
    *("area_px", "area_mm2", "long_axis_mm", "short_axis_mm", "longest_mm", "volume_ml"),
    *("centroid_x_px", "centroid_y_px", "centroid_slice", "centroid_x_mm", "centroid_y_mm", "centroid_z_mm"),
    *("quadrant", "clock_face", "touches_border", "spacing_source"),
)
MEASUREMENT_COLUMNS = ("measurement", "measurement_value", "measurement_unit")
COLUMNS = (*ITEM_COLUMNS, *FINDING_COLUMNS, *MEASUREMENT_COLUMNS)
AS_SAID = ("label", "score", "area_px", "area_mm2", "long_axis_mm", "short_axis_mm", "longest_mm", "volume_ml")
PLACES = ("quadrant", "clock_face", "touches_border")


def findings_csv(job: JobRow, items: Iterable[ItemRow]) -> Iterator[bytes]:
    """A row per finding and per measurement, and one for an item without either. UTF-8, lines end with CR LF.

    Columns never change their order; further ones come at the end. Lengths are in the unit that their names end with,
    empty where the spacing is unknown; slices count from 0, ``last_slice`` is the last one of the finding. What a
    measurement is and is not stands in its ``text`` in report.json.
    """
    yield _line(COLUMNS)
    for item in items:
        lead = _lead(job, item)
        found = [_finding(one, item) for one in _sequence(item.summary.get("findings"))]
        found += [_measurement(one) for one in _sequence(item.summary.get("measurements"))]
        rows = [{**lead, **one} for one in found] or [lead]
        yield b"".join(_line([row.get(name) for name in COLUMNS]) for row in rows)


def report_json(job: JobRow, items: Iterable[ItemRow]) -> Iterator[bytes]:
    """Where the results come from and what became of every item. No times of the run but that of the job's receipt."""
    head = orjson.dumps({"research_use_only": True, "notice": NOTICE, "job": _job(job)})
    yield head[:-1] + b',"items":['
    for number, item in enumerate(items):
        yield (b",\n" if number else b"\n") + orjson.dumps(_item(item))
    yield b"\n]}\n"


def timings_json(job: JobRow, items: Iterable[ItemRow], store: Store) -> Iterator[bytes]:
    """Everything about the job that another run would say differently. Raises DamagedFile."""
    yield orjson.dumps({"finished": job.finished})[:-1] + b',"items":['
    for number, item in enumerate(items):
        files = [file for file in item.files if is_timings(file)]
        measured = orjson.loads(read(store, files[0])) if files else None
        line = {"n": item.n, "attempts": item.attempts, "timings_ms": measured}
        yield (b",\n" if number else b"\n") + orjson.dumps(line)
    yield b"\n]}\n"


def is_timings(file: StoredFile) -> bool:
    """Whether a file of an item holds its times and is no result."""
    return file.name.rpartition("/")[2] == TIMINGS


def _line(cells: Iterable[object]) -> bytes:
    return (",".join(map(_cell, cells)) + "\r\n").encode()


def _cell(value: object) -> str:
    """A text that begins like a formula, here or where semicolons part cells, gets an apostrophe; numbers keep their
    sign. Quoted as RFC 4180 has it.
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    text = INJECTED.sub(r"\1'\2", value) if isinstance(value, str) else str(value)
    return '"' + text.replace('"', '""') + '"' if SEPARATORS & set(text) else text


def _lead(job: JobRow, item: ItemRow) -> dict[str, object]:
    scores: Mapping[str, float] = _part(_part(item.summary, "classification"), "scores")
    best = max(scores, key=scores.__getitem__) if scores else None
    return {
        "item": item.n,
        "name": item.name,
        "state": item.state,
        "problem": item.problem.code if item.problem else None,
        "pipeline": job.pipeline,
        "version": job.version,
        "status": item.summary.get("status"),
        "class": best,
        "class_score": None if best is None else scores[best],
    }


def _finding(one: Mapping[str, Any], item: ItemRow) -> dict[str, object]:
    left, top, right, bottom = one["box"]
    first, after = one["slices"]
    x, y, z = one["centroid"]
    x_mm, y_mm, z_mm = one["centroid_mm"] or (None, None, None)
    return {
        "finding": one["id"],
        **{name: one.get(name) for name in (*AS_SAID, *PLACES)},
        "left_px": left,
        "top_px": top,
        "right_px": right,
        "bottom_px": bottom,
        "first_slice": first,
        "last_slice": after - 1,
        "centroid_x_px": x,
        "centroid_y_px": y,
        "centroid_slice": z,
        "centroid_x_mm": x_mm,
        "centroid_y_mm": y_mm,
        "centroid_z_mm": z_mm,
        "spacing_source": _part(item.summary, "image").get("spacing_source"),
    }


def _measurement(one: Mapping[str, Any]) -> dict[str, object]:
    return dict(zip(MEASUREMENT_COLUMNS, (one["name"], one["value"], one["unit"]), strict=True))


def _job(job: JobRow) -> dict[str, object]:
    return {
        "id": job.id,
        "state": job.state,
        "pipeline": job.pipeline,
        "version": job.version,
        "weights_sha256": job.weights,
        "outputs": job.outputs,
        "parameters": dict(job.parameters),
        "created": job.created,
        "items": job.total,
        "failed": job.failed,
    }


def _item(item: ItemRow) -> dict[str, object]:
    told = {name: value for name, value in item.summary.items() if name not in ("findings", "outputs")}
    files = {file.name: file for file in item.files}
    names: Mapping[str, str] = _part(item.summary, "outputs")
    return {
        "n": item.n,
        "name": item.name,
        "kind": item.kind,
        "state": item.state,
        "problem": asdict(item.problem) if item.problem else None,
        "findings": len(_sequence(item.summary.get("findings"))),
        **told,
        "files": {output: _file(files[name]) for output, name in names.items()},
    }


def _file(file: StoredFile) -> dict[str, object]:
    return {"name": file.name, "sha256": file.sha256, "bytes": file.bytes, "media_type": file.media_type}


def _part(summary: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    return summary.get(name) or {}


def _sequence(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
