"""Who may ask: on loopback anybody who comes straight from this computer, elsewhere nobody yet but by choice.

A page from elsewhere can make a browser on this computer send requests to a loopback address (DNS rebinding, forms);
such requests carry a foreign ``Host`` or ``Origin``. A reverse proxy on loopback would let the whole network in; most
of them can be told by a header they add (``Forwarded``, ``X-Forwarded-*``, ``X-Real-IP``, ``Via``) and are refused. One
that adds none of them and rewrites ``Host`` looks like this computer itself: it cannot be told, only left out.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import Scope

from service.errors import InputError, SetupError

PUBLIC_ELSEWHERE = ("/health/", "/static/")
ADDED_BY_PROXIES = ("forwarded", "x-real-ip", "via")


def check_address(host: str, access: str) -> None:
    """Raises SetupError when the service must not listen on ``host``."""
    if access == "off" or is_loopback(host):
        return
    raise SetupError(
        f"address {host}, which other computers may reach, and no access control",
        "a loopback address such as 127.0.0.1",
        "Keys for other addresses come in a later version. Until then either leave --host out, or set "
        "BREAST_CASCADE_ACCESS=off to let everybody who reaches this port use it.",
        "access_uncontrolled",
    )


def check_request(scope: Scope, access: str) -> None:
    """Raises InputError when this request must not be served."""
    if access == "off":
        return
    if not _on_loopback(scope):
        _check_public(scope["path"])
        return
    headers = Headers(scope=scope)
    _check_direct(headers)
    _check_name(headers.get("host"), "Host")
    if scope["method"] not in ("GET", "HEAD", "OPTIONS"):
        _check_name(_host_of_origin(headers.get("origin")), "Origin")


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this computer's own loopback."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def _on_loopback(scope: Scope) -> bool:
    server = scope.get("server")
    # A unix socket has no port and no address; only this computer reaches it.
    return server is None or server[1] is None or is_loopback(server[0])


def _check_public(path: str) -> None:
    if path == "/" or path.startswith(PUBLIC_ELSEWHERE):
        return
    raise InputError("no credential", "a key", "Keys come in a later version; use a loopback address.", "unauthorized")


def _check_direct(headers: Headers) -> None:
    for name in headers:
        if name in ADDED_BY_PROXIES or name.startswith("x-forwarded-"):
            raise _forbidden(
                f"header {name[:40]}, as proxies add it",
                "a request without the headers that proxies add",
                "Ask for the service directly. Put no proxy before the loopback address, not even one that adds no "
                "such header and so cannot be told: without access control it lets everybody in.",
            )


def _check_name(host: str | None, header: str) -> None:
    if host is None:
        return
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        name = ""
    if not is_loopback(name):
        raise _forbidden(
            f"a foreign {header}",
            "localhost or a loopback address",
            "Ask for the service by http://127.0.0.1 and its port.",
        )


def _host_of_origin(origin: str | None) -> str | None:
    return None if origin is None else origin.partition("://")[2]


def _forbidden(found: str, wanted: str, remedy: str) -> InputError:
    return InputError(found, wanted, remedy, "forbidden_origin")
