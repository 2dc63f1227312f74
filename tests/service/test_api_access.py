"""Who may ask: loopback without proxies, and elsewhere whoever holds a key."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.api.access import check_address, check_request, is_loopback
from service.api.keys import Keys, add_key
from service.engine import Engine
from service.errors import InputError, SetupError
from service.settings import Settings
from tests.serving import serving


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    return tmp_path / "keys.txt"


@pytest.fixture
def anna(key_file: Path) -> str:
    """The key of somebody."""
    return add_key(key_file, "anna")


@pytest.fixture
def keys(key_file: Path, anna: str) -> Keys:
    """What a service knows of it."""
    return Keys(key_file)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.8.8.8", "::1", "localhost", "LOCALHOST", "localhost.", "::ffff:127.0.0.1"]
)
def test_loopback(host: str) -> None:
    assert is_loopback(host)
    check_address(host, "on", None)


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "10.0.0.1", "::ffff:10.0.0.1", "example.org", "localhost.example.org", ""]
)
def test_other_addresses_want_keys_or_access_off(host: str, keys: Keys) -> None:
    assert not is_loopback(host)
    with pytest.raises(SetupError, match=r"no access control.*breast-cascade keys add.*BREAST_CASCADE_ACCESS=off"):
        check_address(host, "on", None)
    check_address(host, "on", keys)
    check_address(host, "off", None)


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


def scope(server: Any, path: str = "/pipelines", key: str | None = None) -> dict[str, Any]:
    headers = [] if key is None else [(b"authorization", key.encode())]
    return {"type": "http", "method": "GET", "path": path, "server": server, "headers": headers}


ELSEWHERE = ("10.0.0.1", 8000)


@pytest.mark.parametrize("path", ["/", "/health/live", "/health/ready", "/static/main.js"])
@pytest.mark.parametrize("key", [None, "Bearer wrong"])
def test_elsewhere_only_health_and_page_are_public(keys: Keys, path: str, key: str | None) -> None:
    assert check_request(scope(ELSEWHERE, path, key), "on", keys) == ""


@pytest.mark.parametrize("path", ["/pipelines", "/segment", "/docs", "/metrics", "/jobs", "/healthy", "//", "/static"])
def test_elsewhere_all_else_is_401(keys: Keys, path: str) -> None:
    for some in (keys, None):
        with pytest.raises(InputError, match="no credential; wanted the header Authorization") as caught:
            check_request(scope(ELSEWHERE, path), "on", some)
        assert caught.value.code == "unauthorized"


def test_keys_name_their_owner(keys: Keys, anna: str) -> None:
    for server in (ELSEWHERE, ("127.0.0.1", 8000)):
        assert check_request(scope(server, key=f"Bearer {anna}"), "on", keys) == "anna"
        assert check_request(scope(server, key=f"bearer  {anna} "), "off", keys) == "anna"
    assert check_request(scope(("127.0.0.1", 8000)), "on", keys) == ""
    assert check_request(scope(ELSEWHERE), "off", keys) == ""


@pytest.mark.parametrize(
    "key", ["Bearer wrong", "Bearer", "", "Basic {anna}", "{anna}", "Bearer {anna}x", "Bearer \xff"]
)
@pytest.mark.parametrize("server", [ELSEWHERE, ("127.0.0.1", 8000)])
def test_a_wrong_key_is_401_wherever_it_comes_from(keys: Keys, anna: str, server: Any, key: str) -> None:
    for access in ("on", "off"):
        with pytest.raises(InputError, match="no key of this service") as caught:
            check_request(scope(server, key=key.format(anna=anna)), access, keys)
        assert anna not in str(caught.value)


def test_without_a_file_of_keys_a_header_on_loopback_means_nothing() -> None:
    assert check_request(scope(("127.0.0.1", 8000), key="Bearer any"), "on", None) == ""


@pytest.mark.parametrize("server", [None, ("/run/service.sock", None), ("127.0.0.1", 8000)])
def test_request_without_host_on_this_computer_is_served(server: Any) -> None:
    check_request(scope(server), "on", None)


def outer_address() -> str:
    """An address of this computer that is not its loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        # Nothing is sent: the kernel only picks the address it would send from.
        try:
            probe.connect(("198.51.100.1", 9))
        except OSError:
            pytest.skip("this computer has no address but its loopback")
        return str(probe.getsockname()[0])


def test_keys_over_http(tiny_engine: Engine, key_file: Path, anna: str, tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, access_keys=key_file)
    with serving(settings, tiny_engine, host=outer_address()) as running:
        client, headers = running.client, {"authorization": f"Bearer {anna}"}
        for path in ("/", "/static/main.js", "/health/ready"):
            assert client.get(path).status_code == 200
        refused = client.get("/pipelines")
        assert (refused.status_code, refused.json()["code"]) == (401, "unauthorized")
        assert refused.headers["www-authenticate"] == "Bearer"
        assert client.get("/pipelines", headers=headers).status_code == 200
        # Behind a proxy that adds its headers and its own name.
        proxied = {**headers, "x-forwarded-for": "192.0.2.9", "host": "service.example"}
        assert client.get("/pipelines", headers=proxied).status_code == 200
        other = add_key(key_file, "ben")
        assert client.get("/pipelines", headers={"authorization": f"Bearer {other}"}).status_code == 200
        key_file.write_text("broken\n")
        assert client.get("/pipelines", headers=headers).status_code == 401
