"""Jobs over real HTTP, on real rows and files, worked off by a real worker."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from zipfile import ZipFile

import nibabel as nib
import numpy as np
import pytest

from service.api.keys import add_key
from service.engine import Engine
from service.settings import Settings
from tests.service.asking import EXPECTED, SQUARE, pixels, png
from tests.service.formats.dicom_sources import ultrasound_file
from tests.service.jobs_over_http import PICTURE, Counter, counter
from tests.tiny_pipeline import square

SUMMARY = {
    *("id", "state", "pipeline", "version", "outputs", "progress", "failed", "seq", "created", "finished", "expires"),
}
DARK = png(square(0, 0, 32) // 4)


@pytest.fixture(scope="module")
def at(tiny_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Counter]:
    """A service with jobs that all tests share; each looks at its own jobs alone."""
    folder = tmp_path_factory.mktemp("jobs")
    keys = folder / "keys.txt"
    ANNA["authorization"] = f"Bearer {add_key(keys, 'anna')}"
    BEN["authorization"] = f"Bearer {add_key(keys, 'ben')}"
    with counter(tiny_engine, Settings(data_dir=folder / "data", access_keys=keys, max_job_bytes=3_000_000)) as opened:
        yield opened


ANNA: dict[str, str] = {}
BEN: dict[str, str] = {}


def zipped(**files: bytes) -> bytes:
    stream = io.BytesIO()
    with ZipFile(stream, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


def code(answer: object) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]  # type: ignore[attr-defined]


def test_a_job_from_its_202_to_its_results(at: Counter) -> None:
    answer = at.send(("a.png", PICTURE), ("b.png", DARK), outputs="mask,json", threshold="0.4")
    job = answer.json()
    assert (answer.status_code, answer.headers["location"]) == (202, f"/jobs/{job['id']}")
    assert set(job) == {*SUMMARY, "items"}
    assert (job["state"], job["pipeline"], job["version"]) == ("queued", "tiny", "1.0.0")
    assert job["outputs"] == ["json", "mask"]
    assert job["progress"] == {"done": 0, "total": 2, "stage": None}
    assert [(one["n"], one["name"], one["state"]) for one in job["items"]] == [
        (0, "a.png", "queued"),
        (1, "b.png", "queued"),
    ]
    assert at.client.get(f"/jobs/{job['id']}").json() == job
    at.work()
    ended = at.client.get(f"/v1/jobs/{job['id']}").json()
    assert (ended["state"], ended["progress"]["done"], ended["failed"]) == ("succeeded", 2, 0)
    assert ended["seq"] > job["seq"]
    assert ended["finished"] < ended["expires"]
    files = at.unzipped(job["id"])
    np.testing.assert_array_equal(pixels(files["00000_a/00000_a.mask.png"]), EXPECTED)
    assert json.loads(files["00001_b/00001_b.json"])["status"] == "none_found"
    rows = list(csv.DictReader(io.StringIO(files["findings.csv"].decode())))
    assert [(row["name"], row["status"]) for row in rows] == [("a.png", "found"), ("b.png", "none_found")]
    assert json.loads(files["report.json"])["job"]["parameters"] == {"threshold": ["0.4"]}


def test_items_are_fetched_one_by_one_in_the_formats_of_the_job(at: Counter) -> None:
    job = at.done(("a.png", PICTURE), outputs="mask,json")
    first = at.client.get(f"/jobs/{job}/items/0")
    assert (first.status_code, first.json()["status"]) == (200, "found")
    mask = at.client.get(f"/jobs/{job}/items/0", params={"format": "mask"})
    np.testing.assert_array_equal(pixels(mask.content), EXPECTED)
    assert mask.headers["content-type"] == "image/png"
    assert mask.headers["content-disposition"] == 'attachment; filename="tiny-1.0.0-00000.mask.png"'
    assert mask.headers["breast-cascade-status"] == "found"
    for name in ("overlay", "panel", "nothing"):
        assert code(at.client.get(f"/jobs/{job}/items/0", params={"format": name})) == (422, "unsupported_format")
    assert code(at.client.get(f"/jobs/{job}/items/7")) == (404, "unknown_item")
    assert at.client.get(f"/jobs/{job}/items/-1").status_code == 422
    assert at.client.get(f"/jobs/{job}/items/{10**30}").status_code == 422


def test_a_dicom_segmentation_of_nothing_is_204(at: Counter) -> None:
    job = at.done(("dark.dcm", ultrasound_file(square(0, 0, 32) // 4)), outputs="dicom-seg")
    answer = at.client.get(f"/jobs/{job}/items/0?format=dicom-seg")
    assert (answer.status_code, answer.headers["breast-cascade-status"]) == (204, "none_found")


def test_zips_and_volumes_become_items(at: Counter, tmp_path: Path) -> None:
    volume = nib.Nifti1Image(np.stack([SQUARE, SQUARE], axis=2), np.diag([0.5, 0.5, 2, 1]))
    nib.save(volume, tmp_path / "volume.nii.gz")
    inside = {"x/a.png": PICTURE, "../../b.png": PICTURE, "broken.png": PICTURE[:100], "notes.txt": b"none"}
    sent = (("all.zip", zipped(**inside)), ("volume.nii.gz", (tmp_path / "volume.nii.gz").read_bytes()))
    job = at.done(*sent, outputs="json,mask")
    found = at.client.get(f"/jobs/{job}").json()
    assert (found["state"], found["failed"]) == ("partial", 2)
    assert [(one["name"], one["kind"], one["state"]) for one in found["items"]] == [
        ("x/a.png", "image", "succeeded"),
        ("b.png", "image", "succeeded"),
        ("broken.png", "image", "failed"),
        ("notes.txt", "image", "failed"),
        ("volume.nii.gz", "volume", "succeeded"),
    ]
    problem = found["items"][3]["problem"]
    assert set(problem) == {"code", "found", "wanted", "remedy"}
    assert code(at.client.get(f"/jobs/{job}/items/3")) == (409, "item_without_answer")
    assert at.client.get(f"/jobs/{job}/items/4?format=mask").headers["content-type"] == "application/gzip"
    assert all(".." not in name for name in at.unzipped(job))


def test_items_and_jobs_are_paged(at: Counter) -> None:
    jobs = [at.made(*[(f"{n}.png", PICTURE) for n in range(3)], headers=BEN) for _ in range(2)]
    page = at.client.get(f"/jobs/{jobs[0]}", params={"limit": 1, "offset": 1}, headers=BEN).json()
    assert [one["n"] for one in page["items"]] == [1]
    assert at.client.get(f"/jobs/{jobs[0]}", params={"offset": 9}, headers=BEN).json()["items"] == []
    listed = at.client.get("/jobs", headers=BEN).json()["jobs"]
    assert [one["id"] for one in listed] == jobs[::-1]
    assert set(listed[0]) == SUMMARY
    assert [one["id"] for one in at.client.get("/jobs?limit=1&offset=1", headers=BEN).json()["jobs"]] == jobs[:1]
    for wrong in ("limit=0", "limit=1001", "offset=-1", f"offset={10**20}", "limit=x"):
        assert at.client.get(f"/jobs?{wrong}", headers=BEN).status_code == 422
        assert at.client.get(f"/jobs/{jobs[0]}?{wrong}", headers=BEN).status_code == 422


def test_a_strangers_job_is_not_there(at: Counter) -> None:
    job = at.made(headers=ANNA)
    asked = [("GET", ""), ("GET", "/events"), ("GET", "/results"), ("GET", "/items/0"), ("POST", "/cancel")]
    for headers in ({}, BEN):
        for method, path in [*asked, ("DELETE", "")]:
            assert code(at.client.request(method, f"/jobs/{job}{path}", headers=headers)) == (404, "unknown_job")
        assert job not in [one["id"] for one in at.client.get("/jobs", headers=headers).json()["jobs"]]
    assert at.client.get(f"/jobs/{job}", headers=ANNA).status_code == 200
    assert at.client.delete(f"/jobs/{job}", headers=ANNA).status_code == 204


@pytest.mark.parametrize("job", ["0" * 32, "x", "%00", "A" * 32, "0" * 400, "..%2f..", "é"])
def test_ids_that_cannot_be_are_404(at: Counter, job: str) -> None:
    for method, path in (("GET", ""), ("GET", "/results"), ("GET", "/items/0"), ("POST", "/cancel"), ("DELETE", "")):
        assert at.client.request(method, f"/jobs/{job}{path}").status_code == 404


def test_cancel(at: Counter) -> None:
    job = at.made(("a.png", PICTURE), ("b.png", PICTURE))
    cancelled = at.client.post(f"/jobs/{job}/cancel").json()
    assert cancelled["state"] == "cancelled"
    assert {one["state"] for one in cancelled["items"]} == {"cancelled"}
    assert at.client.post(f"/jobs/{job}/cancel").status_code == 200
    assert code(at.client.get(f"/jobs/{job}/items/0")) == (409, "item_without_answer")
    assert "report.json" in at.unzipped(job)
    at.work()
    assert at.state(job) == "cancelled"
    finished = at.done()
    assert code(at.client.post(f"/jobs/{finished}/cancel")) == (409, "job_finished")


def test_erase_leaves_nothing(at: Counter) -> None:
    for job in (at.made(), at.done()):
        assert [key for key in at.stored() if job in key]
        answer = at.client.delete(f"/jobs/{job}")
        assert (answer.status_code, answer.content) == (204, b"")
        assert code(at.client.get(f"/jobs/{job}")) == (404, "unknown_job")
        assert code(at.client.delete(f"/jobs/{job}")) == (404, "unknown_job")
        assert not [key for key in at.stored() if job in key]


def test_results_come_at_the_end_and_not_after_it(at: Counter) -> None:
    job = at.made()
    assert code(at.client.get(f"/jobs/{job}/results")) == (409, "results_not_ready")
    assert code(at.client.get(f"/jobs/{job}/items/0")) == (409, "results_not_ready")
    at.work()
    answer = at.client.get(f"/jobs/{job}/results")
    assert answer.headers["content-type"] == "application/zip"
    assert answer.headers["content-disposition"] == f'attachment; filename="breast-cascade-{job[:8]}.zip"'
    for key in at.desk.rows.expire_job(job):
        at.desk.store.delete(key)
    assert at.state(job) == "expired"
    for path in ("results", "items/0"):
        assert code(at.client.get(f"/jobs/{job}/{path}")) == (410, "results_expired")


def test_a_lost_result_is_no_whole_zip(at: Counter) -> None:
    job = at.done(("a.png", PICTURE), ("b.png", PICTURE))
    lost = {n: [one for one in at.stored() if f"{job}/{n}/" in one and "answer" in one] for n in (1, 0)}
    for key in lost[1]:
        at.desk.store.delete(key)
    assert at.client.get(f"/jobs/{job}/items/1").status_code == 500
    # It has begun before that is noticed.
    with pytest.raises(Exception, match="peer closed connection|incomplete"):
        at.client.get(f"/jobs/{job}/results")
    for key in lost[0]:
        at.desk.store.delete(key)
    assert at.client.get(f"/jobs/{job}/results").status_code == 500


@pytest.mark.parametrize(
    ("fields", "status", "said"),
    [
        ({"pipeline": "nope"}, 404, "unknown_pipeline"),
        ({"version": "9.9.9", "pipeline": "tiny"}, 404, "unknown_pipeline"),
        ({"outputs": "nope"}, 422, "unsupported_format"),
        ({"outputs": "json,panels"}, 422, "unsupported_format"),
        ({"format": "json"}, 422, "bad_parameter"),
        ({"threshold": "2"}, 422, "bad_parameter"),
        ({"nonsense": "1"}, 422, "bad_parameter"),
    ],
)
def test_wrong_parameters_are_refused_in_query_and_form(
    at: Counter, fields: dict[str, str], status: int, said: str
) -> None:
    before = at.stored()
    assert code(at.send(**fields)) == (status, said)
    # In the query they are seen before anything is sent.
    assert code(at.client.post("/jobs", params=fields, content=b"")) == (status, said)
    assert at.stored() == before


def test_empty_jobs_are_refused(at: Counter) -> None:
    assert code(at.client.post("/jobs", files=[("pipeline", (None, "tiny"))])) == (422, "empty_job")
    assert code(at.client.post("/jobs", content=b"")) == (415, "unknown_format")
    assert code(at.client.post("/jobs", files={"file": ("a.png", PICTURE)})) == (422, "bad_file_field")


def test_a_job_of_broken_files_alone_ends_as_failed(at: Counter) -> None:
    job = at.send(("a.txt", b"none"), ("empty.png", b"")).json()
    assert (job["state"], job["progress"]["done"], job["failed"]) == ("failed", 2, 2)
    assert set(at.unzipped(job["id"])) == {"findings.csv", "report.json", "timings.json"}


def test_too_much_is_413(at: Counter) -> None:
    before = at.stored()
    assert code(at.send(("big.png", b"x" * 3_100_000))) == (413, "too_large")

    def endless() -> Iterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n'
        for _ in range(70):
            yield b"x" * 50_000

    answer = at.client.post("/jobs", content=endless(), headers={"content-type": "multipart/form-data; boundary=x"})
    assert code(answer) == (413, "too_large")
    assert at.stored() == before


def test_names_reach_nobody_but_their_owner(at: Counter, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(0, "breast_cascade"):
        job = at.done(("ZZCANARY.png", PICTURE), ("ZZCANARY.txt", b"none"), outputs="mask")
        at.client.get(f"/jobs/{job}/items/0")
        at.unzipped(job)
    assert "ZZCANARY" not in caplog.text
    assert "ZZCANARY" not in at.client.get("/metrics").text
    assert not [record for record in caplog.records if "ZZCANARY" in repr(vars(record))]
    assert not [key for key in at.stored() if "ZZCANARY" in key]


def test_every_method_of_an_address_is_named(at: Counter) -> None:
    for path, allowed in (("/jobs", "GET, HEAD, POST"), (f"/jobs/{'0' * 32}", "GET, HEAD, DELETE")):
        answer = at.client.put(path)
        assert (answer.status_code, answer.headers["allow"]) == (405, allowed)


def test_the_document_tells_of_jobs_and_of_keys(at: Counter) -> None:
    document = at.client.get("/openapi.json").json()
    form = document["paths"]["/jobs"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert {"files", "outputs", "pipeline", "threshold"} <= set(form["properties"])
    assert "format" not in form["properties"]
    assert document["security"] == [{}, {"key": []}]
    assert document["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    assert "/v1/jobs" not in document["paths"]
