"""What an item of a job may be: more than a request that somebody waits for; what is too much names the setting."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
import pytest

from service.engine import Engine
from service.formats.limits import Limits
from service.settings import Settings
from tests.service.formats.dicom_files import mr_slices
from tests.service.jobs.pictures import volume
from tests.service.jobs_over_http import Counter, counter
from tests.service.test_api_jobs import code
from tests.tiny_pipeline import square

SLICES = 40
VOLUME = volume(SLICES)
# A request may have a quarter of the volume, in every respect.
NARROW = {"max_bytes": len(VOLUME) // 4, "max_volume_bytes": SLICES * 32 * 32 // 4, "max_slices": SLICES // 4}
MIB = 1 << 20


@pytest.fixture(scope="module")
def at(tiny_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Counter]:
    settings = Settings(data_dir=tmp_path_factory.mktemp("data"), **NARROW)
    with counter(tiny_engine, settings) as opened:
        yield opened


def zipped(files: list[bytes]) -> bytes:
    stream = io.BytesIO()
    with ZipFile(stream, "w", ZIP_DEFLATED) as archive:
        for number, content in enumerate(files):
            archive.writestr(f"series/{number}", content)
    return stream.getvalue()


def series() -> list[bytes]:
    return mr_slices(np.stack([square(20, 24, 16)] * SLICES), Modality="US")


def test_a_request_is_refused_and_sent_to_jobs(at: Counter) -> None:
    answer = at.client.post("/segment", files={"file": ("v.nii", VOLUME)})
    assert code(answer) == (413, "too_large")
    assert "POST /jobs" in answer.json()["remedy"]


@pytest.mark.parametrize("files", [[VOLUME], [zipped([VOLUME])], series(), [zipped(series())]])
def test_a_job_takes_it(at: Counter, files: list[bytes]) -> None:
    job_id = at.done(*((f"{n}", content) for n, content in enumerate(files)))
    body = at.client.get(f"/jobs/{job_id}").json()
    assert (body["state"], [one["problem"] for one in body["items"]]) == ("succeeded", [None])
    answer = at.client.get(f"/jobs/{job_id}/items/0?format=json").json()
    assert answer["image"]["depth"] == SLICES


@pytest.mark.parametrize(
    ("limits", "found", "setting"),
    [
        ({"max_job_volume_bytes": 1000}, f"declared voxels of {SLICES * 1024} bytes", "MAX_JOB_VOLUME_BYTES"),
        ({"max_job_item_bytes": 1000}, f"a file or series of {len(VOLUME)} bytes", "MAX_JOB_ITEM_BYTES"),
    ],
)
def test_what_is_too_much_for_a_job_fails_its_item_alone(
    tiny_engine: Engine, tmp_path: Path, limits: dict[str, int], found: str, setting: str
) -> None:
    with counter(tiny_engine, Settings(data_dir=tmp_path, **limits)) as at:
        job_id = at.done(("v.nii", VOLUME), ("p.png", b"\x89PNG\r\n\x1a\nno picture"))
        problem = at.client.get(f"/jobs/{job_id}").json()["items"][0]["problem"]
        assert (problem["code"], problem["found"]) == ("too_large", found)
        assert f"BREAST_CASCADE_{setting} sets this limit" in problem["remedy"]
        assert "POST /jobs" not in problem["remedy"]


@pytest.mark.parametrize("files", [[("a", VOLUME)], [("a.zip", zipped([bytes(60_000)]))]])
def test_a_job_that_is_too_large_is_413_and_says_so(
    tiny_engine: Engine, tmp_path: Path, files: list[tuple[str, bytes]]
) -> None:
    with counter(tiny_engine, Settings(data_dir=tmp_path, max_job_bytes=20_000)) as at:
        answer = at.send(*files)
        assert code(answer) == (413, "too_large")
        assert "as several jobs; BREAST_CASCADE_MAX_JOB_BYTES sets this limit" in answer.json()["remedy"]
        assert at.stored() == []


def test_limits_speak_of_their_own_settings() -> None:
    request, job = Limits(max_bytes=1), Settings(max_job_item_bytes=1).job_limits
    for limits, said in ((request, "POST /jobs; BREAST_CASCADE_MAX_BYTES"), (job, "BREAST_CASCADE_MAX_JOB_ITEM_BYTES")):
        with pytest.raises(Exception, match=f"Found a file of 2 bytes; wanted at most 1 bytes.*{said}"):
            limits.check_bytes(2)
    assert job.max_slices > 1 << 32


def test_a_worker_decodes_one_file_with_its_voxels_beside_it() -> None:
    bounds = Settings(max_job_item_bytes=3072 * MIB, max_job_volume_bytes=2048 * MIB).job_decoder_bounds
    assert (bounds.memory, bounds.processes, bounds.seconds) == (5376 * MIB, 1, 300.0)
    assert Settings(decoder_memory=8192 * MIB).job_decoder_bounds.memory == 8192 * MIB
