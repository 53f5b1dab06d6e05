"""Three sentinels and three nodes as real processes on a real Redis, and somebody outside who reads it.

One cluster for a module of tests, because a start takes seconds; `calm` waits until all are there and one master acts.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from ha_stress.base.config import NodeConfig, SentinelConfig, Timing
from ha_stress.base.errors import BusUnavailable
from ha_stress.bus.client import Bus, open_bus
from ha_stress.bus.embedded import EmbeddedRedis
from ha_stress.cluster.events import Event
from ha_stress.cluster.mastership import NOBODY, Mastership
from ha_stress.cluster.members import NodeInfo, Role

NODES = ("n1", "n2", "n3")
SENTINELS = ("s1", "s2", "s3")
TIMING = Timing(
    ping_period_s=0.2,
    down_after_s=1.0,
    view_fresh_s=1.0,
    info_period_s=0.25,
    info_expiry_s=3.0,
    reread_s=0.5,
    stop_timeout_s=5.0,
)
#: A crash and a wish need no silence. The cause says that none was waited for; the clock of a busy machine says less.
SUCCESSION_S = 3.0


class Cluster:
    """The processes, each in a process group of its own."""

    def __init__(self, folder: Path, redis: EmbeddedRedis) -> None:
        self.folder = folder
        self.redis = redis
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def spawn(self, ids: Sequence[str], members: Sequence[str] = SENTINELS) -> None:
        """Start these and wait until they serve. `members` is what a sentinel is configured with."""
        for id in ids:
            shared: dict[str, Any] = {"id": id, "redis_url": self.redis.url, "timing": TIMING, "secret": "tests"}
            config: NodeConfig | SentinelConfig
            if id in NODES:
                config = NodeConfig(driver="idle", database_url=f"sqlite:///{self.folder}/tasks.db", **shared)
            else:
                config = SentinelConfig(members=tuple(members), data_dir=str(self.folder), **shared)
            kind = "node" if id in NODES else "sentinel"
            command = [sys.executable, "-m", "tests.idle_driver", kind, config.model_dump_json()]
            with open(self.folder / f"{id}.log", "ab") as log:
                self.processes[id] = subprocess.Popen(
                    command,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    start_new_session=True,
                    cwd=Path(__file__).parent.parent,
                )
        for id in ids:
            pipe = self.processes[id].stdout
            assert pipe is not None
            line = pipe.readline()
            assert line and json.loads(line)["id"] == id, (self.folder / f"{id}.log").read_text()[-2000:]

    def signal(self, id: str, number: signal.Signals) -> None:
        os.killpg(self.processes[id].pid, number)

    def kill(self, id: str) -> None:
        self.signal(id, signal.SIGKILL)
        self.processes[id].wait(5)

    def end(self) -> None:
        for process in self.processes.values():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(5)
            if process.stdout is not None:
                process.stdout.close()

    @property
    def dead(self) -> list[str]:
        return [id for id in (*NODES, *SENTINELS) if id not in self.processes or self.processes[id].poll() is not None]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("cluster")
    with EmbeddedRedis.start(folder / "redis") as redis:
        processes = Cluster(folder, redis)
        try:
            yield processes
        finally:
            processes.end()


class Watcher:
    """Somebody outside who reads Redis."""

    def __init__(self, cluster: Cluster, bus: Bus) -> None:
        self.cluster = cluster
        self.bus = bus
        self.seen: object = ""  # for the message of a test that waits in vain

    async def until(self, what: str, condition: Callable[[], Any], timeout_s: float = 30.0) -> float:
        """Ask until it holds; how long it took. Redis may be away in between."""
        began = time.monotonic()
        while True:
            with contextlib.suppress(BusUnavailable):
                if await condition():
                    return time.monotonic() - began
            assert time.monotonic() - began < timeout_s, f"not within {timeout_s:g} s: {what}; {self.seen}"
            await trio.sleep(0.005)

    async def node(self, id: str) -> NodeInfo | None:
        return next((info for info in await self.bus.nodes() if info.id == id), None)

    async def acting(self) -> Mastership:
        """The record, if its master holds the lease; else NOBODY."""
        record = await self.bus.mastership()
        owner = f"{record.epoch}:{record.node}:{record.incarnation}"
        return record if record.epoch and await self.bus.lease_owner() == owner else NOBODY

    async def in_calm(self) -> bool:
        """Everybody is there, knows the same record, and its master acts."""
        record = await self.acting()
        nodes = await self.bus.nodes()
        sentinels = await self.bus.sentinels()
        self.seen = (record, [(i.id, i.pid, i.role, i.epoch) for i in nodes], sentinels)
        if not record.epoch or {info.epoch for info in nodes} != {record.epoch}:
            return False
        pids = {id: self.cluster.processes[id].pid for id in (*NODES, *SENTINELS)}
        present = {info.id: info.pid for info in nodes} | {info.id: info.pid for info in sentinels}
        masters = [info.id for info in nodes if info.role is Role.MASTER]
        agreed = all(s.epoch == record.epoch and not s.leading and not s.tilt for s in sentinels)
        return present == pids and agreed and masters == [record.node]

    async def succession(self, old: Mastership, timeout_s: float = 20.0) -> tuple[Mastership, float]:
        """Wait for the first master after `old` to hold the lease: its record, and how long that took."""
        new = NOBODY

        async def succeeded() -> bool:
            nonlocal new
            new = await self.acting()
            return new.epoch > old.epoch

        seconds = await self.until(f"a master after epoch {old.epoch}", succeeded, timeout_s)
        return new, seconds

    async def events(self, name: str, subject: str = "") -> list[Event]:
        return [e for e in await self.bus.events() if e.name == name and subject in ("", e.subject)]

    async def is_worker_of(self, id: str, epoch: int) -> bool:
        info = await self.node(id)
        alive = info is not None and info.pid == self.cluster.processes[id].pid
        return alive and info is not None and info.role is Role.WORKER and info.epoch == epoch and not info.acting


@asynccontextmanager
async def calm(cluster: Cluster) -> AsyncIterator[Watcher]:
    """All processes are there (those that a test killed are started again), and one master acts."""
    for id in cluster.processes.keys() - set(cluster.dead):
        cluster.signal(id, signal.SIGCONT)  # one that a failed test has left suspended
    await trio.to_thread.run_sync(cluster.spawn, cluster.dead)
    async with open_bus(cluster.redis.url, "default") as bus:
        watcher = Watcher(cluster, bus)
        await watcher.until("three nodes, three sentinels, one acting master", watcher.in_calm, 20.0)
        # Every sentinel has a connection to every node, so that a crash is seen as one.
        await trio.sleep(2 * TIMING.info_period_s + TIMING.ping_period_s)
        yield watcher
