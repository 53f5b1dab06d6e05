"""From a database URL to a SQLAlchemy engine whose every wait is bounded.

On SQLite a read runs in `BEGIN`, a write in `BEGIN IMMEDIATE`, so that read-modify-write is safe between processes. On
PostgreSQL the fence row, which each master's transaction updates first, serialises the writers.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from ha_stress.base.errors import ConfigError
from ha_stress.base.limits import STORE_THREADS_MAX

#: Another process holds SQLite's write lock for at most one commit (tens of milliseconds); this is far above.
BUSY_TIMEOUT_S: Final = 5.0
CONNECT_TIMEOUT_S: Final = 3
#: The server cancels a statement that takes longer.
STATEMENT_TIMEOUT_S: Final = 5
#: A master that is stopped inside a transaction holds the fence row. Its successor shall not wait for it to go on.
IDLE_IN_TRANSACTION_S: Final = 2
#: A server that is frozen cannot cancel anything: after this our side cuts its connections.
CALL_TIMEOUT_S: Final = 8.0

_EXAMPLES: Final = "use sqlite:///file.db or postgresql://user@host/name"


class Database:
    """An engine and the means to cut off a server that has stopped answering."""

    def __init__(self, url: str) -> None:
        self.url = _checked(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self._file: tuple[int, int] | None = None
        self._open: dict[int, Any] = {}
        self._open_lock = threading.Lock()
        self.engine = _sqlite(self.url) if self.is_sqlite else self._postgresql(self.url)
        self.writer = self.engine.execution_options(ha_write=True)

    def remember_file(self) -> None:
        """Call it once the file is there. Blocking."""
        if self.is_sqlite:
            self._file = _identity(str(self.url.database))

    def misplaced(self) -> str:
        """Why the file in use is not what others find at its path; "" if it is (a server moves nothing). Blocking."""
        if not self.is_sqlite:
            return ""
        path = str(self.url.database)
        try:
            same = _identity(path) == self._file
        except OSError as error:
            return f"the database file {path} is not where it was opened: {error.strerror}"
        return "" if same else f"{path} is another file by now than the one that was opened"

    def _postgresql(self, url: URL) -> Engine:
        waits = {
            "connect_timeout": CONNECT_TIMEOUT_S,
            "tcp_user_timeout": CONNECT_TIMEOUT_S * 1000,
            "keepalives_idle": CONNECT_TIMEOUT_S,
            "keepalives_interval": 1,
            "keepalives_count": 3,
            "options": f"-c statement_timeout={STATEMENT_TIMEOUT_S}s"
            f" -c idle_in_transaction_session_timeout={IDLE_IN_TRANSACTION_S}s",
            "application_name": "ha-stress",
        }
        try:
            engine = create_engine(
                url,
                connect_args={key: value for key, value in waits.items() if key not in url.query},
                pool_pre_ping=True,
                pool_size=STORE_THREADS_MAX,
                max_overflow=0,
                pool_timeout=CONNECT_TIMEOUT_S,
            )
        except ImportError:  # the package, or the libpq that it wraps
            raise ConfigError(
                "PostgreSQL needs the psycopg driver, which is not installed: install ha-stress[postgresql]"
            ) from None
        event.listen(engine, "connect", self._opened)
        event.listen(engine, "close", self._closing)
        return engine

    def _opened(self, connection: Any, _record: object) -> None:
        with self._open_lock:
            self._open[id(connection)] = connection

    def _closing(self, connection: Any, _record: object) -> None:
        with self._open_lock:
            self._open.pop(id(connection), None)

    def cut(self) -> None:
        """Shut the sockets of all connections down, so that threads that wait on them fail at once."""
        with self._open_lock:  # no connection can be closed meanwhile, so no descriptor is another's by now
            for connection in self._open.values():
                if connection.closed:
                    continue
                with socket.socket(fileno=os.dup(connection.fileno())) as line:
                    try:
                        line.shutdown(socket.SHUT_RDWR)
                    except OSError:
                        continue  # the other side has closed it already: the waiting thread knows

    def dispose(self) -> None:
        self.engine.dispose()


def _checked(text: str) -> URL:
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise ConfigError(f"the database URL cannot be read: {_EXAMPLES}") from None
    shown = url.render_as_string(hide_password=True)
    if url.drivername in ("postgresql", "postgres"):
        return url.set(drivername="postgresql+psycopg")
    if url.drivername not in ("postgresql+psycopg", "sqlite", "sqlite+pysqlite"):
        raise ConfigError(f"database {shown!r} has an unknown scheme {url.drivername!r}: {_EXAMPLES}")
    if url.get_backend_name() == "sqlite":
        _check_path(url.database)
    return url


def _check_path(database: str | None) -> None:
    if not database or database == ":memory:":
        raise ConfigError(
            "the SQLite URL names no file: use sqlite:///file.db (processes share the store, so no :memory:)"
        )
    path = Path(database)
    if not path.parent.is_dir():
        raise ConfigError(f"the database {database} cannot be created: directory {path.parent} does not exist")
    if path.is_dir():
        raise ConfigError(f"the database {database} is a directory: name a file")
    if not os.access(path.parent, os.W_OK | os.X_OK) or (path.exists() and not os.access(path, os.R_OK | os.W_OK)):
        raise ConfigError(f"the database {database} cannot be written by this user: check its permissions")
    if path.exists() and path.stat().st_size and not _begins_as_sqlite(path):
        raise ConfigError(f"the file {database} is not an SQLite database: name another one")


def _identity(path: str) -> tuple[int, int]:
    found = os.stat(path)
    return found.st_dev, found.st_ino


def _begins_as_sqlite(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(16) == b"SQLite format 3\0"


def _sqlite(url: URL) -> Engine:
    try:
        engine = create_engine(
            url,
            connect_args={"timeout": BUSY_TIMEOUT_S},
            pool_size=STORE_THREADS_MAX,
            max_overflow=0,
            pool_timeout=BUSY_TIMEOUT_S + 1,
        )
    except (NoSuchModuleError, ModuleNotFoundError) as error:
        raise ConfigError(f"this Python has no SQLite: {error}") from None
    event.listen(engine, "connect", _sqlite_connected)
    event.listen(engine, "begin", _sqlite_begin)
    return engine


def _sqlite_connected(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # the driver must not begin transactions on its own; `_sqlite_begin` does
    cursor = connection.cursor()
    try:
        _switch_to_wal(cursor)
        cursor.execute("PRAGMA synchronous=NORMAL")
        cursor.execute("PRAGMA foreign_keys=ON")
    finally:
        cursor.close()


def _switch_to_wal(cursor: Any) -> None:
    """SQLite answers "locked" at once while another process makes the same switch, whatever the timeout: wait here."""
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            if cursor.execute("PRAGMA journal_mode").fetchone()[0] == "wal":
                return
            cursor.execute("PRAGMA journal_mode=WAL")
            return
        except Exception as error:  # sqlite3.OperationalError, without binding this module to that driver
            if "locked" not in str(error) or time.monotonic() >= deadline:
                raise
        time.sleep(0.02)


def _sqlite_begin(connection: Connection) -> None:
    write = connection.get_execution_options().get("ha_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
