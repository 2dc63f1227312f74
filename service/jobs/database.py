"""The database behind jobs: SQLite or PostgreSQL."""

from __future__ import annotations


class Database:
    """An open database."""

    @classmethod
    def open(cls, url: str) -> Database:
        """Open ``sqlite:////path/to/file`` or ``postgresql://...``. Raises SetupError for any other address."""
        raise NotImplementedError

    def upgrade(self) -> None:
        """Bring the tables to this version, under a lock. Raises SetupError for tables of a later version."""
        raise NotImplementedError

    def close(self) -> None:
        """Close all connections."""
        raise NotImplementedError
