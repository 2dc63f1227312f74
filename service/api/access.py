"""Who may ask: on loopback anybody who comes straight from this computer, elsewhere whoever holds a key.

A page from elsewhere can make a browser on this computer send requests to a loopback address (DNS rebinding, forms);
such requests carry a foreign ``Host`` or ``Origin``. A reverse proxy on loopback would let the whole network in; most
of them can be told by a header they add (``Forwarded``, ``X-Forwarded-*``, ``X-Real-IP``, ``Via``) and are refused. One
that adds none of them and rewrites ``Host`` looks like this computer itself: it cannot be told, only left out.
"""

from __future__ import annotations

import ipaddress
from typing import Literal
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.types import Scope

from service.api.keys import Keys
from service.errors import InputError, SetupError

PUBLIC = ("/health/", "/static/")
ADDED_BY_PROXIES = ("forwarded", "x-real-ip", "via")
# Whose jobs they are that were sent without a key, from this computer.
NOBODY = ""
OWNER = "breast_cascade.owner"
Access = Literal["on", "off"]


def check_address(host: str, access: Access, keys: Keys | None) -> None:
    """Raises SetupError when the service must not listen on ``host``."""
    if access == "off" or keys is not None or is_loopback(host):
        return
    raise SetupError(
        f"address {host}, which other computers may reach, and no access control",
        "a loopback address such as 127.0.0.1, or keys",
        "Leave --host out; or make a key with breast-cascade keys add NAME --file FILE and set "
        "BREAST_CASCADE_ACCESS_KEYS=FILE; or set BREAST_CASCADE_ACCESS=off to let everybody who reaches this port use "
        "it.",
        "access_uncontrolled",
    )


def check_request(scope: Scope, access: Access, keys: Keys | None) -> str:
    """Who asks: the owner of the key sent, NOBODY without one. Raises InputError when the request is not served.

    A key that is nobody's is refused wherever keys are in use, so that nobody's jobs land with NOBODY by a slip.
    """
    headers, local = Headers(scope=scope), _on_loopback(scope)
    if access == "on" and local:
        _check_local(scope, headers)
    if _is_public(scope["path"]):
        return NOBODY
    owner = _owner(headers.get("authorization"), keys)
    if owner is None and access == "on" and not local:
        raise _unauthorized("no credential")
    return owner or NOBODY


def owner_of(connection: HTTPConnection) -> str:
    """Who asks, as `check_request` found it."""
    owner: str = connection.scope[OWNER]
    return owner


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


def _owner(authorization: str | None, keys: Keys | None) -> str | None:
    """The owner of the key in the header; None without a header, or where no keys are in use."""
    if authorization is None or keys is None:
        return None
    scheme, _, key = authorization.strip().partition(" ")
    owner = keys.owner(key.strip()) if scheme.lower() == "bearer" else None
    if owner is None:
        raise _unauthorized("a credential that is no key of this service")
    return owner


def _on_loopback(scope: Scope) -> bool:
    server = scope.get("server")
    # A unix socket has no port and no address; only this computer reaches it.
    return server is None or server[1] is None or is_loopback(server[0])


def _check_local(scope: Scope, headers: Headers) -> None:
    _check_direct(headers)
    _check_name(headers.get("host"), "Host")
    if scope["method"] not in ("GET", "HEAD", "OPTIONS"):
        _check_name(_host_of_origin(headers.get("origin")), "Origin")


def _is_public(path: str) -> bool:
    return path == "/" or path.startswith(PUBLIC)


def _unauthorized(found: str) -> InputError:
    return InputError(
        found,
        "the header Authorization: Bearer KEY",
        "Ask whoever runs this service for a key; breast-cascade keys add NAME makes one.",
        "unauthorized",
    )


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
