"""Jobs that were erased while their files could not be."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision: str | None = "0002"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "erasures",
        sa.Column("job_id", sa.String, primary_key=True),
        sa.Column("owner", sa.String, nullable=False),
    )
