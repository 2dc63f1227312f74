"""Region, enhancement and by-products over HTTP, in jobs and on the command line."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.engine import Engine
from service.settings import Settings
from tests import tiny_mammography as tiny
from tests.service.asking import png, post
from tests.service.commands import call
from tests.service.jobs_over_http import Counter, counter

FILM = png(tiny.breast())


@pytest.fixture(scope="module")
def pipelines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write(tmp_path_factory.mktemp("mammography"))


@pytest.fixture(scope="module")
def service(pipelines: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Counter]:
    with counter(Engine.open((pipelines,), "cpu"), Settings(data_dir=tmp_path_factory.mktemp("data"))) as running:
        yield running


@pytest.fixture
def client(service: Counter) -> httpx.Client:
    return service.client


@pytest.mark.parametrize(("roi", "findings"), [("fibroglandular", 1), ("breast", 2), ("full", 3), ("", 2)])
def test_region_of_a_request(client: httpx.Client, roi: str, findings: int) -> None:
    answer = post(client, FILM, roi=roi).json()
    assert len(answer["findings"]) == findings
    assert answer["provenance"]["preprocessing"]["roi"] == (roi or "breast")
    assert (answer["stages"][1]["localisation"] == "whole_image") == (roi == "full")


def test_enhancement_of_a_request(client: httpx.Client) -> None:
    plain, other = post(client, FILM).json(), post(client, FILM, enhance="adaptive_clahe").json()
    assert "enhancement_changed" not in {flag["code"] for flag in plain["flags"]}
    assert "enhancement_changed" in {flag["code"] for flag in other["flags"]}
    assert other["provenance"]["preprocessing"]["stages"]["lesion"]["enhance"] == "adaptive_clahe"


def test_measurements_of_an_answer(client: httpx.Client) -> None:
    figures = {one["name"]: one for one in post(client, FILM, spacing="0.5").json()["measurements"]}
    assert figures["percent_density"]["value"] == pytest.approx(17.5)
    assert figures["dense_area_mm2"] == {
        "name": "dense_area_mm2",
        "value": 84.0,
        "unit": "mm2",
        "text": "Area of fibroglandular tissue; it is no BI-RADS category.",
    }


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"roi": "armpit"}, "Found roi=armpit; wanted one of fibroglandular, breast, full"),
        ({"enhance": "sharpen", "pipeline": "mammography"}, "wanted one of none, clahe, adaptive_clahe"),
    ],
)
def test_what_is_not_offered(service: Counter, fields: dict[str, str], said: str) -> None:
    for answer in (post(service.client, FILM, **fields), service.send(("a.png", FILM), **fields)):
        assert (answer.status_code, answer.json()["code"]) == (422, "bad_parameter")
        assert said in answer.json()["detail"]


def test_the_manifest_tells_what_is_offered(client: httpx.Client) -> None:
    card = client.get("/pipelines/mammography").json()
    assert card["enhance"] == ["none", "clahe", "adaptive_clahe"]
    assert (card["stages"][1]["regions"], card["stages"][1]["region"]) == (tiny.REGIONS, "breast")
    assert (card["canonical_side"], card["measurements"]) == ("left", ["density"])


def test_the_interface_is_documented(client: httpx.Client) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    for path in ("/segment", "/jobs"):
        known = {one["name"]: one for one in paths[path]["post"]["parameters"]}
        assert known["roi"]["schema"]["examples"] == ["breast", "fibroglandular", "full"]
        assert known["enhance"]["schema"]["examples"] == ["none", "clahe", "adaptive_clahe"]


def test_jobs_take_the_same_choices_and_tell_the_same(service: Counter) -> None:
    job_id = service.done(("a.png", FILM), roi="fibroglandular", enhance="adaptive_clahe")
    files = service.unzipped(job_id)
    (item,) = json.loads(files["report.json"])["items"]
    (answer,) = (json.loads(content) for name, content in files.items() if name.endswith("_a.json"))
    assert answer["provenance"]["preprocessing"]["roi"] == "fibroglandular"
    assert {flag["code"] for flag in item["flags"]} >= {"enhancement_changed", "side_guessed"}
    assert item["measurements"][0]["name"] == "percent_density"
    rows: list[Any] = list(csv.DictReader(io.StringIO(files["findings.csv"].decode(), newline="")))
    assert {row["measurement"] for row in rows} >= {"percent_density", "dense_area_px"}
    assert json.loads(files["report.json"])["job"]["parameters"]["roi"] == ["fibroglandular"]


def test_command_line(pipelines: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BREAST_CASCADE_PIPELINES_DIR", str(pipelines))
    (tmp_path / "film.png").write_bytes(FILM)
    named = ("segment", tmp_path / "film.png", "--pipeline", "mammography", "--json")
    code, out, _ = call(*named, "--roi", "fibroglandular", "--enhance", "none")
    answer = json.loads(out)["answer"]
    assert (code, len(answer["findings"])) == (0, 1)
    assert answer["provenance"]["preprocessing"]["roi"] == "fibroglandular"
    code, _, errors = call(*named, "--roi", "armpit")
    assert code == 2
    assert "armpit" in errors
    batch = ("batch", tmp_path / "film.png", "-o", tmp_path / "out", "--pipeline", "mammography")
    code, _, errors = call(*batch, "--set", "enhance=sharpen")
    assert code == 2
    assert "sharpen" in errors
