"""Errors to problems, and what every answer carries."""

from __future__ import annotations

import json
import logging
from typing import Any

import httpx
import pytest
from fastapi.exceptions import RequestValidationError

from service import errors
from service.api import problem
from service.engine import Engine
from service.settings import Settings
from tests.service.asking import post
from tests.serving import serving

TREE = [
    (errors.BadParameter, 422),
    (errors.InputError, 422),
    (errors.TooLarge, 413),
    (errors.UnknownFormat, 415),
    (errors.UnusableImage, 422),
    (errors.UnknownPipeline, 404),
    (errors.Busy, 429),
    (errors.Draining, 503),
    (errors.CapacityError, 503),
    (errors.WeightsError, 500),
    (errors.BreastCascadeError, 500),
]


@pytest.mark.parametrize(("kind", "status"), TREE)
def test_status_follows_the_class(kind: type[errors.BreastCascadeError], status: int) -> None:
    found = problem.of_error(kind("a", "b", "Do c."))
    assert found.status == status
    assert (status in (429, 503)) == ("Retry-After" in found.headers)


def test_new_subclass_inherits_its_status() -> None:
    class StillTooLarge(errors.TooLarge):
        code = "still_too_large"

    found = problem.of_error(StillTooLarge("a", "b", "Do c."))
    assert (found.status, found.code) == (413, "still_too_large")


def test_401_says_how_to_prove_oneself() -> None:
    found = problem.of_error(errors.InputError("a", "b", "Do c.", "unauthorized"))
    assert (found.status, found.headers) == (401, {"WWW-Authenticate": "Bearer"})


def test_problem_is_rfc_9457() -> None:
    answer = problem.of_error(errors.BadParameter("x=2", "0 to 1", "Lower it.")).response()
    assert answer.media_type == "application/problem+json"
    assert json.loads(bytes(answer.body)) == {
        "type": "urn:breast-cascade:problem:bad_parameter",
        "title": "A parameter cannot be served",
        "status": 422,
        "detail": "Found x=2; wanted 0 to 1. Lower it.",
        "code": "bad_parameter",
        "found": "x=2",
        "wanted": "0 to 1",
        "remedy": "Lower it.",
    }


def test_setup_error_of_a_running_service_names_no_path() -> None:
    found = problem.of_error(errors.WeightsError("/srv/secret.onnx: altered", "b", "Do c."))
    assert "secret" not in str(found)
    assert found.error_id


def test_validation_of_the_framework_is_told_in_our_words() -> None:
    error = RequestValidationError([{"loc": ("query", "n"), "msg": "must be a number", "input": "Jane"}])
    found = problem.of_validation(error)
    assert (found.status, found.code) == (422, "bad_parameter")
    assert "query.n" in found.found
    assert "Jane" not in str(found)


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("GET", "/static/nowhere.js", 404, "not_found"),
        ("GET", "/static/../cli.py", 404, "not_found"),
        ("GET", "/docs/static/nowhere.js", 404, "not_found"),
        ("GET", "/samples/nowhere.png", 404, "not_found"),
        ("GET", "/samples/..%2Fcli.py", 404, "not_found"),
        ("GET", "/pipelines/mri", 404, "unknown_pipeline"),
        ("GET", "/pipelines/tiny?version=9.9.9", 404, "unknown_pipeline"),
        ("GET", "/segment", 405, "method_not_allowed"),
        ("DELETE", "/pipelines", 405, "method_not_allowed"),
    ],
)
def test_router_answers_problems_too(tiny_client: httpx.Client, method: str, path: str, status: int, code: str) -> None:
    answer = tiny_client.request(method, path)
    body = answer.json()
    assert (answer.status_code, body["status"], body["code"]) == (status, status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert body["remedy"]
    if status == 405:
        assert answer.headers["allow"] in body["wanted"]


class Broken:
    """An engine with a fault of its own."""

    provider = "none"

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def pipelines(self) -> Any:
        return self._engine.pipelines()

    def around(self, *_: object) -> int:
        return 0

    def raw_modalities(self, *_: object) -> Any:
        return frozenset()

    def segment(self, *_: object) -> Any:
        raise RuntimeError("/home/jane/scan.png exploded")


def test_unexpected_error_shows_an_id_and_nothing_else(tiny_engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "breast_cascade"), serving(Settings(), Broken(tiny_engine)) as running:
        answer = post(running.client)
        body = answer.json()
        assert (answer.status_code, body["code"]) == (500, "internal_error")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert running.client.get("/health/ready").status_code == 200
    record = next(one for one in caplog.records if one.message == "unexpected_error")
    assert record.fields["error_id"] == body["error_id"]
    assert record.fields["kind"] == "RuntimeError"
    assert record.fields["place"].startswith("tests.service.test_api_problem:")
    for text in (answer.text, caplog.text, str([vars(one) for one in caplog.records])):
        assert "jane" not in text
        assert "Traceback" not in text
