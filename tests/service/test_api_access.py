"""Who may ask: loopback without proxies, and nobody elsewhere but by choice."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from service.api.access import check_address, check_request, is_loopback
from service.engine import Engine
from service.errors import InputError, SetupError
from service.settings import Settings
from tests.serving import serving


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.8.8.8", "::1", "localhost", "LOCALHOST", "localhost.", "::ffff:127.0.0.1"]
)
def test_loopback(host: str) -> None:
    assert is_loopback(host)
    check_address(host, "on")


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "10.0.0.1", "::ffff:10.0.0.1", "example.org", "localhost.example.org", ""]
)
def test_other_addresses_are_refused_unless_access_is_off(host: str) -> None:
    assert not is_loopback(host)
    with pytest.raises(SetupError, match=r"BREAST_CASCADE_ACCESS=off.*everybody") as caught:
        check_address(host, "on")
    assert "later version" in caught.value.remedy
    check_address(host, "off")


@pytest.mark.parametrize(
    "headers",
    [
        {"forwarded": "for=10.0.0.1"},
        {"x-forwarded-for": "10.0.0.1"},
        {"X-Forwarded-Proto": "https"},
        {"X-Real-IP": "10.0.0.1"},
        {"Via": "1.1 gate"},
        {"host": "evil.example"},
        {"host": "10.0.0.1:8000"},
        {"host": "[bad"},
        {"host": "localhost.evil.example"},
    ],
)
def test_proxied_or_foreign_request_is_403(tiny_client: httpx.Client, headers: dict[str, str]) -> None:
    for path in ("/pipelines", "/", "/health/live"):
        answer = tiny_client.get(path, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden_origin")
        assert answer.json()["remedy"]


@pytest.mark.parametrize("host", ["localhost", "localhost:1", "127.0.0.1:80", "[::1]:8000"])
def test_own_names_are_served(tiny_client: httpx.Client, host: str) -> None:
    assert tiny_client.get("/health/live", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    ("origin", "status"), [("https://evil.example", 403), ("null", 403), ("http://localhost:8000", 422)]
)
def test_page_from_elsewhere_cannot_post(tiny_client: httpx.Client, origin: str, status: int) -> None:
    assert tiny_client.post("/segment", content=b"", headers={"origin": origin}).status_code == status


def test_access_off_serves_proxies_too(tiny_engine: Engine) -> None:
    with serving(Settings(access="off"), tiny_engine) as running:
        headers = {"x-forwarded-for": "10.0.0.1", "host": "service.example"}
        assert running.client.get("/pipelines", headers=headers).status_code == 200


def scope(server: Any, path: str = "/pipelines", method: str = "GET") -> dict[str, Any]:
    return {"type": "http", "method": method, "path": path, "server": server, "headers": []}


@pytest.mark.parametrize("path", ["/", "/health/live", "/health/ready", "/static/main.js"])
def test_elsewhere_only_health_and_page_are_public(path: str) -> None:
    check_request(scope(("10.0.0.1", 8000), path), "on")


def test_elsewhere_all_else_is_401() -> None:
    with pytest.raises(InputError, match="Keys come in a later version") as caught:
        check_request(scope(("10.0.0.1", 8000)), "on")
    assert caught.value.code == "unauthorized"


@pytest.mark.parametrize("server", [None, ("/run/service.sock", None), ("127.0.0.1", 8000)])
def test_request_without_host_on_this_computer_is_served(server: Any) -> None:
    check_request(scope(server), "on")
