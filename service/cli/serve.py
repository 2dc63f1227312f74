"""``breast-cascade serve``."""

from __future__ import annotations

from typing import Annotated

import typer

from service import log
from service.api import server
from service.settings import read_settings


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 finds a free one, which is printed.")] = 8000,
) -> None:
    """Start the web service and its page.

    Example: **breast-cascade serve --port 0**. The address is printed on stdout; the log, in JSON lines, on stderr.
    Stop it with Ctrl-C: it ends what it has begun. An address that other computers reach needs keys: see
    **breast-cascade keys add --help**.
    """
    settings = read_settings()
    log.to_stderr()
    server.serve(settings, host, port, lambda url: typer.echo(f"Breast Cascade on {url} (research use only)"))
