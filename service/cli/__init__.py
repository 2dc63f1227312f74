"""``breast-cascade``: every command of the service. Progress on stderr, data on stdout."""

from service.cli.command import app, main

__all__ = ["app", "main"]
