"""Real processes: three sentinels and three nodes, killed, suspended, robbed of their Redis, and asked to leave.

One cluster for the module, because a start takes seconds; each test begins when all are there and one master acts.
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
from sentinel.effects import VoteState
from sentinel.votefile import VoteFile
from tests.redis_server import plain_client

pytestmark = pytest.mark.cluster

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
#: A killed process is found by refused dials; silence alone would take `down_after_s`.
SUCCESSION_S = 1.0


class Cluster:
    """The processes, each in a process group of its own."""

    def __init__(self, folder: Path, redis: EmbeddedRedis) -> None:
        self.folder = folder
        self.redis = redis
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def spawn(self, ids: Sequence[str]) -> None:
        """Start these and wait until they serve."""
        for id in ids:
            shared: dict[str, Any] = {"id": id, "redis_url": self.redis.url, "timing": TIMING, "secret": "tests"}
            config: NodeConfig | SentinelConfig
            if id in NODES:
                config = NodeConfig(driver="idle", database_url=f"sqlite:///{self.folder}/tasks.db", **shared)
            else:
                config = SentinelConfig(members=SENTINELS, data_dir=str(self.folder), **shared)
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

    async def until(self, what: str, condition: Callable[[], Any], timeout_s: float = 10.0) -> float:
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

    async def succession(self, old: Mastership, timeout_s: float = 10.0) -> tuple[Mastership, float]:
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
    await trio.to_thread.run_sync(cluster.spawn, cluster.dead)
    async with open_bus(cluster.redis.url, "default") as bus:
        watcher = Watcher(cluster, bus)
        await watcher.until("three nodes, three sentinels, one acting master", watcher.in_calm, 20.0)
        # Every sentinel has a connection to every node, so that a crash is seen as one.
        await trio.sleep(2 * TIMING.info_period_s + TIMING.ping_period_s)
        yield watcher


async def test_the_first_master_is_not_elected_and_there_is_one(cluster: Cluster) -> None:
    async with calm(cluster) as watcher:
        record = await watcher.bus.mastership()
        assert (record.epoch, record.why) == (1, "first master")
        assert len(await watcher.events("+first-master")) == 1
        assert await watcher.events("+switch-master") == []


async def test_a_killed_master_is_succeeded_within_a_second_and_comes_back_as_a_worker(cluster: Cluster) -> None:
    async with calm(cluster) as watcher:
        old = await watcher.bus.mastership()
        cluster.kill(old.node)
        new, seconds = await watcher.succession(old)
        assert new.epoch == old.epoch + 1 and new.node != old.node
        assert new.why == "failover: crash"
        assert seconds < SUCCESSION_S
        causes = {e.cause for e in await watcher.events("+sdown", old.node)}
        assert causes == {"crash"}, "three sentinels, one cause"
        kept = (await watcher.bus.failovers())[new.epoch]
        assert kept["old"]["node"] == old.node and kept["winner"]["node"] == new.node
        await trio.to_thread.run_sync(cluster.spawn, [old.node])
        await watcher.until("it is a worker", lambda: watcher.is_worker_of(old.node, new.epoch))
        assert await watcher.bus.mastership() == new, "its return changes nothing"
        assert len(await watcher.events("+switch-master")) == 1


async def test_a_suspended_master_is_succeeded_after_down_after_and_becomes_a_worker_when_it_wakes(
    cluster: Cluster,
) -> None:
    async with calm(cluster) as watcher:
        old = await watcher.bus.mastership()
        cluster.signal(old.node, signal.SIGSTOP)
        new, seconds = await watcher.succession(old)
        assert new.epoch == old.epoch + 1 and new.node != old.node
        assert new.why == "failover: silence"
        assert seconds > TIMING.down_after_s - TIMING.ping_period_s, "a silent master keeps its grace"
        cluster.signal(old.node, signal.SIGCONT)
        await watcher.until("it is a worker", lambda: watcher.is_worker_of(old.node, new.epoch))
        assert await watcher.bus.mastership() == new
        superseded = [e for e in await watcher.events("+superseded") if e.source == old.node]
        assert len(superseded) == 1


async def test_a_short_pause_of_the_master_changes_nothing(cluster: Cluster) -> None:
    async with calm(cluster) as watcher:
        old = await watcher.bus.mastership()
        cluster.signal(old.node, signal.SIGSTOP)
        await trio.sleep(TIMING.down_after_s / 3)
        cluster.signal(old.node, signal.SIGCONT)
        await trio.sleep(TIMING.down_after_s)
        assert await watcher.acting() == old


async def test_a_redis_that_lost_everything_is_told_the_record_and_the_master_acts_on(cluster: Cluster) -> None:
    async with calm(cluster) as watcher:
        old = await watcher.bus.mastership()
        plain_client(cluster.redis.url).flushall()

        async def repaired() -> bool:
            return await watcher.acting() == old

        await watcher.until("the record and the lease are back", repaired)
        await watcher.until("calm again", watcher.in_calm)
        assert await watcher.bus.mastership() == old, "the same epoch, the same process"
        assert len(await watcher.events("+repaired")) == 1
        assert await watcher.events("+switch-master") == []


async def test_a_redis_that_was_killed_and_comes_back_finds_the_same_master(cluster: Cluster) -> None:
    async with calm(cluster) as watcher:
        old = await watcher.bus.mastership()
        cluster.redis.kill()
        await trio.sleep(TIMING.lease_renew_s)
        await trio.to_thread.run_sync(cluster.redis.restart)

        async def acts() -> bool:
            return await watcher.acting() == old

        await watcher.until("the master holds the lease again", acts)
        await watcher.until("calm again", watcher.in_calm)
        assert await watcher.bus.mastership() == old


async def test_a_restarted_sentinel_remembers_its_vote_and_the_next_failover_goes_above_it(cluster: Cluster) -> None:
    async with calm(cluster) as watcher:
        old = await watcher.bus.mastership()
        before = VoteFile(str(cluster.folder), "s1").load()
        assert before.record == old
        cluster.kill("s1")
        # As if it had voted in campaigns of which nobody else remembers anything.
        VoteFile(str(cluster.folder), "s1").save(VoteState(voted_epoch=50, voted_for="s2", record=before.record))
        await trio.to_thread.run_sync(cluster.spawn, ["s1"])
        await watcher.until("calm again", watcher.in_calm)
        await trio.sleep(3 * TIMING.ping_period_s)  # its views reach the others
        cluster.kill(old.node)
        new, _ = await watcher.succession(old)
        assert new.epoch == 51
        assert max(VoteFile(str(cluster.folder), id).load().voted_epoch for id in SENTINELS) == 51
        assert VoteFile(str(cluster.folder), "s1").load().voted_epoch >= 50


async def test_a_master_that_is_asked_to_stop_hands_over_before_it_leaves(cluster: Cluster) -> None:
    async with calm(cluster) as watcher:
        old = await watcher.bus.mastership()
        cluster.signal(old.node, signal.SIGTERM)
        new, _ = await watcher.succession(old)
        assert new.node != old.node and new.why == "switchover: leaving"
        assert (await watcher.bus.failovers())[new.epoch]["kind"] == "switchover"
        assert await trio.to_thread.run_sync(cluster.processes[old.node].wait, 10) == 0
        assert await watcher.node(old.node) is None, "it said goodbye"
        assert {e.source for e in await watcher.events("+leaving")} == {old.node}


async def test_two_of_three_sentinels_are_enough_and_one_is_not(cluster: Cluster) -> None:
    async with calm(cluster) as watcher:
        first = await watcher.bus.mastership()
        cluster.kill("s3")
        cluster.kill(first.node)
        second, _ = await watcher.succession(first)
        cluster.kill("s2")
        cluster.kill(second.node)
        await trio.sleep(2 * TIMING.down_after_s)
        assert (await watcher.bus.mastership()) == second, "one of three authorises nothing"
        await trio.to_thread.run_sync(cluster.spawn, ["s2"])
        third, _ = await watcher.succession(second)
        assert third.node not in (first.node, second.node)


async def test_at_no_time_did_two_processes_win_one_epoch(cluster: Cluster) -> None:
    """Over everything that the tests above did since Redis lost its history."""
    async with calm(cluster) as watcher:
        switches = await watcher.events("+switch-master")
        epochs = [e.epoch for e in switches]
        assert epochs == sorted(set(epochs)) and epochs
        votes: dict[tuple[int, str], set[str]] = {}
        for e in await watcher.events("+vote-for-leader"):
            votes.setdefault((e.epoch, e.source), set()).add(e.subject)
        assert all(len(candidates) == 1 for candidates in votes.values()), "one vote per epoch and sentinel"
        for e in await watcher.events("+elected-leader"):
            assert len(e.detail["votes"]) >= 2
