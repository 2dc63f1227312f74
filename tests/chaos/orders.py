"""Jobs to be disturbed, and what is true of each one in the end, whatever happened to it."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from functools import cache
from zipfile import ZipFile

import httpx
from pydicom import uid

from tests.chaos.house import House
from tests.service.formats.dicom_files import instance, region, saved
from tests.service.jobs.pictures import picture, volume
from tests.tiny_pipeline import NAME, square

File = tuple[str, bytes]
# Every entry of a zip with all that says something about it, and its content.
Told = list[tuple[str, object, bytes]]
FINAL_ITEMS = {"succeeded", "failed", "cancelled"}
FINAL_JOBS = {"succeeded", "partial", "failed"}
OUTPUTS = "json,mask,dicom-seg"
SLICES = 120


@cache
def ultrasound() -> bytes:
    """A DICOM picture of 64 x 64 pixels with one bright square."""
    about = {"Modality": "US", "BurnedInAnnotation": "NO", "SequenceOfUltrasoundRegions": [region((4, 4, 59, 59))]}
    storage = uid.UltrasoundImageStorage
    dated = {"StudyDate": "20240102", "StudyTime": "101112", "ContentDate": "20240102", "ContentTime": "101213"}
    return saved(instance(square(20, 20, 16), SOPClassUID=storage, SOPInstanceUID="1.2.3.4.5", **about, **dated))


@cache
def mixed() -> tuple[File, ...]:
    """A volume, a picture, half of one, a DICOM picture and no picture at all: a job that ends as partial."""
    broken = picture()[:100] + bytes(50)
    return (
        ("volume.nii", volume(SLICES)),
        ("picture.png", picture(24)),
        ("broken.png", broken),
        ("scan.dcm", ultrasound()),
        ("letter.txt", b"Dear colleague, please find enclosed"),
    )


# Which of these are begun: what is no picture is not even tried.
TRIED = [1, 1, 1, 1, 0]


@cache
def pictures(count: int) -> tuple[File, ...]:
    """So many different pictures, every fifth in DICOM."""
    made = [(f"{n}.png", picture(8 + n % 30, 10 + n % 9)) for n in range(count)]
    return tuple(("scan.dcm", ultrasound()) if n % 5 == 4 else one for n, one in enumerate(made))


def posted(house: House, files: Sequence[File], key: str | None = None) -> httpx.Response:
    """The answer to a job of these files."""
    return house.client.post(
        "/jobs",
        files=[("files", one) for one in files],
        data={"pipeline": NAME, "outputs": OUTPUTS},
        headers={} if key is None else {"Idempotency-Key": key},
    )


def accepted(house: House, files: Sequence[File], key: str | None = None) -> str:
    """The id of a job of these files."""
    answer = posted(house, files, key)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def ended(house: House, job_id: str) -> None:
    """Wait for the end of a job."""
    house.until(lambda: house.rows.job(job_id, "").state in FINAL_JOBS)


def told(house: House, job_id: str) -> Told:
    """The results of a job: all of it but the run's times, the job's id and the moment of its receipt."""
    content = house.client.get(f"/jobs/{job_id}/results").content
    with ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        entries = [
            (one.filename, (one.date_time, one.compress_type, one.external_attr), archive.read(one))
            for one in archive.infolist()
        ]
    names = [name for name, _, _ in entries]
    assert len(names) == len(set(names))
    return [(name, about, _nameless(name, content)) for name, about, content in entries if name != "timings.json"]


def _nameless(name: str, content: bytes) -> bytes:
    if name != "report.json":
        return content
    job = json.loads(content)["job"]
    return content.replace(job["id"].encode(), b"ID").replace(job["created"].encode(), b"CREATED")


def attempts(house: House, job_id: str) -> list[int]:
    """How often each item was begun."""
    return [one.attempts for one in house.rows.items(job_id, "", 10_000, 0)]


def check_attempts(house: House, job_id: str) -> list[int]:
    """How often a worker died over each item, or was silent for a lease.

    An item is never begun again without one. On a busy machine a short lease may run out by itself, hence no case asks
    for a number of attempts.
    """
    counted = house.deaths(job_id)
    assert attempts(house, job_id) == [tried and 1 + died for tried, died in zip(TRIED, counted, strict=True)]
    return counted


def check(house: House, job_id: str, undisturbed: Told) -> None:
    """What every job owes: one end, one result, the same bytes, nothing left behind."""
    ended(house, job_id)
    job, items = house.rows.job(job_id, ""), house.rows.items(job_id, "", 10_000, 0)
    assert {one.state for one in items} <= FINAL_ITEMS
    assert (job.done, job.failed) == (len(items), sum(one.state == "failed" for one in items))
    listed = [one["id"] for one in house.client.get("/jobs?limit=1000").json()["jobs"]]
    assert listed.count(job_id) == 1
    assert told(house, job_id) == undisturbed
    check_house(house)


def check_house(house: House) -> None:
    """Nothing is left behind on the disk or among the processes."""
    house.until(lambda: not house.busy())
    house.sweep()
    assert house.strangers() == []
    assert house.missing() == []
    house.until(lambda: house.orphans() == [])
