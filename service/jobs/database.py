"""The database behind jobs: SQLite or PostgreSQL, in short transactions that either write at once or only read."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, ExceptionContext, Table, create_engine, event, make_url, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from service.errors import BreastCascadeError, DatabaseAway, DiskFull, SetupError
from service.jobs import migrate

_POSTGRESQL = ("postgresql", "postgres", "postgresql+psycopg")
_WANTED = "sqlite:////folder/file or postgresql://user:password@host/name"
# Any number will do, as long as it stays the same: PostgreSQL's advisory locks are named by one.
_UPGRADE_LOCK = 0x6272656173
# A process that is stopped in the middle of a transaction must not hold up all others.
_IDLE_SECONDS = 15
_SILENT_MS = 15_000
# Nobody who erases a job waits longer for those who read others.
_SCRUB_MS = 1000
_NO_ROOM = frozenset({"SQLITE_FULL", "SQLITE_IOERR_WRITE", "53100"})
# PostgreSQL that may not be written to now (a failover), that ended a transaction which stood still, that stops, starts
# or is out of reach: what it said holds for the whole connection, and the next one may be another server's.
_LOST = ("25006", "25P03", "57P01", "57P02", "57P03", "57P05", "08")
# SQLite says so of a statement that is wrong, such as one for a table that is not there.
_OURS = "SQLITE_ERROR"


class Database:
    """An open database. Connections are made when needed and kept; threads may share it, forked children may not."""

    def __init__(self, engine: Engine, patience_s: float) -> None:
        self._reading, self._patience_s = engine, patience_s
        self._writing = engine.execution_options(writes=True)

    @classmethod
    def open(cls, url: str, *, patience_s: float = 30.0) -> Database:
        """Open ``sqlite:////path/to/file`` or ``postgresql://...``.

        ``patience_s``: how long a statement waits for others' locks. Raises SetupError for any other address.
        """
        address = _parsed(url)
        engine = _sqlite(address, patience_s) if address.drivername == "sqlite" else _postgresql(address, patience_s)
        return cls(engine, patience_s)

    def upgrade(self) -> None:
        """Bring the tables to this version, under a lock.

        Raises SetupError for tables of a later version, DatabaseAway when the database does not answer.
        """
        with self.write() as link:
            if link.dialect.name == "postgresql":
                link.execute(text(f"SELECT pg_advisory_xact_lock({_UPGRADE_LOCK})"))
            migrate.to_head(link)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that sees one state of the rows and writes nothing."""
        with _translated(), self._reading.begin() as link:
            yield link

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that writes: whole, or not at all when its block raises.

        Raises DatabaseAway when the database does not answer in time, DiskFull when it has no room.
        """
        with _translated(), self._writing.begin() as link:
            yield link

    def scrub(self) -> None:
        """Let nothing of what was deleted stand in SQLite's files; another process at work may put it off a little."""
        if self._reading.dialect.name != "sqlite":
            return
        with _translated(), closing(self._reading.raw_connection()) as raw, closing(raw.cursor()) as cursor:
            cursor.execute(f"PRAGMA busy_timeout = {_SCRUB_MS}")
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            cursor.execute(f"PRAGMA busy_timeout = {int(self._patience_s * 1000)}")

    def close(self) -> None:
        """Close all connections."""
        self._reading.dispose()


def insert(link: Connection, table: Table) -> sqlite.Insert | postgresql.Insert:
    """An INSERT that may say ON CONFLICT: both databases know it, in the same words."""
    return sqlite.insert(table) if link.dialect.name == "sqlite" else postgresql.insert(table)


def _parsed(url: str) -> URL:
    try:
        address = make_url(url)
    except ArgumentError:
        # The address may hold a password: it is not repeated, nor the error that quotes it.
        raise SetupError("a database URL that is none", _WANTED, "Correct BREAST_CASCADE_DATABASE_URL.") from None
    if address.drivername in _POSTGRESQL:
        return address.set(drivername="postgresql+psycopg")
    if address.drivername != "sqlite" or not address.database or address.database == ":memory:":
        raise SetupError(
            f"a database URL of kind {address.drivername}", _WANTED, "Correct BREAST_CASCADE_DATABASE_URL."
        )
    return address


def _sqlite(address: URL, patience_s: float) -> Engine:
    Path(str(address.database)).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(address, connect_args={"timeout": patience_s}, pool_timeout=patience_s, hide_parameters=True)
    event.listen(engine, "connect", lambda raw, _: _prepare(raw, patience_s))
    event.listen(engine, "begin", _begin)
    return engine


def _prepare(raw: sqlite3.Connection, patience_s: float) -> None:
    # The driver would begin its own transactions, and too late: only at the first write.
    raw.isolation_level = None
    _write_ahead(raw, time.monotonic() + patience_s)
    raw.execute("PRAGMA synchronous = FULL")
    raw.execute("PRAGMA foreign_keys = ON")
    # Names of files are those of patients now and then: what is deleted is written over.
    raw.execute("PRAGMA secure_delete = ON")


def _write_ahead(raw: sqlite3.Connection, deadline: float) -> None:
    # The switch asks for the file alone and, unlike any other statement, does not wait for it.
    while True:
        try:
            raw.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def _begin(link: Connection) -> None:
    writes = link.get_execution_options().get("writes", False)
    link.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _postgresql(address: URL, patience_s: float) -> Engine:
    limits = f"-c lock_timeout={int(patience_s * 1000)} -c idle_in_transaction_session_timeout={_IDLE_SECONDS * 1000}"
    engine = create_engine(
        address,
        connect_args={"connect_timeout": 5, "tcp_user_timeout": _SILENT_MS, "options": limits},
        pool_pre_ping=True,
        pool_timeout=patience_s,
        hide_parameters=True,
    )
    event.listen(engine, "handle_error", _give_up_the_lost)
    return engine


def _give_up_the_lost(context: ExceptionContext) -> None:
    """Never use again the connections that are behind such an error."""
    if _code(context.original_exception).startswith(_LOST):
        context.is_disconnect = True


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except PoolTimeout as error:
        raise _away("all its connections in use") from error
    except DBAPIError as error:
        name = _code(error.orig)
        if name == _OURS or not (isinstance(error, OperationalError) or error.connection_invalidated):
            raise
        raise _named(name) from error


def _code(error: BaseException | None) -> str:
    """As SQLite or PostgreSQL names it; empty where it came from neither."""
    return str(getattr(error, "sqlite_errorname", None) or getattr(error, "sqlstate", None) or "")


def _named(name: str) -> BreastCascadeError:
    if name in _NO_ROOM:
        return DiskFull("no room for the database to write", "some", "Free space where the database lies.")
    return _away(f"no answer ({name or 'no connection'})")


def _away(found: str) -> DatabaseAway:
    return DatabaseAway(f"{found} from the jobs' database", "one in time", "Try again in a few seconds.")
