"""The cluster that lives through the rounds: real processes, each on a host of its own where there are namespaces.

    n1 n2 n3   s1 s2 s3   redis (with the gate before it)   witness: this process and the counting target

Without namespaces every host is 127.0.0.1. The programs are started by their command lines, as an operator starts them.
"""

from __future__ import annotations

import json
import secrets
import select
import signal
import socket
import sqlite3
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any, Final

import httpx
import psutil
import trio

from chaos.outside import Outside, tree
from chaos.rounds.network import Network
from chaos.rounds.servers import RedisServer, SmallDisk
from chaos.script import send
from ha_stress.cli import processes
from ha_stress.cli.client import Client
from ha_stress.cli.processes import Child, ChildFailed
from ha_stress.store.store import open_store

NODES: Final = ("n1", "n2", "n3")
SENTINELS: Final = ("s1", "s2", "s3")
HOSTS: Final = (*NODES, *SENTINELS, "redis", "witness")
NAME: Final = "chaos"
#: As in the demo: silence of a second is death, and a ping fits into it twice.
TIMING: Final = {"down_after_s": "1", "ping_period_s": "0.4", "stop_timeout_s": "1"}
START_S_MAX: Final = 40.0
STOP_S_MAX: Final = 8.0
_LOCAL: Final = "127.0.0.1"


class Cluster:
    """Use as a context manager: inside, everything is started; afterwards nothing of it runs and nothing is mounted."""

    def __init__(self, directory: Path, network: Network | None, *, disks: bool) -> None:
        self.dir = directory
        self.network = network
        self.database = directory / "ha-stress.db"
        self.children: dict[str, Child] = {}
        self.disks = {name: SmallDisk(directory / name) for name in SENTINELS} if disks else {}
        self._stack = ExitStack()

    def __enter__(self) -> Cluster:
        with ExitStack() as stack:
            stack.callback(self._stop)
            self._start(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def address(self, host: str) -> str:
        return self.network.addresses[host] if self.network else _LOCAL

    def at(self, host: str) -> Any:
        """A context in which what is started runs on `host`."""
        return self.network.inside(host) if self.network else nullcontext()

    # Start and stop.

    def _start(self, stack: ExitStack) -> None:
        deadline = time.monotonic() + START_S_MAX
        self.dir.mkdir(parents=True, exist_ok=True)
        (self.dir / "secret").touch(0o600)
        (self.dir / "secret").write_text(secrets.token_hex(32), "utf-8")
        for disk in self.disks.values():
            disk.mount()
        trio.run(_migrate, self._database_url)
        with self.at("redis"):
            self.redis = RedisServer(self.dir / "redis", self.address("redis"), _free_port(self.address("redis")))
            self.redis.start()
        self.gate = self._serve("gate", "redis", self.address("redis"), str(self.redis.port), NAME)
        self.target = self._serve("target", "witness", self.address("witness"))
        processes.wait_ready([self.gate, self.target], deadline)
        for name in (*SENTINELS, *NODES):
            self._launch(name)
        processes.wait_ready([self.children[name] for name in (*SENTINELS, *NODES)], deadline)
        self.outside = Outside(self.redis.url, NAME)
        stack.callback(self.outside.client.close)

    def _serve(self, module: str, host: str, *arguments: str) -> Child:
        argv = [f"chaos.rounds.{module}", *arguments]
        with self.at(host):
            child = processes.start(module, module, argv, self.dir / f"{module}.log", ready_on_stdout=True)
        self.children[module] = child
        return child

    def _launch(self, name: str) -> Child:
        words = [
            "--id",
            name,
            "--cluster",
            NAME,
            "--secret-file",
            str(self.dir / "secret"),
            "--host",
            self.address(name),
        ]
        for key, value in TIMING.items():
            words += ["--timing", f"{key}={value}"]
        if name in NODES:
            kind, own = "node", ["--redis", self.redis.url, "--database", self._database_url, "--api-port", "0"]
            own += ["--sentinels", str(len(SENTINELS))]
        else:
            kind, own = "sentinel", ["--redis", str(self.gate.ready["url"]), "--members", ",".join(SENTINELS)]
            own += ["--data-dir", str(self.dir / name)]
        with self.at(name):
            log = self.dir / f"{name}.log"
            self.children[name] = processes.start(kind, name, ["ha_stress", kind, *words, *own], log)
        return self.children[name]

    def _stop(self) -> None:
        """Everything ends, what is stopped too. Only what this object started."""
        deadline = time.monotonic() + STOP_S_MAX
        # Sentinels first: nobody shall elect a successor for a cluster that is being stopped.
        for group in (SENTINELS, NODES, ("gate", "target")):
            members = [self.children[name] for name in group if name in self.children]
            for child in members:
                with _gone_is_fine():
                    self.resume(child.id)
                child.terminate()
            for child in members:
                child.finish(deadline)
        if hasattr(self, "redis"):
            self.redis.kill()
        for disk in self.disks.values():
            disk.unmount()

    @property
    def _database_url(self) -> str:
        return f"sqlite:///{self.database}"

    # What faults do.

    def kill(self, name: str) -> None:
        """kill -9 of the process and all below it."""
        self.children[name].kill_tree()

    def family(self, name: str) -> list[psutil.Process]:
        return tree(psutil.Process(self.children[name].pid))

    def resume(self, name: str) -> None:
        send(self.family(name), signal.SIGCONT)

    def dead(self) -> list[str]:
        return [name for name in (*SENTINELS, *NODES) if not self.children[name].alive]

    def revive(self) -> None:
        """Start everybody who is dead, again under the old name; returns when they are ready."""
        again = []
        for name in self.dead():
            self.children[name].kill_tree()  # takes it off the books
            again.append(self._launch(name))
        processes.wait_ready(again, time.monotonic() + START_S_MAX)

    # What an observer reads.

    def client(self) -> Client:
        return Client([self.children[name].ready["api_url"] for name in NODES if self.children[name].alive])

    def counts(self) -> dict[str, int]:
        """What the target counted, by the address that sent it."""
        found: dict[str, int] = httpx.get(f"{self.target.ready['url']}/__counts", timeout=5, trust_env=False).json()
        return found

    @contextmanager
    def sql(self) -> Iterator[sqlite3.Connection]:
        """The database, read only, without anything of ours in between."""
        connection = sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, timeout=5)
        try:
            yield connection
        finally:
            connection.close()

    def database_is_free(self) -> bool:
        """Whether anybody could write to it now."""
        connection = sqlite3.connect(self.database, timeout=0.05, isolation_level=None)
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
        except sqlite3.OperationalError:
            return False
        finally:
            connection.close()
        return True

    def ask_gate(self, word: str) -> None:
        assert self.gate.popen.stdin is not None
        self.gate.popen.stdin.write(word.encode() + b"\n")
        self.gate.popen.stdin.flush()

    def gate_says(self, timeout_s: float) -> dict[str, Any]:
        """The next line of the gate; empty if there is none in time."""
        buffer = b""
        deadline = time.monotonic() + timeout_s
        while b"\n" not in buffer:
            ready, _, _ = select.select([self.gate.ready_pipe], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                return {}
            byte = self.gate.ready_pipe.read(1)
            if not byte:
                raise ChildFailed(f"the gate has ended; its log ends with{self.gate.last_words()}")
            buffer += byte
        line: dict[str, Any] = json.loads(buffer)
        return line


@contextmanager
def _gone_is_fine() -> Iterator[None]:
    try:
        yield
    except psutil.NoSuchProcess:
        return


def _free_port(host: str) -> int:
    with socket.create_server((host, 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


async def _migrate(url: str) -> None:
    async with open_store(url):
        pass
