"""Rows of the database to the values of `service.jobs.model`, and their parts to JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Row

from service.jobs.model import ItemRow, JobRow, NewItem, NewJob, Problem, StoredFile

AnyRow = Row[*tuple[Any, ...]]


def moment(seconds: float) -> datetime:
    """An aware datetime of seconds since 1970."""
    return datetime.fromtimestamp(seconds, UTC)


def stored(value: Mapping[str, Any] | None) -> StoredFile | None:
    """A file as JSON keeps it."""
    return None if value is None else StoredFile(**value)


def as_json(value: StoredFile | Problem | None) -> dict[str, Any] | None:
    """A file or a problem for JSON."""
    return None if value is None else asdict(value)


def job_row(row: AnyRow, keep_seconds: float) -> JobRow:
    """A row of ``jobs``; it expires ``keep_seconds`` after it has finished."""
    finished = row.finished
    return JobRow(
        id=row.id,
        owner=row.owner,
        state=row.state,
        pipeline=row.pipeline,
        version=row.version,
        outputs=tuple(row.outputs),
        created=moment(row.created),
        finished=None if finished is None else moment(finished),
        expires=None if finished is None else moment(finished + keep_seconds),
        total=row.total,
        done=row.done,
        stage=row.stage,
        seq=row.seq,
        failed=row.failed,
        weights=row.weights,
        parameters=row.parameters,
    )


def item_row(row: AnyRow) -> ItemRow:
    """A row of ``items``; files and summary are empty where they were not asked for."""
    files, summary = getattr(row, "files", ()), getattr(row, "summary", {})
    return ItemRow(
        job_id=row.job_id,
        n=row.n,
        name=row.name,
        state=row.state,
        problem=None if row.problem is None else Problem(**row.problem),
        stage=row.stage,
        steps_done=row.steps_done,
        steps_total=row.steps_total,
        files=tuple(StoredFile(**file) for file in files),
        summary=summary,
        kind=row.kind,
        attempts=row.attempts,
        sha256=row.sha256,
    )


def new_job(row: AnyRow) -> NewJob:
    """The request behind a row of ``jobs``."""
    return NewJob(
        id=row.id,
        owner=row.owner,
        pipeline=row.pipeline,
        version=row.version,
        weights=row.weights,
        outputs=tuple(row.outputs),
        parameters=row.parameters,
        fingerprint=row.fingerprint,
        key=row.key,
        device_class=row.device,
    )


def new_item(row: AnyRow) -> NewItem:
    """The input behind a row of ``items``."""
    return NewItem(row.name, row.kind, row.key, row.sha256, row.bytes)


def named_keys(row: AnyRow) -> list[str]:
    """Every key of the store that a row of ``items`` names."""
    files = [*row.files, *([row.checkpoint] if row.checkpoint else [])]
    return [key for key in (row.key, *(file["key"] for file in files)) if key]
