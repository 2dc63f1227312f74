"""Jobs as the HTTP contract says them, field by field."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from service.answers.schemas import Body
from service.jobs.model import ItemRow, ItemState, JobRow, JobState


class ProgressBody(Body):
    """How far a job or an item is; ``done`` of a job counts items in a final state.

    ``stage`` is a text for people and may be null; that of a job tells how far the item last heard of is:
    ``lesion 120/600``.
    """

    done: int
    total: int
    stage: str | None


class ItemProblemBody(Body):
    """Why an item failed. ``code`` is stable, the texts are for people."""

    code: str
    found: str
    wanted: str
    remedy: str


class ItemBody(Body):
    """One image or volume of a job; ``n`` counts from 0. ``progress`` counts slices or pictures, not items."""

    n: int
    name: str
    kind: Literal["image", "volume"]
    state: ItemState
    progress: ProgressBody
    problem: ItemProblemBody | None


class JobSummaryBody(Body):
    """One job without its items. ``seq`` grows with every change; ``expires``: when input and results are erased."""

    id: str
    state: JobState
    pipeline: str
    version: str
    outputs: list[str]
    progress: ProgressBody
    failed: int = Field(description="Items that failed; they count as done.")
    seq: int
    created: datetime
    finished: datetime | None
    expires: datetime | None


class JobBody(JobSummaryBody):
    """One job with one page of its items."""

    items: list[ItemBody]


class JobsBody(Body):
    """One page of the asker's jobs, the latest first."""

    jobs: list[JobSummaryBody]


def summary_of(job: JobRow) -> JobSummaryBody:
    """A job without its items."""
    return JobSummaryBody(
        id=job.id,
        state=job.state,
        pipeline=job.pipeline,
        version=job.version,
        outputs=list(job.outputs),
        progress=ProgressBody(done=job.done, total=job.total, stage=job.stage),
        failed=job.failed,
        seq=job.seq,
        created=job.created,
        finished=job.finished,
        expires=job.expires,
    )


def item_of(row: ItemRow) -> ItemBody:
    """One item."""
    problem = row.problem and ItemProblemBody.model_validate(vars(row.problem))
    progress = ProgressBody(done=row.steps_done, total=row.steps_total, stage=row.stage)
    return ItemBody(n=row.n, name=row.name, kind=row.kind, state=row.state, progress=progress, problem=problem)
