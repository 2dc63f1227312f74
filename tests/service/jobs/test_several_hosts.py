"""The web service and two workers that share no disk: PostgreSQL, object storage and Redis, all real and at once."""

from __future__ import annotations

import io
import json
import subprocess
import uuid
from collections.abc import Sequence
from pathlib import Path
from zipfile import ZipFile

from service.jobs.rows import Rows
from service.settings import Settings
from tests.postgres import new_database
from tests.processes import Served
from tests.service.jobs.brokers import redis_server
from tests.service.jobs.pictures import picture, volume
from tests.service.jobs.stores import BUCKET
from tests.service.jobs.test_serve_jobs import ended, half_done, service, tidy, until, worker

LONG = 3000
FILES = (("v.nii", volume(LONG)), ("a.png", picture()), ("b.png", picture(30)), ("c.png", picture()[:90]))


def elsewhere(settings: Settings, folder: Path) -> Settings:
    """The settings of a worker on another host: it has a disk of its own."""
    return settings.model_copy(update={"data_dir": folder})


def posted(running: Served) -> str:
    answer = running.client.post(
        "/jobs", files=[("files", one) for one in FILES], data={"pipeline": "tiny", "outputs": "json,mask"}
    )
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def told(running: Served, job_id: str) -> dict[str, bytes]:
    """The results of a job as a client gets them, without what is of the run."""
    with ZipFile(io.BytesIO(running.client.get(f"/jobs/{job_id}/results").content)) as archive:
        found = {name: archive.read(name) for name in archive.namelist() if name != "timings.json"}
    job = json.loads(found["report.json"])["job"]
    for said in (job["id"], job["created"]):
        found["report.json"] = found["report.json"].replace(said.encode(), b"")
    return found


def busy(rows: Rows, crew: Sequence[subprocess.Popen[bytes]]) -> list[subprocess.Popen[bytes]]:
    """Those of the crew that have an item in hand, as far as they have told."""
    names = [one.worker for one in rows.workers() if one.busy]
    return [one for one in crew if any(f"_{one.pid}_" in name for name in names)]


def at_the_volume(rows: Rows, job_id: str, crew: Sequence[subprocess.Popen[bytes]]) -> bool:
    """Whether all of a job is done but its volume, of which a part is, and one of the crew is at work."""
    return rows.job(job_id, "").done == len(FILES) - 1 and half_done(rows, job_id) and len(busy(rows, crew)) == 1


def test_a_worker_on_one_host_dies_and_one_on_another_goes_on(
    tmp_path: Path, tiny_pipelines: Path, postgres_folder: Path, endpoint: str
) -> None:
    addresses = {
        "database_url": new_database(postgres_folder, f"hosts_{uuid.uuid4().hex}"),
        "store_url": f"s3://{BUCKET}/{uuid.uuid4().hex}?endpoint={endpoint}",
        # None runs out by itself, however busy this machine is: that a worker died is seen by its process.
        "lease_seconds": "600",
    }
    disks = [tmp_path / "one", tmp_path / "two"]
    with (
        redis_server(tmp_path) as broker,
        service(tmp_path / "web", tiny_pipelines, broker_url=broker.url, **addresses) as (running, rows, store, mine),
        worker(elsewhere(mine, disks[0])) as first,
        worker(elsewhere(mine, disks[1])) as second,
    ):
        until(lambda: len(rows.workers()) == 2)
        undisturbed = posted(running)
        until(lambda: ended(rows, undisturbed))
        job_id = posted(running)
        until(lambda: at_the_volume(rows, job_id, (first, second)))
        [dies] = busy(rows, (first, second))
        dies.kill()
        until(lambda: ended(rows, job_id))
        assert rows.job(job_id, "").state == "partial"
        assert rows.item(job_id, "", 0).attempts == 2
        assert told(running, job_id) == told(running, undisturbed)
        assert tidy(rows, store, job_id)
        stays = second if dies is first else first
        stays.terminate()
        assert stays.wait(30) == 0
        assert rows.workers() == ()
        assert 'attempts_lost_total{device="cpu",reason="worker_died"} 1.0' in running.client.get("/metrics").text
    assert [path for disk in disks for path in disk.rglob("*") if path.is_file()] == []
