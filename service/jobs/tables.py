"""The tables of jobs, for SQLite and PostgreSQL alike. `migrations` builds them; a test holds both against each other.

Times are seconds since 1970 by the database's clock (`clock`), so that workers need no common one.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    literal,
    text,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

METADATA = MetaData()
# None is SQL's NULL, never JSON's.
_JSON = JSON(none_as_null=True)

JOBS = Table(
    "jobs",
    METADATA,
    Column("id", String, primary_key=True),
    Column("owner", String, nullable=False),
    Column("state", String, nullable=False),
    Column("pipeline", String, nullable=False),
    Column("version", String, nullable=False),
    Column("weights", String, nullable=False),
    Column("outputs", _JSON, nullable=False),
    Column("parameters", _JSON, nullable=False),
    Column("fingerprint", String, nullable=False),
    Column("key", String),
    Column("device", String, nullable=False),
    Column("created", Double, nullable=False),
    Column("finished", Double),
    Column("total", Integer, nullable=False),
    Column("waiting", Integer, nullable=False),
    Column("done", Integer, nullable=False),
    Column("failed", Integer, nullable=False),
    Column("stage", String),
    Column("seq", BigInteger, nullable=False),
)

ITEMS = Table(
    "items",
    METADATA,
    Column("job_id", String, ForeignKey("jobs.id"), primary_key=True),
    Column("n", Integer, primary_key=True, autoincrement=False),
    Column("name", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("key", String, nullable=False),
    Column("sha256", String, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("state", String, nullable=False),
    Column("problem", _JSON),
    Column("stage", String),
    Column("steps_done", Integer, nullable=False),
    Column("steps_total", Integer, nullable=False),
    Column("files", _JSON, nullable=False),
    Column("summary", _JSON, nullable=False),
    Column("checkpoint", _JSON),
    Column("attempts", Integer, nullable=False),
    Column("deaths", Integer, nullable=False),
    Column("token", BigInteger, nullable=False),
    Column("worker", String),
    Column("lease_until", Double),
    Column("ended", Double),
)

KEYS = Table(
    "keys",
    METADATA,
    Column("owner", String, primary_key=True),
    Column("key", String, primary_key=True),
    Column("job_id", String),
    Column("fingerprint", String),
    Column("receiving_until", Double),
)

WORKERS = Table(
    "workers",
    METADATA,
    Column("worker", String, primary_key=True),
    Column("device", String, nullable=False),
    Column("busy", Boolean, nullable=False),
    Column("finished", Integer, nullable=False),
    Column("told", Double, nullable=False),
)

LOCKS = Table(
    "locks",
    METADATA,
    Column("name", String, primary_key=True),
    Column("holder", String, nullable=False),
    Column("until", Double, nullable=False),
)

TALLIES = Table(
    "tallies",
    METADATA,
    Column("name", String, primary_key=True),
    Column("device", String, primary_key=True),
    Column("value", BigInteger, nullable=False),
)

# Jobs that were erased while files of theirs are still there.
ERASURES = Table(
    "erasures",
    METADATA,
    Column("job_id", String, primary_key=True),
    Column("owner", String, nullable=False),
)


def _index(name: str, table: Table, columns: str, where: str | None = None) -> None:
    condition = None if where is None else text(where)
    Index(name, *(table.c[one] for one in columns.split()), sqlite_where=condition, postgresql_where=condition)


_index("jobs_of_owner", JOBS, "owner created id")
_index("jobs_waiting", JOBS, "device owner created id waiting", "waiting > 0")
_index("jobs_busy", JOBS, "device owner total waiting done", "total > waiting + done")
_index("jobs_kept", JOBS, "finished", "state <> 'expired'")
_index("jobs_expired", JOBS, "finished", "state = 'expired'")
_index("items_queued", ITEMS, "job_id deaths n", "state = 'queued'")
_index("items_running", ITEMS, "lease_until", "state = 'running'")
_index("items_ended", ITEMS, "ended", "ended IS NOT NULL")
_index("keys_of_job", KEYS, "job_id")


def fixed(value: str | int) -> ColumnElement[Any]:
    """A constant written into the statement, as a planner must see it there to choose a partial index."""
    return literal(value, literal_execute=True)


class clock(FunctionElement[float]):  # noqa: N801 (reads as the function it is)
    """The database's clock, in seconds since 1970."""

    type = Double()
    inherit_cache = True


@compiles(clock, "sqlite")
def _sqlite_clock(element: clock, compiler: SQLCompiler, **options: object) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(clock, "postgresql")
def _postgresql_clock(element: clock, compiler: SQLCompiler, **options: object) -> str:
    # Not clock_timestamp(): it is volatile, and no index would be used for a comparison with it.
    return "CAST(extract(epoch FROM statement_timestamp()) AS DOUBLE PRECISION)"
