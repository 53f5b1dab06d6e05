"""Alembic's entry: use the connection that `ha_stress.store.migrate` has opened, and its transaction."""

from __future__ import annotations

from alembic import context

from ha_stress.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,  # SQLite too: we begin transactions ourselves, so its DDL rolls back
)
with context.begin_transaction():
    context.run_migrations()
