"""Pipelines, health, version, figures, samples, the page and the documentation, over real HTTP."""

from __future__ import annotations

import json
import logging
import re
import warnings
from importlib import metadata
from pathlib import Path

import httpx
import pytest

import service
from service import log
from service.api import documentation
from service.engine import Engine
from service.errors import SetupError
from service.settings import Settings
from tests.service.asking import post
from tests.serving import serving

STRICT = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def test_pipelines_lists_what_is_loaded(tiny_client: httpx.Client) -> None:
    assert tiny_client.get("/pipelines").json() == {
        "pipelines": [
            {
                "name": "tiny",
                "version": "1.0.0",
                "default": True,
                "modality": "US",
                "evidence": "demonstration",
                "labels": [{"id": 1, "name": "lesion", "color": [255, 80, 80]}],
                "stages": [
                    {"name": "localise", "kind": "detect"},
                    {"name": "lesion", "kind": "segment"},
                    {"name": "classify", "kind": "classify"},
                ],
            }
        ]
    }


@pytest.mark.parametrize("path", ["/pipelines/tiny", "/pipelines/tiny?version=1.0.0"])
def test_pipeline_gives_manifest_and_card(tiny_client: httpx.Client, tiny_engine: Engine, path: str) -> None:
    body = tiny_client.get(path).json()
    assert body.pop("card").startswith("# Tiny")
    (loaded,) = tiny_engine.pipelines()
    assert body == loaded.manifest.model_dump(mode="json", by_alias=True)
    assert body["stages"][0]["with"] == []


def test_health(tiny_client: httpx.Client) -> None:
    assert tiny_client.get("/health/live").json() == {"status": "alive"}
    assert tiny_client.get("/health/ready").json() == {"status": "ready"}


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/docs",
        "/openapi.json",
        "/health/live",
        "/health/ready",
        "/pipelines",
        "/pipelines/tiny",
        "/version",
        "/samples",
        "/static/main.js",
        "/samples/ultrasound_phantom_1.png",
        "/pipelines/none",
        "/nowhere",
    ],
)
def test_head_is_get_without_the_body(tiny_client: httpx.Client, path: str) -> None:
    got, head = tiny_client.get(path), tiny_client.head(path)
    assert (head.status_code, head.content) == (got.status_code, b"")
    assert int(head.headers["content-length"]) == len(got.content) > 0
    assert {name for name, text in head.headers.items() if got.headers[name] != text} <= {"date"}


def test_head_of_what_is_posted_is_refused(tiny_client: httpx.Client) -> None:
    head = tiny_client.head("/segment")
    assert (head.status_code, head.headers["allow"], head.content) == (405, "POST", b"")
    assert tiny_client.delete("/pipelines").headers["allow"] == "GET, HEAD"


def test_head_is_logged_as_what_it_is(tiny_engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "breast_cascade"), serving(Settings(), tiny_engine) as running:
        running.client.head("/pipelines/tiny")
    lines = [json.loads(log.JsonLines().format(record)) for record in caplog.records]
    assert ("HEAD", "/pipelines/{name}") in [(one.get("method"), one.get("route")) for one in lines]


def test_version_tells_what_runs(tiny_client: httpx.Client, tiny_engine: Engine) -> None:
    body = tiny_client.get("/version").json()
    assert body["version"] == service.__version__
    assert body["provider"] == "CPUExecutionProvider"
    assert body["libraries"]["numpy"] == metadata.version("numpy")
    (pipeline,) = body["pipelines"]
    assert set(pipeline["weights"]) == {"localise.onnx", "segment.onnx", "classify.onnx"}
    assert pipeline["providers"] == dict.fromkeys(pipeline["weights"], "CPUExecutionProvider")
    assert tiny_engine.pipelines()[0].manifest.stages[0].weights["network"].sha256 in pipeline["weights"].values()


def test_metrics_count_answers_by_route_and_never_by_address(tiny_client: httpx.Client) -> None:
    post(tiny_client)
    tiny_client.get("/jane_doe.png")
    text = tiny_client.get("/metrics").text
    assert 'breast_cascade_requests_total{route="/segment",status="200"}' in text
    assert 'breast_cascade_requests_total{route="unmatched",status="404"}' in text
    assert 'breast_cascade_segment_seconds_count{part="stages"}' in text
    assert "breast_cascade_admitted 0.0" in text
    assert "jane" not in text


def test_samples_are_pictures_that_can_be_segmented(tiny_client: httpx.Client) -> None:
    samples = tiny_client.get("/samples").json()["samples"]
    assert samples
    for sample in samples:
        assert set(sample) == {"name", "pipeline", "title"}
        picture = tiny_client.get(f"/samples/{sample['name']}")
        assert (picture.status_code, picture.headers["content-type"]) == (200, "image/png")
        assert post(tiny_client, picture.content).status_code == 200


def test_page_is_served_under_a_strict_policy(tiny_client: httpx.Client) -> None:
    page = tiny_client.get("/")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert page.headers["content-security-policy"] == STRICT
    assert page.headers["x-content-type-options"] == "nosniff"
    for path in re.findall(r'(?:src|href)="(/static/[^"]+)"', page.text):
        answer = tiny_client.get(path)
        assert answer.status_code == 200, path
        assert answer.headers["content-security-policy"] == STRICT


def test_answers_may_not_be_stored_and_files_are_asked_for_again(tiny_client: httpx.Client) -> None:
    assert tiny_client.get("/pipelines").headers["cache-control"] == "no-store"
    assert tiny_client.get("/static/icon.svg").headers["cache-control"] == "no-cache"


def test_docs_need_nothing_from_elsewhere(tiny_client: httpx.Client) -> None:
    page = tiny_client.get("/docs")
    assert page.status_code == 200
    paths = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(paths) >= 4
    assert all(path.startswith("/") for path in paths)
    for path in paths:
        assert tiny_client.get(path).status_code == 200, path
    assert "script-src 'self';" in page.headers["content-security-policy"]


def test_docs_say_which_package_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documentation, "find_spec", lambda _: None)
    with pytest.raises(SetupError, match="fastapi-offline"):
        documentation.carried()


def test_openapi_describes_segment_and_its_errors(tiny_client: httpx.Client) -> None:
    document = tiny_client.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    operation = document["paths"]["/segment"]["post"]
    names = {parameter["name"] for parameter in operation["parameters"]}
    assert names == {
        "pipeline", "version", "threshold", "box", "points", "stage", "slice", "phase", "spacing",
        "roi", "enhance", "mask_outside_region", "seg_type", "format",
    }  # fmt: skip
    form = operation["requestBody"]["content"]["multipart/form-data"]["schema"]["properties"]
    assert set(form) == {"file", *names}
    assert {"200", "204", "404", "413", "415", "422", "429", "503"} <= set(operation["responses"])
    for status, response in operation["responses"].items():
        assert (int(status) < 400) or list(response["content"]) == ["application/problem+json"]
    kinds = {"application/json", "image/png", "application/gzip", "application/dicom"}
    assert kinds <= set(operation["responses"]["200"]["content"])
    assert "HTTPValidationError" not in json.dumps(document)
    assert "/v1/segment" not in document["paths"]


def test_log_line_is_json_without_query_or_file_name(tiny_engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "breast_cascade"), serving(Settings(), tiny_engine) as running:
        running.client.post("/segment?pipeline=jane", files={"file": ("jane.png", b"jane")})
        running.client.request("JANE", "/jane")
    lines = [json.loads(log.JsonLines().format(record)) for record in caplog.records]
    request = next(one for one in lines if one.get("route") == "/segment")
    assert (request["event"], request["method"], request["status"], request["logger"]) == (
        "request",
        "POST",
        404,
        "breast_cascade",
    )
    assert next(one for one in lines if one["event"] == "ready")["pipelines"] == ["tiny/1.0.0"]
    assert "jane" not in json.dumps(lines).lower()


def test_log_leaves_tracebacks_out() -> None:
    try:
        raise ValueError("jane")
    except ValueError as error:
        record = logging.LogRecord(
            "uvicorn.error", logging.ERROR, __file__, 1, "failed", (), (type(error), error, None)
        )
    assert "jane" not in log.JsonLines().format(record)


@pytest.mark.usefixtures("loggers_restored")
def test_log_goes_to_stderr_alone(capfd: pytest.CaptureFixture[str]) -> None:
    log.to_stderr()
    log.event("info", "tested", n=1)
    out, err = capfd.readouterr()
    assert (out, json.loads(err)["event"], json.loads(err)["n"]) == ("", "tested", 1)


@pytest.mark.usefixtures("loggers_restored")
def test_warnings_of_libraries_are_told_by_class_and_place(capfd: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        log.to_stderr()
        warnings.warn("Invalid value: 'Jane Doe'", UserWarning, stacklevel=1)
    (line,) = capfd.readouterr().err.splitlines()
    said = json.loads(line)
    assert (said["event"], said["kind"]) == ("python_warning", "UserWarning")
    assert said["place"].startswith("test_api_catalogue:")
    assert "Jane" not in line


def test_no_file_of_the_service_names_a_foreign_host() -> None:
    for file in (Path(service.__file__).parent / "api" / "docs_page").iterdir():
        assert "://" not in file.read_text(encoding="utf-8"), file
