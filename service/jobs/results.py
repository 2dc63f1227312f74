"""The results of a job as one zip, streamed: table and report first, then each item's folder, the times last."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from service.jobs.model import ItemRow, JobRow
from service.jobs.report import findings_csv, is_timings, report_json, timings_json
from service.jobs.store import Store, verified
from service.jobs.zip_out import Entry, zipped

MEDIA_TYPE = "application/zip"
Items = Callable[[], Iterable[ItemRow]]


def results(store: Store, job: JobRow, items: Items) -> Iterator[bytes]:
    """The zip, piece by piece; at no time more of it than one piece of one file is in memory.

    ``items`` gives all items of the job in their order and is called several times, so that none need be kept. Raises
    DamagedFile in the middle where a file is gone or not what was written: what was sent until then is no whole zip.
    """
    return zipped(_entries(store, job, items), compress=True)


def _entries(store: Store, job: JobRow, items: Items) -> Iterator[Entry]:
    yield Entry("findings.csv", findings_csv(job, items()))
    yield Entry("report.json", report_json(job, items()))
    for item in items():
        for file in item.files:
            if not is_timings(file):
                yield Entry(file.name, verified(store, file), file.bytes)
    yield Entry("timings.json", timings_json(job, items(), store))
