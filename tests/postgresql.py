"""A private PostgreSQL server for tests: own data directory, own port, gone afterwards.

    with private_postgresql() as server:
        server.create_database("one"); server.url("one")

PostgreSQL refuses to run as root, so root runs it as `postgres` or `nobody`. Raises NoPostgreSQL (with the reason, for a
skip) where the binaries or such a user do not exist.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

START_TIMEOUT_S: Final = 30.0
STOP_TIMEOUT_S: Final = 10.0


class NoPostgreSQL(Exception):
    """This machine cannot run one; the message says why."""


class PostgreSQL:
    """One server process. `start` and `stop` may alternate; the data stay."""

    def __init__(self, binaries: Path, data_dir: Path, owner: str | None) -> None:
        self._binaries = binaries
        self._data_dir = data_dir
        self._as_owner: dict[str, Any] = {}
        if owner is not None:
            self._as_owner = {"user": owner, "group": pwd.getpwnam(owner).pw_gid, "extra_groups": []}
        self._port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://tester@127.0.0.1:{self._port}/{database}"

    def initialise(self) -> None:
        command = [str(self._binaries / "initdb"), "-D", str(self._data_dir / "data"), "-U", "tester", "-A", "trust"]
        command += ["-E", "UTF8", "--locale=C", "--no-sync"]
        done = subprocess.run(
            command, cwd=self._data_dir, capture_output=True, text=True, timeout=60, check=False, **self._as_owner
        )
        if done.returncode:
            raise NoPostgreSQL(f"initdb failed: {done.stderr.strip()[-300:]}")

    def start(self) -> None:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self._port),
            "unix_socket_directories": str(self._data_dir),
            "fsync": "off",
            "shared_buffers": "16MB",
            "max_connections": "40",
        }
        command = [str(self._binaries / "postgres"), "-D", str(self._data_dir / "data")]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        with (self._data_dir / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=self._data_dir, stdout=log, stderr=log, start_new_session=True, **self._as_owner
            )
        self._wait_until_it_answers()

    def _wait_until_it_answers(self) -> None:
        import psycopg

        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                psycopg.connect(self.url(), connect_timeout=2).close()
                return
            except psycopg.OperationalError as error:
                assert self._process is not None
                if self._process.poll() is not None or time.monotonic() > deadline:
                    self.stop()
                    log = (self._data_dir / "log").read_text(errors="replace")[-500:]
                    raise NoPostgreSQL(f"the server does not start: {error}; {log}") from None
            time.sleep(0.05)

    def create_database(self, name: str) -> None:
        import psycopg

        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(psycopg.sql.SQL("CREATE DATABASE {}").format(psycopg.sql.Identifier(name)))

    def freeze(self) -> None:
        """Stop all its processes where they are: connections stay open and nothing answers."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal_all(signal.SIGCONT)

    def _signal_all(self, number: signal.Signals) -> None:
        import psutil

        assert self._process is not None
        server = psutil.Process(self._process.pid)  # each of its processes is its own group
        for process in (server, *server.children(recursive=True)):
            process.send_signal(number)

    def stop(self) -> None:
        """At once for clients, as an immediate shutdown; what was committed stays."""
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGQUIT)
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_TIMEOUT_S)


@contextmanager
def private_postgresql() -> Iterator[PostgreSQL]:
    binaries = _find_binaries()
    owner = _unprivileged_user() if os.geteuid() == 0 else None
    directory = Path(tempfile.mkdtemp(prefix="hs-pg-"))
    server = PostgreSQL(binaries, directory, owner)
    try:
        if owner is not None:
            account = pwd.getpwnam(owner)
            os.chown(directory, account.pw_uid, account.pw_gid)
        server.initialise()
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)


def _find_binaries() -> Path:
    """The directory that holds both programs; the newest version first. (A link in PATH alone lacks its siblings.)"""
    candidates = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    found = shutil.which("initdb")
    if found:
        candidates.append(Path(found).resolve().parent)
    for directory in candidates:
        if (directory / "initdb").exists() and (directory / "postgres").exists():
            return directory
    raise NoPostgreSQL("PostgreSQL's initdb and postgres are not installed")


def _unprivileged_user() -> str:
    for name in ("postgres", "nobody"):
        try:
            pwd.getpwnam(name)
        except KeyError:
            continue
        return name
    raise NoPostgreSQL("root cannot run PostgreSQL, and there is no user postgres or nobody")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
