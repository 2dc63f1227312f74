"""The command line, called in this process."""

from __future__ import annotations

from typer.testing import CliRunner

from service.cli.command import app
from service.errors import SetupError


def call(*arguments: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of the command in this process."""
    result = CliRunner().invoke(app, [str(one) for one in arguments])
    if isinstance(result.exception, SetupError):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr
