"""What the routes of jobs read from rows and store; everything here may block."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from starlette.responses import Response

from service.api.job_schemas import JobBody, item_of, summary_of
from service.errors import Conflict, UnknownJob
from service.jobs.desk import Desk
from service.jobs.item_outputs import file_of
from service.jobs.model import FINAL_ITEM_STATES, FINAL_JOB_STATES, ItemRow, JobRow
from service.jobs.store import read

ID = re.compile(r"[0-9a-f]{32}")
BATCH = 500


@dataclass(frozen=True)
class Wanted:
    """One answer of one item; the job's first output where no format is named."""

    job_id: str
    owner: str
    n: int
    format: str | None


def known(job_id: str) -> str:
    """The id. Raises UnknownJob for what can be none, before any database sees it."""
    if not ID.fullmatch(job_id):
        raise UnknownJob("no job of this id", "the id of one of your jobs", "See GET /jobs for them.")
    return job_id


def body(desk: Desk, row: JobRow, limit: int, offset: int) -> JobBody:
    """A job with one page of its items."""
    items = [item_of(one) for one in desk.rows.states(row.id, row.owner, limit, offset)]
    return JobBody(**dict(summary_of(row)), items=items)


def ended(desk: Desk, job_id: str, owner: str) -> JobRow:
    """A job whose results are there. Raises UnknownJob, or Conflict (results_not_ready, results_expired)."""
    row = desk.rows.job(known(job_id), owner)
    if row.state not in FINAL_JOB_STATES:
        raise Conflict(
            f"a job that is {row.state}, {row.done} of {row.total} items done",
            "one that has ended",
            "Wait for its end: GET /jobs/{id}/events tells it. Items that are done can be fetched one by one.",
            "results_not_ready",
        )
    return _kept(row)


def fetchable(desk: Desk, job_id: str, owner: str) -> JobRow:
    """A job whose results the store gives, as far as its first file tells. Raises as `ended`, StoreAway, DamagedFile.

    Once an answer has begun, all that is left of an error is that the answer is cut off.
    """
    row = ended(desk, job_id, owner)
    first = next((file for item in all_items(desk, row) for file in item.files), None)
    if first is not None:
        desk.store.open(first.key).close()
    return row


def all_items(desk: Desk, row: JobRow) -> Iterator[ItemRow]:
    """All items of a job in order."""
    for offset in range(0, row.total, BATCH):
        yield from desk.rows.items(row.id, row.owner, BATCH, offset)


def answer(desk: Desk, wanted: Wanted) -> Response:
    """One stored answer; 204 where its format has nothing to say.

    Raises UnknownJob, BadParameter, InputError for a format that this item could not have, or Conflict
    (results_not_ready, results_expired, item_without_answer).
    """
    row = _kept(desk.rows.job(known(wanted.job_id), wanted.owner))
    item = desk.rows.item(row.id, row.owner, wanted.n)
    _check_answered(item)
    file = file_of(item, wanted.format or row.outputs[0])
    headers = {
        "Breast-Cascade-Status": str(item.summary.get("status")),
        "Breast-Cascade-Pipeline": f"{row.pipeline}/{row.version}",
        "Breast-Cascade-Notice": "research use only, not a medical device",
    }
    if file is None:
        return Response(status_code=204, headers=headers)
    # What the sender called the picture stays out of it.
    suffix = file.key.rpartition("/")[2].removeprefix("answer")
    headers["Content-Disposition"] = f'attachment; filename="{row.pipeline}-{row.version}-{item.n:05d}{suffix}"'
    return Response(read(desk.store, file), headers=headers, media_type=file.media_type)


def _kept(row: JobRow) -> JobRow:
    if row.state == "expired":
        raise Conflict(
            "a job whose time is over, its results erased",
            "one that was fetched in time",
            "Send the job again.",
            "results_expired",
        )
    return row


def _check_answered(item: ItemRow) -> None:
    if item.state == "succeeded":
        return
    if item.state in FINAL_ITEM_STATES:
        raise Conflict(
            f"an item that {'failed' if item.state == 'failed' else 'was cancelled'}",
            "one that succeeded",
            "GET /jobs/{id} tells its problem.",
            "item_without_answer",
        )
    raise Conflict(
        f"an item that is {item.state}", "one that has ended", "Ask again once it has ended.", "results_not_ready"
    )
