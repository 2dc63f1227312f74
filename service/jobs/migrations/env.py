"""Run by alembic: migrates over the connection that `service.jobs.migrate` hands in."""

from __future__ import annotations

from alembic import context

from service.jobs.tables import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA, transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
