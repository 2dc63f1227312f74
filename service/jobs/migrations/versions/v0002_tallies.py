"""Counts of what happened to items, which outlive the jobs that they were of."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision: str | None = "0001"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "tallies",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("device", sa.String, primary_key=True),
        sa.Column("value", sa.BigInteger, nullable=False),
    )
