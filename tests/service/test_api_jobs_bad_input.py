"""Zips that were made to do harm, sent as jobs: documented answers, and no item takes its neighbours with it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.engine import Engine
from service.settings import Settings
from tests.service.formats.test_archive import zipped
from tests.service.jobs.intake import repeated
from tests.service.jobs_over_http import PICTURE, Counter, counter

BROKEN = PICTURE[: len(PICTURE) // 2]


@pytest.fixture(scope="module")
def at(tiny_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Counter]:
    """A service with jobs."""
    with counter(tiny_engine, Settings(data_dir=tmp_path_factory.mktemp("jobs") / "data")) as opened:
        yield opened


@pytest.mark.parametrize("broken", [BROKEN, b"not a picture"], ids=["found while decoding", "found at intake"])
def test_one_broken_file_among_fifty(at: Counter, broken: bytes) -> None:
    files = [(f"{n}.png", broken if n == 20 else PICTURE) for n in range(51)]
    job = at.done(("all.zip", zipped(*files)), outputs="json,mask")
    found = at.client.get(f"/jobs/{job}").json()
    assert (found["state"], found["progress"]["done"], found["failed"]) == ("partial", 51, 1)
    assert [one["n"] for one in found["items"] if one["state"] == "failed"] == [20]
    results = at.unzipped(job)
    assert sum(name.endswith(".mask.png") for name in results) == 50
    assert len({content for name, content in results.items() if name.endswith(".mask.png")}) == 1


def test_traversal_names_are_labels(at: Counter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = ["../../../evil.png", "/etc/evil.png", "..\\..\\evil.png", "a/../../evil.png"]
    job = at.done(("all.zip", zipped(*((name, PICTURE) for name in names))))
    found = at.client.get(f"/jobs/{job}").json()
    assert found["state"] == "succeeded"
    assert all(one["name"].endswith("evil.png") and ".." not in one["name"] for one in found["items"])
    assert all(".." not in name and not name.startswith("/") for name in at.unzipped(job))
    assert list(tmp_path.parent.rglob("*evil*")) == []


def test_a_hundred_thousand_entries_are_413(at: Counter) -> None:
    before = at.stored()
    answer = at.send(("many.zip", repeated(zipped(("a.png", PICTURE)), 100_000)))
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert at.stored() == before


def test_a_zip_in_a_zip_fails_alone(at: Counter) -> None:
    inner = zipped(("a.png", PICTURE))
    job = at.done(("all.zip", zipped(("inner.zip", inner), ("b.png", PICTURE))))
    first, second = at.client.get(f"/jobs/{job}").json()["items"]
    assert (first["state"], first["problem"]["code"], second["state"]) == ("failed", "zip_nested", "succeeded")


def test_an_unknown_parameter_is_told_those_of_jobs(at: Counter) -> None:
    answer = at.send(output="json")
    assert (answer.status_code, answer.json()["code"]) == (422, "bad_parameter")
    wanted = answer.json()["wanted"].removeprefix("one of ").split(", ")
    assert ("outputs" in wanted, "format" in wanted, "threshold" in wanted) == (True, False, True)
    assert answer.json()["remedy"] == "Did you mean outputs?"
