"""Jobs, items, idempotency keys, workers and locks.

Written out in full, not taken from `service.jobs.tables`: that moves on, this step stays.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision: str | None = None


def upgrade() -> None:
    """Make the tables and their indexes."""
    _jobs()
    _items()
    _others()
    _index("jobs_of_owner", "jobs", "owner created id")
    _index("jobs_waiting", "jobs", "device owner created id waiting", "waiting > 0")
    _index("jobs_busy", "jobs", "device owner total waiting done", "total > waiting + done")
    _index("jobs_kept", "jobs", "finished", "state <> 'expired'")
    _index("jobs_expired", "jobs", "finished", "state = 'expired'")
    _index("items_queued", "items", "job_id deaths n", "state = 'queued'")
    _index("items_running", "items", "lease_until", "state = 'running'")
    _index("items_ended", "items", "ended", "ended IS NOT NULL")
    _index("keys_of_job", "keys", "job_id")


def _index(name: str, table: str, columns: str, where: str | None = None) -> None:
    condition = None if where is None else sa.text(where)
    op.create_index(name, table, columns.split(), sqlite_where=condition, postgresql_where=condition)


def _jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("owner", sa.String, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("pipeline", sa.String, nullable=False),
        sa.Column("version", sa.String, nullable=False),
        sa.Column("weights", sa.String, nullable=False),
        sa.Column("outputs", sa.JSON, nullable=False),
        sa.Column("parameters", sa.JSON, nullable=False),
        sa.Column("fingerprint", sa.String, nullable=False),
        sa.Column("key", sa.String),
        sa.Column("device", sa.String, nullable=False),
        sa.Column("created", sa.Double, nullable=False),
        sa.Column("finished", sa.Double),
        sa.Column("total", sa.Integer, nullable=False),
        sa.Column("waiting", sa.Integer, nullable=False),
        sa.Column("done", sa.Integer, nullable=False),
        sa.Column("failed", sa.Integer, nullable=False),
        sa.Column("stage", sa.String),
        sa.Column("seq", sa.BigInteger, nullable=False),
    )


def _items() -> None:
    op.create_table(
        "items",
        sa.Column("job_id", sa.String, sa.ForeignKey("jobs.id"), primary_key=True),
        sa.Column("n", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("key", sa.String, nullable=False),
        sa.Column("sha256", sa.String, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("problem", sa.JSON),
        sa.Column("stage", sa.String),
        sa.Column("steps_done", sa.Integer, nullable=False),
        sa.Column("steps_total", sa.Integer, nullable=False),
        sa.Column("files", sa.JSON, nullable=False),
        sa.Column("summary", sa.JSON, nullable=False),
        sa.Column("checkpoint", sa.JSON),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("deaths", sa.Integer, nullable=False),
        sa.Column("token", sa.BigInteger, nullable=False),
        sa.Column("worker", sa.String),
        sa.Column("lease_until", sa.Double),
        sa.Column("ended", sa.Double),
    )


def _others() -> None:
    op.create_table(
        "keys",
        sa.Column("owner", sa.String, primary_key=True),
        sa.Column("key", sa.String, primary_key=True),
        sa.Column("job_id", sa.String),
        sa.Column("fingerprint", sa.String),
        sa.Column("receiving_until", sa.Double),
    )
    op.create_table(
        "workers",
        sa.Column("worker", sa.String, primary_key=True),
        sa.Column("device", sa.String, nullable=False),
        sa.Column("busy", sa.Boolean, nullable=False),
        sa.Column("finished", sa.Integer, nullable=False),
        sa.Column("told", sa.Double, nullable=False),
    )
    op.create_table(
        "locks",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("holder", sa.String, nullable=False),
        sa.Column("until", sa.Double, nullable=False),
    )
