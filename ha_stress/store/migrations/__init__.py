"""Alembic scripts. They are run by `ha_stress.store.migrate`, inside its transaction and under its lock."""
