"""One Valkey master with two replicas and three of its own sentinels, whose master is killed or stopped.

In its favour: the earliest of the three sentinels counts for each mark, a failover that failed may be tried again after
10 s instead of 6 minutes, and the fallen server comes back as a replica at once instead of after the sentinels' 10 s.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import redis

from bench.failover_figures import DOWN_AFTER_S, Cause, Round
from bench.witness import BenchFailed, Seen, Witness, wait_until
from ha_stress.bus.embedded import server_binary
from ha_stress.cli import processes

MASTER = "bench"
SERVERS = 3
SENTINELS = 3
QUORUM = 2
POLL_S = 0.002
ROUND_TIMEOUT_S = 60.0
HEAL_TIMEOUT_S = 60.0
#: Twice this after a failed try, a sentinel tries again.
FAILOVER_TIMEOUT_MS = 5000
_PROMOTED = "(promoted)"
_SERVER = """
bind 127.0.0.1
port {port}
dir "{directory}"
logfile "{directory}/log"
save ""
appendonly no
repl-diskless-sync-delay 0
"""
_SENTINEL = """
bind 127.0.0.1
port {port}
dir "{directory}"
logfile "{directory}/log"
sentinel monitor {master} 127.0.0.1 {master_port} {quorum}
sentinel down-after-milliseconds {master} {down_after_ms}
sentinel failover-timeout {master} {failover_timeout_ms}
"""


@dataclass
class Server:
    """One process of Valkey, server or sentinel."""

    port: int
    directory: Path
    popen: subprocess.Popen[bytes]
    guard: subprocess.Popen[bytes]
    client: redis.Redis

    def end(self) -> None:
        """Also of one that is stopped."""
        processes.release(self.guard)
        if self.popen.poll() is None:
            os.kill(self.popen.pid, signal.SIGKILL)
            self.popen.wait(5)
        self.client.close()


def _start(directory: Path, port: int, *words: str) -> Server:
    popen = subprocess.Popen(
        [str(server_binary()), str(directory / "server.conf"), *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    client = redis.Redis(host="127.0.0.1", port=port, socket_timeout=1, socket_connect_timeout=1)
    return Server(port, directory, popen, processes.guard(popen.pid), client)


class Valkey:
    """A context manager: inside, all six are well; each `fail` is one round and leaves them well again."""

    def __init__(self, directory: Path, free_ports: Callable[[int], list[int]]) -> None:
        self._directory = directory
        self._ports = free_ports(SERVERS + SENTINELS)
        self._servers: dict[int, Server] = {}
        self._sentinels: list[Server] = []
        self._witness = Witness()
        self.version = ""

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.callback(self._end)
            first, *replicas = self._ports[:SERVERS]
            self._serve(first, None)
            for port in replicas:
                self._serve(port, first)
            for port in self._ports[SERVERS:]:
                self._watch(port, first)
            for sentinel in self._sentinels:
                wait_until("a sentinel answers", lambda one=sentinel: bool(one.client.ping()), 10)  # type: ignore[misc]
                self._witness.subscribe(sentinel.port, "*")
            self.wait_healthy()
            self.version = str(self._servers[first].client.info("server").get("valkey_version", ""))
            stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        self._witness.close()
        for server in [*self._sentinels, *self._servers.values()]:
            server.end()

    def _serve(self, port: int, master_port: int | None) -> None:
        directory = self._prepare(port, _SERVER)
        words = ("--replicaof", f"127.0.0.1 {master_port}") if master_port else ()
        self._servers[port] = _start(directory, port, *words)

    def _watch(self, port: int, master_port: int) -> None:
        directory = self._prepare(
            port,
            _SENTINEL,
            master=MASTER,
            master_port=master_port,
            quorum=QUORUM,
            down_after_ms=round(DOWN_AFTER_S * 1000),
            failover_timeout_ms=FAILOVER_TIMEOUT_MS,
        )
        self._sentinels.append(_start(directory, port, "--sentinel"))

    def _prepare(self, port: int, settings: str, **more: object) -> Path:
        directory = self._directory / str(port)
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "server.conf").write_text(settings.format(port=port, directory=directory, **more))
        return directory

    def fail(self, cause: Cause) -> Round:
        fallen = self._servers[self._master_port()]
        over = threading.Event()
        others = [server for server in self._servers.values() if server is not fallen]
        poller = threading.Thread(target=self._poll_roles, args=(others, over), daemon=True)
        poller.start()
        try:
            at = time.monotonic()
            os.kill(fallen.popen.pid, signal.SIGKILL if cause is Cause.KILL else signal.SIGSTOP)
            marks = self._witness.wait_all(_WANTED, at, ROUND_TIMEOUT_S)
        finally:
            over.set()
            poller.join(5)
            if cause is Cause.STOP:
                os.kill(fallen.popen.pid, signal.SIGCONT)
        self._bring_back(cause, fallen)
        return Round(**{name: (moment - at) * 1000 for name, moment in marks.items()})

    def _bring_back(self, cause: Cause, fallen: Server) -> None:
        successors: list[int] = []

        def found() -> bool:  # asked again: a promotion closes every connection of the promoted server
            successors.extend(one.port for one in self._servers.values() if one is not fallen and _is_master(one))
            return bool(successors)

        wait_until("one of the others is master", found, 10)
        successor = successors[0]
        if cause is Cause.KILL:
            fallen.end()
            self._serve(fallen.port, successor)
        else:
            fallen.client.close()  # what was sent to it while it slept must not be answered now
            wait_until("it takes orders", lambda: bool(fallen.client.replicaof("127.0.0.1", successor)), 10)
        self.wait_healthy()

    def _poll_roles(self, servers: list[Server], over: threading.Event) -> None:
        while not over.is_set():
            try:
                if any(_is_master(server) for server in servers):
                    self._witness.note(_PROMOTED, b"")
                    return
            except redis.RedisError:
                pass  # it did not answer this time; asked again at once
            time.sleep(POLL_S)

    def _master_port(self) -> int:
        return int(_plain(self._sentinels[0].client, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER)[1])

    def wait_healthy(self) -> None:
        try:
            wait_until("all sentinels see a master with two connected replicas", self._healthy, HEAL_TIMEOUT_S)
        except BenchFailed as failed:
            state = [_table(one.client, "SENTINEL", "REPLICAS", MASTER) for one in self._sentinels]
            raise BenchFailed(f"{failed}; they see {state}") from None

    def _healthy(self) -> bool:
        return len({_seen_by(one) for one in self._sentinels}) == 1 and _seen_by(self._sentinels[0]) != 0


def _seen_by(sentinel: Server) -> int:
    """The port of the master as this sentinel sees it; 0 if it does not see everything well."""
    master = _pairs(_plain(sentinel.client, "SENTINEL", "MASTER", MASTER))
    replicas = _table(sentinel.client, "SENTINEL", "REPLICAS", MASTER)
    well = (
        (master["flags"], master["num-slaves"], master["num-other-sentinels"])
        == ("master", str(SERVERS - 1), str(SENTINELS - 1))
        and len(replicas) == SERVERS - 1
        and all(
            (one["flags"], one["master-link-status"], one["master-port"]) == ("slave", "ok", master["port"])
            for one in replicas
        )
    )
    return int(master["port"]) if well else 0


def _is_master(server: Server) -> bool:
    return bool(_plain(server.client, "ROLE")[0] == b"master")


def _plain(client: redis.Redis, *words: str) -> Any:
    """The answer as the server gives it: the library's own parsing differs between its versions."""
    connection: Any = client.connection_pool.get_connection()
    try:
        connection.send_command(*words)
        return connection.read_response()
    except (redis.RedisError, OSError):
        connection.disconnect()
        raise
    finally:
        client.connection_pool.release(connection)


def _pairs(answer: Any) -> dict[str, str]:
    if isinstance(answer, dict):
        return {key.decode(): value.decode() for key, value in answer.items()}
    words = [word.decode() for word in answer]
    return dict(zip(words[::2], words[1::2], strict=True))


def _table(client: redis.Redis, *words: str) -> list[dict[str, str]]:
    return [_pairs(row) for row in _plain(client, *words)]


def _is_about_master(seen: Seen, channel: str) -> bool:
    return seen.channel == channel and MASTER.encode() in seen.data.split()


_WANTED: dict[str, Callable[[Seen], bool]] = {
    "detect_ms": lambda seen: _is_about_master(seen, "+odown"),
    "act_ms": lambda seen: seen.channel == _PROMOTED,
    "announce_ms": lambda seen: _is_about_master(seen, "+switch-master"),
}
