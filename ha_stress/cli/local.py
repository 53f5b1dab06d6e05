"""A whole cluster on this machine, of real processes: embedded Redis, SQLite, sentinels and nodes.

For laptops, the demo and tests; the processes are the very ones of a distributed cluster.

    data_dir/cluster.json     who runs where (the CLI finds the nodes with it)
             secret           random per cluster, readable by its owner only
             <id>.log         standard error of each process
             ha-stress.db     SQLite
             redis/           the server's append-only file
             <sentinel>/      its vote file
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import trio

from ha_stress.base.errors import ConfigError, Conflict, NotFound, Unavailable
from ha_stress.bus.embedded import EmbeddedRedis
from ha_stress.cli import processes
from ha_stress.cli.client import Client
from ha_stress.cli.processes import Child, ChildFailed
from ha_stress.store.store import open_store

#: A loaded machine needs a while to start seven interpreters.
START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 12.0
#: A node that leaves hands its work over. When all leave at once there is nobody to take it: do not wait long.
LEAVE_TIMEOUT_S = "2"
_POLL_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalSpec:
    """What to start. `timing` overrides fields of `Timing`; `fresh` forgets what an earlier cluster left behind."""

    data_dir: Path
    nodes: int = 3
    sentinels: int = 3
    engines: int = 1
    #: What may be loaded; the default of a node where it is empty.
    allow: tuple[str, ...] = ()
    cluster: str = "local"
    timing: Mapping[str, str] = field(default_factory=dict)
    log_level: str = "info"
    fresh: bool = False


class LocalCluster:
    """Use as a context manager: inside, the cluster has an acting master; afterwards nothing of it runs."""

    def __init__(self, spec: LocalSpec) -> None:
        self.spec = spec
        self.dir = spec.data_dir.absolute()
        self.database_url = f"sqlite:///{self.dir / 'ha-stress.db'}"
        self.redis: EmbeddedRedis | None = None
        self.nodes: dict[str, Child] = {}
        self.sentinels: dict[str, Child] = {}
        self._guard: subprocess.Popen[bytes] | None = None
        self._lock: IO[str] | None = None

    def __enter__(self) -> LocalCluster:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def redis_url(self) -> str:
        assert self.redis is not None, "started"
        return str(self.redis.url)

    def client(self) -> Client:
        return Client([child.ready["api_url"] for child in self.nodes.values() if child.alive])

    # Start and stop.

    def start(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Everything at once; returns when one master acts. ChildFailed says what did not come up, and why."""
        deadline = time.monotonic() + timeout_s
        self._prepare_dir()
        self.redis = EmbeddedRedis.start(self.dir / "redis")
        self._guard = processes.guard(self.redis.pid)
        for number in range(self.spec.sentinels):
            self._start_sentinel(f"s{number + 1}")
        trio.run(_migrate, self.database_url)  # here, so that no node has to carry the migration tool in its memory
        for number in range(self.spec.nodes):
            self._start_node(f"n{number + 1}")
        processes.wait_ready(self.children(), deadline)
        self._describe()
        self._wait_acting(deadline)

    def stop(self) -> None:
        """Ask all to stop, wait, kill what is left. Only what this object started."""
        deadline = time.monotonic() + STOP_TIMEOUT_S
        # Sentinels first: nobody shall elect a successor for a cluster that is being stopped.
        for group in (self.sentinels, self.nodes):
            for child in group.values():
                child.terminate()
            for child in group.values():
                child.finish(deadline)
        self._release_guard()
        if self.redis is not None:
            self.redis.stop()
            self.redis = None
        if self._lock is not None:
            (self.dir / "cluster.json").unlink(missing_ok=True)
            self._lock.close()
            self._lock = None

    def _release_guard(self) -> None:
        if self._guard is not None:
            processes.release(self._guard)
            self._guard = None

    def children(self) -> list[Child]:
        return [*self.sentinels.values(), *self.nodes.values()]

    def gone(self) -> str:
        """What to say once no node lives any more; "" while one does."""
        if any(child.alive for child in self.nodes.values()):
            return ""
        last = list(self.nodes.values())[-1]
        words = last.last_words().strip().splitlines()
        said = f"; its log ends with: {words[-1].strip()}" if words else ""
        return f"node {last.id}, which was started here, has ended{said}"

    # What the demo and the chaos do.

    def kill(self, child_id: str) -> float:
        """SIGKILL for the whole process tree; the Unix time right before."""
        return self._child(child_id).kill_tree()

    def restart(self, child_id: str, timeout_s: float = START_TIMEOUT_S) -> Child:
        """Start a process again under its id (a new incarnation); returns when it is ready."""
        child = self._child(child_id)
        if child.alive:
            raise Conflict(f"{child_id} still runs")
        again = self._start_node(child_id) if child.kind == "node" else self._start_sentinel(child_id)
        processes.wait_ready([again], time.monotonic() + timeout_s)
        self._describe()
        return again

    def kill_redis(self) -> float:
        """SIGKILL for the embedded server; the Unix time right before."""
        assert self.redis is not None, "started"
        self._release_guard()
        at = time.time()
        self.redis.kill()
        return at

    def restart_redis(self) -> None:
        """Start it again on its port, with what it had written; returns when it answers."""
        assert self.redis is not None, "started"
        self.redis.restart()
        self._guard = processes.guard(self.redis.pid)
        self._describe()

    def _child(self, child_id: str) -> Child:
        found = self.nodes.get(child_id) or self.sentinels.get(child_id)
        if found is None:
            raise NotFound(f"this cluster has no process {child_id!r}")
        return found

    # How.

    def _prepare_dir(self) -> None:
        try:
            self.dir.mkdir(parents=True, exist_ok=True)
            self._lock = (self.dir / "lock").open("a")
        except OSError as error:
            why = "it is not a directory" if isinstance(error, FileExistsError) else error.strerror
            raise ConfigError(f"nothing can be written in {self.dir}: {why}; choose another directory") from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            self._lock = None
            raise Conflict(f"a cluster runs in {self.dir} already; stop it, or choose another --data-dir") from None
        if self.spec.fresh:
            self._forget()
        secret = self.dir / "secret"
        if not secret.exists() or not secret.stat().st_size:  # empty: an earlier start was cut off right here
            with os.fdopen(os.open(secret, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
                file.write(secrets.token_hex(32))

    def _forget(self) -> None:
        """Remove what an earlier cluster wrote here, by name: the directory may hold other things as well."""
        for pattern in ("redis", "ha-stress.db*", "secret", "cluster.json*", "s[0-9]*", "n[0-9]*.log", "target.log"):
            for stale in self.dir.glob(pattern):
                shutil.rmtree(stale) if stale.is_dir() else stale.unlink()

    def _common(self, child_id: str) -> list[str]:
        chosen = {"stop_timeout_s": LEAVE_TIMEOUT_S} | dict(self.spec.timing)
        timing = [word for key, value in chosen.items() for word in ("--timing", f"{key}={value}")]
        return [
            *("--id", child_id, "--cluster", self.spec.cluster, "--redis", self.redis_url),
            *("--secret-file", str(self.dir / "secret"), "--log-level", self.spec.log_level),
            *timing,
        ]

    def _start_node(self, node_id: str) -> Child:
        argv = ["ha_stress", "node", *self._common(node_id), "--database", self.database_url]
        argv += ["--sentinels", str(self.spec.sentinels), "--engines", str(self.spec.engines), "--api-port", "0"]
        argv += [word for network in self.spec.allow for word in ("--allow", network)]
        self.nodes[node_id] = processes.start("node", node_id, argv, self.dir / f"{node_id}.log")
        return self.nodes[node_id]

    def _start_sentinel(self, sentinel_id: str) -> Child:
        members = ",".join(f"s{number + 1}" for number in range(self.spec.sentinels))
        argv = ["ha_stress", "sentinel", *self._common(sentinel_id), "--members", members]
        argv += ["--data-dir", str(self.dir / sentinel_id)]
        self.sentinels[sentinel_id] = processes.start("sentinel", sentinel_id, argv, self.dir / f"{sentinel_id}.log")
        return self.sentinels[sentinel_id]

    def _wait_acting(self, deadline: float) -> None:
        problem = "no node has answered yet"
        with self.client() as client:
            while time.monotonic() < deadline:
                dead = [child for child in self.children() if not child.alive]
                if dead:
                    raise ChildFailed(f"{dead[0].kind} {dead[0].id} died; its log ends with{dead[0].last_words()}")
                try:
                    status = client.status()
                except Unavailable as error:
                    problem = str(error)
                else:
                    if status["master"] and status["master"]["acting"] and len(status["nodes"]) >= self.spec.nodes:
                        return
                    problem = f"master: {status['master']}, nodes: {len(status['nodes'])} of {self.spec.nodes}"
                time.sleep(_POLL_S)
        first = next(iter(self.nodes.values()))
        raise ChildFailed(f"no master was acting in time ({problem}); {first.log_path} ends with{first.last_words()}")

    def _described(self) -> list[dict[str, Any]]:
        return [
            {"kind": child.kind, "id": child.id, "pid": child.pid, "log": str(child.log_path)}
            | ({"api_url": child.ready["api_url"]} if child.ready.get("api_url") else {})
            for child in self.children()
        ]

    def _describe(self) -> None:
        """Write cluster.json, so that a reader sees the old one or the new one."""
        described: dict[str, Any] = {
            "cluster": self.spec.cluster,
            "redis_url": self.redis_url,
            "database_url": self.database_url,
            "pid": os.getpid(),
            "processes": [
                {"kind": "redis", "id": "redis", "pid": self.redis.pid if self.redis else 0},
                *self._described(),
            ],
        }
        draft = self.dir / "cluster.json.new"
        draft.write_text(json.dumps(described, indent=2) + "\n")
        draft.replace(self.dir / "cluster.json")


async def _migrate(database_url: str) -> None:
    async with open_store(database_url):
        pass
