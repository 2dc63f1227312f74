"""Migrations of the jobs' tables, from inside the package: no ini file, no command."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection

from service.errors import SetupError

_FOLDER = Path(__file__).parent / "migrations"


def to_head(link: Connection) -> None:
    """Run what is missing inside the transaction of ``link``. Raises SetupError for tables of a later version."""
    config = Config()
    # The ini reader behind it takes % for the start of a variable.
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    config.attributes["connection"] = link
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise SetupError(
            "jobs' tables written by another version of this service",
            "tables of this version or an earlier one",
            "Install the version that wrote them, or set BREAST_CASCADE_DATABASE_URL to another database.",
            "database_version",
        ) from error
