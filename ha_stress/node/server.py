"""The node's shell: feeds the core, performs its effects, and offers the node's services to the drivers.

    mesh pings, Redis records, lease answers, time --> NodeCore.step --> lease calls, roles, events

One process, one nursery. The worker driver runs from start to end; the master driver runs in a scope of its own, so that a
promotion or a demotion cancels nothing that works.
"""

from __future__ import annotations

import os
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import trio

from ha_stress import __version__, log
from ha_stress.api.app import create_app
from ha_stress.api.serve import serve
from ha_stress.base.addresses import endpoint
from ha_stress.base.clock import Clock, SystemClock
from ha_stress.base.config import NodeConfig
from ha_stress.base.errors import MeshUnavailable, ProtocolError
from ha_stress.base.ids import new_incarnation
from ha_stress.bus.attempts import Attempts
from ha_stress.bus.client import Bus, open_bus
from ha_stress.bus.outbox import Outbox
from ha_stress.cluster.events import Event
from ha_stress.cluster.mastership import Mastership
from ha_stress.cluster.members import NodeInfo, Role
from ha_stress.drivers.registry import driver
from ha_stress.mesh.connection import Connection
from ha_stress.mesh.server import serve_mesh
from ha_stress.node import core
from ha_stress.node.election import SPREAD_S, next_reading
from ha_stress.node.presence import Presence
from ha_stress.node.sampler import Sampler
from ha_stress.node.tags import NodeTags
from ha_stress.store.store import Store, open_store
from ha_stress.tasks.schedule import Holder
from ha_stress.wire.messages import Ping, Pong

#: Redis did not answer a read of the record: how long until the next try.
RETRY_S = 0.05


class NodeServer:
    """One node. Implements `drivers.interface.NodeServices` and the port of the HTTP API."""

    def __init__(self, config: NodeConfig, bus: Bus, store: Store, nursery: trio.Nursery, clock: Clock) -> None:
        self.config = config
        self.bus = bus
        self.store = store
        self.clock = clock
        self.holder = Holder(config.id, new_incarnation())
        self.log = log.get("node").bind(node=config.id)
        self.outbox = Outbox(bus, config.id)
        self._attempts = Attempts(self.log)
        self._nursery = nursery
        self._core = core.NodeCore(config, self.holder.incarnation, random=random.random, now=clock.now())
        self._sampler = Sampler(config.timing.info_period_s)
        self._driver = driver(config.driver)
        self._changed = trio.lowlevel.ParkingLot()  # every step of the core, and every report of the worker, unparks
        self._master_scope: trio.CancelScope | None = None
        self._master_ended = trio.Event()
        self._master_ended.set()
        self._mesh_port = 0
        self._sentinels: set[Connection] = set()
        self._api_url = ""
        self._applied = (0, 0)
        self._frames_waiting = 0
        self._frames_lost = 0
        self._idle = True
        self._presence = Presence(bus, config, self.holder.incarnation, self.info, clock)
        self._tags = NodeTags(bus, config.id)

    # --- services ---

    def info(self) -> NodeInfo:
        now = self.clock.now()
        acting = self._core.may_act(now)
        return NodeInfo(
            id=self.config.id,
            incarnation=self.holder.incarnation,
            sequence=self._presence.sequence,
            priority=self._tags.priority(self.config.priority),
            mesh_host=self.config.advertise_host or self.config.host,
            mesh_port=self._mesh_port,
            api_url=self._api_url,
            role=self._core.role,
            epoch=self._core.record.epoch,
            acting=acting,
            lease_left_s=round(self._core.acting_until - now, 3) if acting else 0.0,
            cpu_percent=self._sampler.cpu_percent,
            memory_percent=self._sampler.memory_percent,
            memory_total_bytes=self._sampler.memory_total_bytes,
            draining=self._tags.now.draining,
            leaving=self._core.leaving,
            applied=self._applied,
            loop_lag_s=self._sampler.loop_lag_s,
            frames_waiting=self._frames_waiting,
            frames_lost=self._frames_lost,
            pid=os.getpid(),
            version=__version__,
            sent_at=self.clock.wall(),
        )

    def record(self) -> Mastership:
        return self._core.record

    def may_act(self) -> bool:
        return self._core.may_act(self.clock.now())

    async def wait_may_act(self) -> None:
        while not self.may_act():
            await self._changed.park()

    def learn(self, record: Mastership) -> None:
        self.feed(core.RecordSeen(record))

    def emit(self, name: str, *, subject: str = "", cause: str = "", detail: dict[str, object] | None = None) -> None:
        epoch = self._core.record.epoch
        event = Event(
            name=name, source=self.config.id, epoch=epoch, subject=subject, cause=cause, detail=dict(detail or {})
        )
        self.outbox.say(event)

    def report_work(self, *, applied: tuple[int, int], frames_waiting: int, frames_lost: int, idle: bool) -> None:
        self._applied = applied
        self._frames_waiting = frames_waiting
        self._frames_lost = frames_lost
        if idle != self._idle:
            self._idle = idle
            self._changed.unpark_all()

    async def publish_info(self) -> None:
        await self._presence.publish()

    async def send_node_info(self) -> None:
        while True:
            await self.publish_info()
            await trio.sleep(self.config.timing.info_period_s)

    async def try_be_master(self) -> None:
        """A message on the election channel is a hint to read the record; so is a new subscription, and so is time."""
        async with self.bus.subscribe(self.bus.keys.election_channel) as hints:
            while True:
                await self._read_record()
                spread_s = 0.0 if self._core.role is Role.MASTER else SPREAD_S
                with trio.move_on_after(self.config.timing.reread_s):
                    await next_reading(hints, self.config.id, spread_s=spread_s)

    async def keep_alive(self) -> None:
        """While master: renew the lease when the core says so."""
        await self._follow_time(lambda: self._core.role is Role.MASTER)

    # --- the core's rhythm ---

    def feed(self, event: core.Happening) -> None:
        """One step: the event in, the effects out, in order. Synchronous; what waits is started as a task."""
        for effect in self._core.step(event, self.clock.now()):
            self._perform(effect)
        self._changed.unpark_all()

    def _perform(self, effect: core.Effect) -> None:
        match effect:
            case core.HoldLease(record):
                self._nursery.start_soon(self._hold_lease, record)
            case core.ClaimFirst():
                self._nursery.start_soon(self._claim_first)
            case core.Succeed(record):
                self._nursery.start_soon(self._succeed, record)
            case core.Repair(record):
                self._nursery.start_soon(self._repair, record)
            case core.BecomeMaster(record):
                self._nursery.start_soon(self._be_master, record)
                self._nursery.start_soon(self._tell_sentinels)
            case core.BecomeWorker():
                self._be_worker()
            case core.Emit(name, cause, subject):
                self.emit(name, subject=subject, cause=cause)

    async def _follow_time(self, wanted: Callable[[], bool]) -> None:
        """Feed `Ticked` at each deadline of the core, whenever `wanted()`."""
        while True:
            deadline = self._core.deadline(self.clock.now()) if wanted() else float("inf")
            with trio.move_on_after(max(0.0, deadline - self.clock.now())) as waited:
                await self._changed.park()
            if waited.cancelled_caught and wanted():
                self.feed(core.Ticked())

    async def _hold_lease(self, record: Mastership) -> None:
        sent_at = self.clock.now()
        renewal = self.bus.hold_lease(record, self.config.timing.lease_ttl_s)
        answer = await self._attempts.make("renew the lease", renewal)
        if answer is None:
            self.feed(core.LeaseAnswered(sent_at, False, None))
        else:
            self.feed(core.LeaseAnswered(sent_at, answer.held, answer.newest))

    async def _claim_first(self) -> None:
        claim = self.bus.claim_first(self.config.id, self.holder.incarnation, self.config.timing.lease_ttl_s)
        self.feed(core.ClaimAnswered(await self._attempts.make("race to be the first master", claim)))

    async def _succeed(self, record: Mastership) -> None:
        self.feed(core.ClaimAnswered(await self._attempts.make("follow the master", self._follow(record))))

    async def _follow(self, record: Mastership) -> Mastership:
        """Take the place of a master whose lease has run out, in a cluster without sentinels; the record that stands."""
        if await self.bus.lease_owner():
            return record
        if record.node != self.config.id:
            # A master that lives takes a lease that was lost with the data of Redis again, well within this time.
            await trio.sleep(self.config.timing.lease_ttl_s)
            if await self.bus.lease_owner():
                return record
        why = "the lease ran out, and there are no sentinels"
        mine = Mastership(epoch=record.epoch + 1, node=self.config.id, incarnation=self.holder.incarnation, why=why)
        story = {
            "epoch": mine.epoch,
            "kind": "failover",
            "leader": self.config.id,
            "old": {"node": record.node, "incarnation": record.incarnation},
            "winner": {"node": mine.node, "incarnation": mine.incarnation},
            "cause": why,
            "outcome": "awarded",
            "at": self.clock.wall(),
        }
        return (await self.bus.award(mine, failover=story, source=self.config.id)).newest

    async def _repair(self, record: Mastership) -> None:
        if await self._attempts.make("repair the mastership record", self.bus.repair(record)):
            self.emit("+repaired", subject=record.node, cause=f"Redis had an epoch below {record.epoch}")

    async def _read_record(self) -> None:
        record = await self._attempts.make("read the mastership record", self.bus.mastership())
        if record is None:
            await trio.sleep(RETRY_S)
        else:
            self.feed(core.RecordSeen(record, from_bus=True))

    # --- roles ---

    async def _be_master(self, record: Mastership) -> None:
        """Run the master driver until this mastership is over. A predecessor of this process's own ends first."""
        await self._master_ended.wait()
        if self.record() != record or self._core.role is not Role.MASTER:
            return
        self._master_ended = trio.Event()
        try:
            with trio.CancelScope() as self._master_scope:
                await self._driver.master(self).run()
        finally:
            self._master_scope = None
            self._master_ended.set()

    def _be_worker(self) -> None:
        if self._master_scope is not None:
            self._master_scope.cancel()

    # --- life ---

    async def start(self) -> None:
        """Open the endpoints, register, begin to work. Returns when the node serves."""
        config = self.config
        self._mesh_port = await self._nursery.start(
            serve_mesh, config.host, config.mesh_port, config.secret, self._answer
        )
        api_port = await self._nursery.start(serve, create_app(self), config.host, config.api_port)
        self._api_url = f"http://{endpoint(config.advertise_host or config.host, api_port)}"
        self._nursery.start_soon(self.outbox.run, name="node.outbox")
        self._nursery.start_soon(self._sampler.run, name="node.sampler")
        await self._presence.register()
        self.feed(core.Registered())
        await self.publish_info()
        self._nursery.start_soon(self._driver.worker(self).run, name="node.worker")
        self._nursery.start_soon(self._follow_time, lambda: self._core.role is not Role.MASTER, name="node.time")
        self._nursery.start_soon(self._tags.follow, config.timing.reread_s, self.publish_info, name="node.tags")
        self.log.info("serving", api=self._api_url, mesh_port=self._mesh_port, sequence=self._presence.sequence)

    async def leave(self) -> None:
        """Hand over what this node does, say goodbye, and return; within `stop_timeout_s` in any case."""
        with trio.move_on_after(self.config.timing.stop_timeout_s):
            self.feed(core.StopAsked())
            await self._tell_sentinels()
            await self.publish_info()
            while self._core.role is Role.MASTER and await self._somebody_else():
                await self._changed.park()
            while not self._idle:
                await self._changed.park()
        with trio.move_on_after(self.config.timing.resend_s):
            if self._core.role is Role.MASTER:
                await self._attempts.make("give back the lease", self.bus.release_lease(self.record()))
            await self._attempts.make("say goodbye", self._presence.leave())
            await self.outbox.flush(self.config.timing.resend_s)

    async def _somebody_else(self) -> bool:
        """Whether a switchover can happen at all: there are sentinels, and another node could take over."""
        if not self.config.sentinels:
            return False
        nodes = await self._attempts.make("read who could take over", self.bus.nodes())
        return nodes is None or any(info.id != self.config.id and info.priority and not info.leaving for info in nodes)

    async def _answer(self, connection: Connection) -> None:
        """A sentinel's connection: a pong for each ping, as long as it lasts."""
        self._sentinels.add(connection)
        try:
            while True:
                try:
                    message = await connection.receive()
                except ProtocolError as error:
                    self.log.warning("a mesh message was not understood", problem=str(error))
                    continue
                if isinstance(message, Ping):
                    self.feed(core.SentinelPinged(message))
                    await connection.send(self._pong(message.number))
        except MeshUnavailable:
            return
        finally:
            self._sentinels.discard(connection)

    async def _tell_sentinels(self) -> None:
        """A pong that nobody asked for: what changed just now is worth knowing before the next ping."""
        for connection in list(self._sentinels):
            try:
                await connection.send(self._pong(0))
            except MeshUnavailable:
                continue  # it is gone, and asks again when it is back

    def _pong(self, number: int) -> Pong:
        return Pong(number=number, info=self.info(), record=self.record())


@asynccontextmanager
async def open_node(config: NodeConfig, clock: Clock | None = None) -> AsyncIterator[NodeServer]:
    """A node that serves inside the block. It does not leave gracefully by itself: call `leave` for that."""
    async with (
        open_bus(config.redis_url, config.cluster) as bus,
        open_store(config.database_url) as store,
        trio.open_nursery() as nursery,
    ):
        node = NodeServer(config, bus, store, nursery, clock or SystemClock())
        await node.start()
        yield node
        nursery.cancel_scope.cancel()


async def run_node(
    config: NodeConfig,
    *,
    on_ready: Callable[[dict[str, object]], None] | None = None,
    stop: trio.Event | None = None,
) -> None:
    """Run a node until `stop` is set, then leave in good order. `on_ready` is told id, pid, api_url and mesh_port."""
    async with open_node(config) as node:
        if on_ready is not None:
            info = node.info()
            on_ready({"id": info.id, "pid": info.pid, "api_url": info.api_url, "mesh_port": info.mesh_port})
        await (trio.Event() if stop is None else stop).wait()
        await node.leave()
