"""Bring the database to the newest schema, once, whoever starts first.

The version row is read with plain SQL. Alembic is imported only if it differs from the packaged head: a node that
starts beside an up-to-date database stays small and quick.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, inspect, text

from ha_stress.base.errors import ConfigError
from ha_stress.store.engine import Database
from ha_stress.store.schema import HEAD

#: "hs" and a number, so that it meets no other program's advisory lock by chance.
ADVISORY_LOCK: Final = 0x68_73_0001
MIGRATION_TIMEOUT_S: Final = 60
#: Alembic keeps the running migration in a global; two stores of one process must not meet there.
_alembic = threading.Lock()


def stored_version(connection: Connection) -> str:
    """The revision of the schema in the database, "" if there is none."""
    if not inspect(connection).has_table("alembic_version"):
        return ""
    row = connection.execute(text("SELECT version_num FROM alembic_version")).first()
    return str(row[0]) if row else ""


def migrate(database: Database) -> bool:
    """Return whether anything had to be done; ConfigError if the database is newer than this program."""
    with database.engine.connect() as connection:
        if _up_to_date(connection):
            return False
    with database.writer.begin() as connection:  # SQLite: this takes the write lock
        if not database.is_sqlite:
            for limit in ("statement_timeout", "idle_in_transaction_session_timeout"):  # reading Alembic takes a while
                connection.execute(text(f"SET LOCAL {limit} = '{MIGRATION_TIMEOUT_S}s'"))
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": ADVISORY_LOCK})
        if _up_to_date(connection):  # somebody else did it while we waited for the lock
            return False
        _upgrade(connection)
    return True


def _up_to_date(connection: Connection) -> bool:
    version = stored_version(connection)
    if version > HEAD:  # versions are numbered strings of one length
        raise ConfigError(
            f"the database has schema {version}, this program knows up to {HEAD}: upgrade this program, "
            "or give it another database"
        )
    return version == HEAD


def _upgrade(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    with _alembic:
        command.upgrade(config, "head")
