"""Hostile archives sent as jobs: a documented status, no neighbour harmed, nothing written by a name."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import pytest

from service.cli.client import Server
from service.engine import Engine
from service.settings import Settings
from tests.processes import forget_peaks, growth, served
from tests.service.jobs_over_http import PICTURE, Counter, counter

# Pieces on their way, buffers of the parser, threads that start; far from the upload itself.
MOST_GROWTH = 32 << 20
OUTWARD = ("../../evil.png", "/etc/evil.png", "C:\\evil.png", "..\\..\\evil.png", "a/../../../evil.png")


@pytest.fixture
def at(tiny_engine: Engine, tmp_path: Path) -> Iterator[Counter]:
    with counter(tiny_engine, Settings(data_dir=tmp_path / "data")) as opened:
        yield opened


def zipped(files: dict[str, bytes], method: int = 0) -> bytes:
    stream = io.BytesIO()
    with ZipFile(stream, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


def items(at: Counter, job: str) -> list[tuple[str, str | None]]:
    found = at.client.get(f"/jobs/{job}").json()["items"]
    return [(one["state"], one["problem"] and one["problem"]["code"]) for one in found]


def test_a_hundred_thousand_entries_are_413(at: Counter) -> None:
    answer = at.send(("many.zip", zipped(dict.fromkeys(map(str, range(100_000)), b""))))
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert at.stored() == []
    assert at.client.get("/jobs").json() == {"jobs": []}


def test_names_that_lead_out_are_only_names(at: Counter, tmp_path: Path) -> None:
    job = at.done(("a.zip", zipped(dict.fromkeys(OUTWARD, PICTURE))), outputs="mask")
    assert items(at, job) == [("succeeded", None)] * len(OUTWARD)
    assert list(tmp_path.rglob("*evil*")) == []
    for name in at.unzipped(job):
        assert not name.startswith("/")
        assert ".." not in name
        assert "\\" not in name


def test_zips_within_zips_and_bombs_fail_alone(at: Counter) -> None:
    bomb = zipped({"bomb.png": PICTURE + b"\0" * (64 << 20)}, ZIP_DEFLATED)
    job = at.done(("nested.zip", zipped({"a.zip": zipped({"b.png": PICTURE})})), ("bomb.zip", bomb), ("c.png", PICTURE))
    (nested, bombed, good) = items(at, job)
    assert nested == ("failed", "zip_nested")
    assert bombed[0] == "failed"
    assert good == ("succeeded", None)


def test_one_broken_file_among_fifty_good_ones(at: Counter) -> None:
    files = {f"{n:02}.png": PICTURE for n in range(50)} | {"25b.png": PICTURE[:100]}
    job = at.done(("all.zip", zipped(dict(sorted(files.items())))), outputs="mask")
    found = at.client.get(f"/jobs/{job}").json()
    assert (found["state"], found["failed"], found["progress"]["done"]) == ("partial", 1, 51)
    assert [one["name"] for one in found["items"] if one["state"] == "failed"] == ["25b.png"]
    assert len([name for name in at.unzipped(job) if name.endswith(".mask.png")]) == 50


def test_an_upload_is_never_in_memory(tmp_path: Path, tiny_pipelines: Path) -> None:
    """As large as it may be: it goes to the disk as it comes, and from there into the store."""
    size = 192 << 20
    (tmp_path / "large.png").write_bytes(PICTURE)
    os.truncate(tmp_path / "large.png", size)
    with served(tmp_path / "service", tiny_pipelines, workers_embedded="0") as service:
        before = forget_peaks([service.process.pid])
        files = [("large.png", tmp_path / "large.png")]
        job = Server(service.url).submit(files, [("pipeline", "tiny")], lambda _: None)
        grown = growth(before, [service.process.pid])
        assert service.client.get(f"/jobs/{job['id']}").json()["items"][0]["state"] == "queued"
    assert grown < MOST_GROWTH
