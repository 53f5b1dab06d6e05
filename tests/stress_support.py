"""A small node around the real driver, bus, store and engines: what the driver's tests need of one, and no more.

It has no elections: a test promotes and fences by hand. `crash` kills the engines, which ends the node's process in real
life too; what they had not reported is gone.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import trio

from ha_stress.base.clock import Clock, SystemClock
from ha_stress.base.config import NodeConfig, Timing
from ha_stress.base.errors import BusUnavailable
from ha_stress.base.ids import new_incarnation
from ha_stress.bus.client import Bus, open_bus
from ha_stress.cluster.events import MEANING, Event
from ha_stress.cluster.mastership import NOBODY, Mastership, newer
from ha_stress.cluster.members import NodeInfo, Role
from ha_stress.drivers.stress.master import StressMaster
from ha_stress.drivers.stress.worker import StressWorker
from ha_stress.engines.pool import EngineDied
from ha_stress.store.store import Store, open_store
from ha_stress.tasks.ledger import Books, books
from ha_stress.tasks.schedule import Holder
from ha_stress.tasks.spec import HttpRequest, Status, TaskSpec

TIMING = Timing(
    info_period_s=0.1,
    info_expiry_s=2.0,  # all nodes are in this process, and a stall of it must not look like the death of one
    reread_s=0.3,
    listen_period_s=0.1,
    revision_lead_s=0.25,
    resend_s=0.3,
)
LEASE_TTL_S = 60.0


class SmallNode:
    """Implements `drivers.interface.NodeServices`."""

    def __init__(self, config: NodeConfig, bus: Bus, store: Store, sequence: int) -> None:
        self.config = config
        self.bus = bus
        self.store = store
        self.clock: Clock = SystemClock()
        self.holder = Holder(config.id, new_incarnation())
        self.events: list[Event] = []
        self.acting = False
        self.leaving = False
        self.idle = True
        self.crashed = False
        self.silent = False
        self.master_scope: trio.CancelScope | None = None
        self.life = trio.CancelScope()
        self.worker = StressWorker(self)
        self._sequence = sequence
        self._record = NOBODY
        self._work: dict[str, Any] = {}

    @property
    def is_master(self) -> bool:
        return self._record.held_by(self.holder.node, self.holder.incarnation)

    def info(self) -> NodeInfo:
        return NodeInfo(
            id=self.config.id,
            incarnation=self.holder.incarnation,
            sequence=self._sequence,
            priority=100,
            mesh_host="127.0.0.1",
            mesh_port=1,
            api_url="",
            role=Role.MASTER if self.is_master else Role.WORKER,
            epoch=self._record.epoch,
            leaving=self.leaving,
            sent_at=self.clock.wall(),
            **self._work,
        )

    def record(self) -> Mastership:
        return self._record

    def may_act(self) -> bool:
        return self.acting and self.is_master

    async def wait_may_act(self) -> None:
        while not self.may_act():  # noqa: ASYNC110  time alone can make it true
            await trio.sleep(0.01)

    def learn(self, record: Mastership) -> None:
        self._record = newer(self._record, record)
        if not self.is_master and self.master_scope is not None:
            self.master_scope.cancel()

    def emit(self, name: str, *, subject: str = "", cause: str = "", detail: dict[str, object] | None = None) -> None:
        assert name in MEANING
        epoch = self._record.epoch
        event = Event(name=name, source=self.config.id, epoch=epoch, subject=subject, cause=cause, detail=detail or {})
        self.events.append(event)

    def said(self, name: str) -> list[Event]:
        return [event for event in self.events if event.name == name]

    def report_work(self, *, applied: tuple[int, int], frames_waiting: int, frames_lost: int, idle: bool) -> None:
        self._work = {"applied": applied, "frames_waiting": frames_waiting, "frames_lost": frames_lost}
        self.idle = idle

    async def publish_info(self) -> None:
        if self.silent:
            return
        with contextlib.suppress(BusUnavailable):
            await self.bus.publish_info(self.info(), self.config.timing.info_expiry_s)

    async def send_node_info(self) -> None:
        while True:
            await self.publish_info()
            await trio.sleep(self.config.timing.info_period_s)

    async def try_be_master(self) -> None:
        """A test promotes by hand."""

    async def keep_alive(self) -> None:
        await trio.sleep_forever()

    # --- what a test does to it ---

    async def be_master(self, record: Mastership, *, task_status: trio.TaskStatus[None]) -> None:
        """Run the master driver until a higher epoch is learnt or `master_scope` is cancelled."""
        self._record = record
        self.acting = True
        with trio.CancelScope() as self.master_scope:
            task_status.started()
            await StressMaster(self).run()

    def suspend(self) -> None:
        """As SIGSTOP does, as far as others can see: the engines stand still and nothing is said."""
        self.silent = True
        for pid in self.worker.pool.pids:
            os.kill(pid, signal.SIGSTOP)

    def resume(self) -> None:
        self.silent = False
        for pid in self.worker.pool.pids:
            os.kill(pid, signal.SIGCONT)

    def crash(self) -> None:
        """As kill -9 does: what the engines had not reported is lost, nothing is said to anybody."""
        self.crashed = True
        for pid in self.worker.pool.pids:
            os.kill(pid, signal.SIGKILL)
        self.life.cancel()


class SmallCluster:
    """Nodes on one Redis and one database."""

    def __init__(self, redis_url: str, cluster: str, folder: Path, nursery: trio.Nursery) -> None:
        self.redis_url = redis_url
        self.database_url = f"sqlite:///{folder / 'store.db'}"
        self.cluster = cluster
        self.epoch = 0
        self.nursery = nursery
        self.nodes: dict[str, SmallNode] = {}
        self.timing = TIMING
        self.allow: tuple[str, ...] = ("loopback",)

    async def add(self, *names: str) -> list[SmallNode]:
        return [await self.nursery.start(self._run_node, name) for name in names]

    async def _run_node(self, name: str, *, task_status: trio.TaskStatus[SmallNode]) -> None:
        config = NodeConfig(
            id=name,
            cluster=self.cluster,
            redis_url=self.redis_url,
            database_url=self.database_url,
            timing=self.timing,
            allow=self.allow,
        )
        async with open_bus(self.redis_url, self.cluster) as bus, open_store(self.database_url) as store:
            node = SmallNode(config, bus, store, len(self.nodes) + 1)
            self.nodes[name] = node
            await bus.register(name, node.holder.incarnation)
            await node.publish_info()
            try:
                with node.life:
                    task_status.started(node)
                    await node.worker.run()
            except BaseExceptionGroup as group:
                _, unexpected = group.split(EngineDied if node.crashed else ())
                if unexpected is not None:
                    raise unexpected from None

    async def promote(self, node: SmallNode) -> Mastership:
        """Name this node in the record under the next epoch and start its master driver."""
        self.epoch += 1
        record = Mastership(epoch=self.epoch, node=node.config.id, incarnation=node.holder.incarnation, why="a test")
        if self.epoch == 1:
            record = await node.bus.claim_first(node.config.id, node.holder.incarnation, LEASE_TTL_S)
        else:
            assert (await node.bus.award(record, failover={"epoch": self.epoch}, source="s1")).won
        await self.nursery.start(node.be_master, record)
        return record

    async def run_task(self, node: SmallNode, url: str, *, rate: float, duration_s: float | None, **more: Any) -> str:
        """`more` are other fields of the task."""
        request = HttpRequest(url=url)
        spec = TaskSpec(id=f"t-{len(node.events)}", name="t", request=request, rate=rate, duration_s=duration_s, **more)
        await node.store.create_task(spec)
        await node.bus.hint_intent()
        return spec.id


@contextlib.asynccontextmanager
async def small_cluster(redis_url: str, cluster: str, folder: Path) -> AsyncIterator[SmallCluster]:
    async with trio.open_nursery() as nursery:
        yield SmallCluster(redis_url, cluster, folder, nursery)
        nursery.cancel_scope.cancel()


async def until(condition: Callable[[], Awaitable[bool]], what: str, within_s: float = 15.0) -> None:
    with trio.move_on_after(within_s) as scope:
        while not await condition():  # noqa: ASYNC110  it looks at the outside world
            await trio.sleep(0.02)
    assert not scope.cancelled_caught, f"not within {within_s:g} s: {what}"


async def ended(store: Store, task: str, within_s: float = 20.0) -> Books:
    """Wait until the task's books are closed."""

    async def is_ended() -> bool:
        return (await store.task(task)).status is Status.ENDED

    await until(is_ended, "the task has ended", within_s)
    return books((await store.task(task)).plan, await store.rows(task))
