"""The sentinel's shell: one rhythm. Feed the core, perform its effects in order, wait for the next event or deadline.

    probes, peers, Redis, time --> Sentinel.step --> votes on disk, messages to peers, the award, events

What may wait (disk, Redis) runs as a task and comes back as an event, so the loop itself never waits.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from functools import partial

import trio

from ha_stress import __version__, log
from ha_stress.base.addresses import endpoint
from ha_stress.base.clock import Clock, SystemClock
from ha_stress.base.config import SentinelConfig
from ha_stress.base.errors import BusUnavailable, MeshUnavailable, ProtocolError
from ha_stress.base.ids import new_incarnation
from ha_stress.bus.attempts import Attempts
from ha_stress.bus.client import Bus, open_bus
from ha_stress.bus.outbox import Outbox
from ha_stress.cluster.events import Event
from ha_stress.cluster.members import NodeInfo, SentinelInfo
from ha_stress.mesh.connection import Connection
from ha_stress.mesh.lag import LoopLag
from ha_stress.mesh.server import serve_mesh
from ha_stress.wire.messages import (
    Answer,
    Ping,
    PreVoteReply,
    PreVoteRequest,
    Question,
    Views,
    VoteReply,
    VoteRequest,
)
from sentinel import effects as fx
from sentinel.core import Sentinel
from sentinel.explain import explain
from sentinel.hooks import hooks_of
from sentinel.http import serve_http
from sentinel.metrics import Metrics
from sentinel.outage import Outage
from sentinel.pages import pages_of
from sentinel.peers import Peers
from sentinel.probe import Lines, NodeProbe
from sentinel.votefile import VoteFile

#: Redis did not answer: how long until it is asked again.
BUS_RETRY_S = 0.1
#: Newcomers are looked for at once, and not more often than this: a thousand of them come within seconds.
NEWCOMERS_PAUSE_S = 0.2


class SentinelServer:
    """One sentinel process."""

    def __init__(self, config: SentinelConfig, bus: Bus, nursery: trio.Nursery, clock: Clock) -> None:
        self.config = config
        self.bus = bus
        self.clock = clock
        self.incarnation = new_incarnation()
        self.log = log.get("sentinel").bind(sentinel=config.id)
        self.outbox = Outbox(bus, config.id)
        self.hooks = hooks_of(config, bus, clock, self.outbox.say)
        self.mesh_port = 0
        self.http_url = ""
        self._nursery = nursery
        self._file = VoteFile(config.data_dir, config.id)
        self._core = Sentinel(
            config,
            self._file.load(),
            version=__version__,
            random=random.random,
            wall=clock.wall,
            now=clock.now(),
        )
        self._wake = trio.Event()
        self._lines = Lines(config.timing, self._ping)
        self._probes: dict[str, NodeProbe] = {}
        self._attempts = Attempts(self.log)
        self._unreadable: set[str] = set()
        self._outage = Outage(config.timing.down_after_s)
        self._peers = Peers(config, nursery)
        self._lag = LoopLag()

    @property
    def core(self) -> Sentinel:
        return self._core

    @property
    def peers(self) -> Peers:
        return self._peers

    # --- the rhythm ---

    def feed(self, event: fx.Happening) -> None:
        """One step: the event in, the effects out, in order. Synchronous."""
        before = self._core.deadline()
        for effect in self._core.step(event, self.clock.now()):
            self._perform(effect)
        if self._core.deadline() < before:
            self._wake.set()

    async def _follow_time(self) -> None:
        """Feed `Ticked` at each deadline."""
        while True:
            deadline = self._core.deadline()
            with trio.move_on_after(max(0.0, deadline - self.clock.now())) as waited:
                await self._wake.wait()
                self._wake = trio.Event()
            if waited.cancelled_caught:
                self.feed(fx.Ticked())

    def _perform(self, effect: fx.Effect) -> None:
        match effect:
            case fx.SendPeer(to, message):
                self._peers.send(to, message)
            case fx.SaveVote(state):
                self._nursery.start_soon(self._save_vote, state)
            case fx.Award():
                self._nursery.start_soon(self._award, effect)
            case fx.Announce(record):
                self._nursery.start_soon(self._try_bus, "announce", partial(self.bus.announce, record))
            case fx.Repair(record):
                self._nursery.start_soon(self._repair, effect)
            case fx.RepairControls(controls):
                self._nursery.start_soon(
                    self._try_bus, "repair the controls", partial(self.bus.repair_controls, controls)
                )
            case fx.SaveFailover(epoch, data):
                self._nursery.start_soon(
                    self._try_bus, "keep the failover record", partial(self.bus.save_failover, epoch, data)
                )
            case fx.Emit(name, epoch, subject, cause, detail):
                self.outbox.say(
                    Event(name=name, source=self.config.id, epoch=epoch, subject=subject, cause=cause, detail=detail)
                )

    # --- effects that wait ---

    async def _save_vote(self, state: fx.VoteState) -> None:
        try:
            await trio.to_thread.run_sync(self._file.save, state)
        except OSError as error:
            self.feed(fx.VoteNotSaved(state, str(error)))
        else:
            self.feed(fx.VoteSaved(state))
        self._peers.become(self._core.peers)

    async def _award(self, effect: fx.Award) -> None:
        record = effect.record
        try:
            answer = await self.bus.award(record, failover=effect.failover, source=self.config.id)
        except (BusUnavailable, ProtocolError) as error:
            self.log.warning("the award was not answered", problem=str(error))
            self.feed(fx.AwardAnswered(record.epoch, None))
        else:
            if answer.late:  # Redis refused it as nobody waits for it any more: it counts as unanswered
                self.log.warning("the award came too late", epoch=record.epoch)
            self.feed(fx.AwardAnswered(record.epoch, None if answer.late else answer.newest))

    async def _repair(self, effect: fx.Repair) -> None:
        async def repair() -> None:
            if await self.bus.repair(effect.record):
                self._perform(fx.Emit("+repaired", effect.record.epoch, effect.record.node, "Redis had a lower epoch"))

        await self._try_bus("repair the record", repair)

    async def _try_bus(self, what: str, call: Callable[[], Awaitable[object]]) -> bool:
        """One call to Redis; whether it answers is news for the core."""

        async def answered() -> bool:
            await call()
            return True

        up = await self._attempts.make(what, answered()) is True
        self._note_bus(up)
        return up

    def _note_bus(self, up: bool) -> None:
        if up != (self._core.watch.bus_up_since is not None):
            self.feed(fx.BusChanged(up))
        name, away_s = self._outage.note(up, self.clock.now())
        if not name:
            return
        event = Event(
            name=name,
            source=self.config.id,
            epoch=self._core.record.epoch,
            cause=f"{away_s:.1f} s without an answer",
            at_ms=round(self.clock.wall() * 1000),  # the stream gives it another one: when Redis took it
        )
        self.outbox.say(event)
        if self.hooks is not None:
            self.hooks.offer(event)

    # --- Redis ---

    async def _follow_redis(self) -> None:
        """Read the record, the registry and the peers' addresses on each hint, on each new subscription, and in time."""
        keys = self.bus.keys
        async with self.bus.subscribe(keys.election_channel, keys.controls_channel) as hints:
            while True:
                if not await self._try_bus("read the records", self._read_records):
                    await trio.sleep(BUS_RETRY_S)
                    continue
                with trio.move_on_after(self.config.timing.info_period_s):
                    await hints.receive()

    async def _follow_newcomers(self) -> None:
        """Watch a process as soon as it describes itself: it may be given work at once, and nobody else would see it die
        before its description expires. What is missed here, the next look of `_follow_redis` finds."""
        async with self.bus.subscribe(self.bus.keys.newcomers_channel) as hints:
            while True:
                await hints.receive()
                while hints.statistics().current_buffer_used:  # one look answers all hints that are there by now
                    hints.receive_nowait()
                await self._try_bus("look for newcomers", self._read_nodes)
                await trio.sleep(NEWCOMERS_PAUSE_S)

    async def _read_records(self) -> None:
        """Nobody is elected without the record; of everything else, what is known already stands while it is unreadable."""
        self.feed(fx.RecordRead(await self.bus.mastership()))
        for what, read in (
            ("the operator's controls", self._read_controls),
            ("the sentinels", self._meet_sentinels),
            ("the nodes", self._read_nodes),
        ):
            try:
                await read()
            except ProtocolError as error:
                if what not in self._unreadable:
                    self.log.warning(f"{what} cannot be read", problem=str(error))
                self._unreadable.add(what)
            else:
                self._unreadable.discard(what)

    async def _meet_sentinels(self) -> None:
        await self.bus.publish_sentinel(self.info())
        self._peers.meet(await self.bus.sentinels())

    async def _read_nodes(self) -> None:
        infos = await self.bus.nodes()
        self.feed(fx.NodesListed(tuple(infos)))
        self._adjust_probes(infos)

    async def _read_controls(self) -> None:
        self.feed(fx.ControlsRead(await self.bus.controls()))

    def _adjust_probes(self, infos: list[NodeInfo]) -> None:
        """One probe for each node that the core watches; it keeps its address when its key expires."""
        watched = self._core.watch.nodes
        for info in infos:
            address = (info.mesh_host, info.mesh_port)
            if info.id in self._probes:
                self._probes[info.id].move_to(address)
            elif info.id in watched:
                probe = NodeProbe(
                    info.id,
                    address,
                    secret=self.config.secret,
                    timing=self.config.timing,
                    lines=self._lines,
                    feed=self.feed,
                )
                self._probes[info.id] = probe
                self._nursery.start_soon(probe.run)
        for node in [node for node in self._probes if node not in watched]:
            self._probes.pop(node).scope.cancel()

    def _ping(self, number: int) -> Ping:
        return Ping(
            sender=self.config.id,
            number=number,
            record=self._core.record,
            voted_epoch=self._core.voter.state.voted_epoch,
            sentinels=len(self._core.membership.members),
        )

    # --- life ---

    def info(self) -> SentinelInfo:
        return SentinelInfo(
            id=self.config.id,
            incarnation=self.incarnation,
            mesh_host=self.config.advertise_host or self.config.host,
            mesh_port=self.mesh_port,
            epoch=self._core.record.epoch,
            tilt=self._core.watch.tilt,
            leading=self._core.campaign.leading_epoch > 0,
            paused=self._core.controls.paused,
            members=self._core.membership.members,
            members_version=self._core.membership.version,
            voted_epoch=self._core.voter.state.voted_epoch,
            controls_revision=self._core.controls.revision,
            http_url=self.http_url,
            loop_lag_s=round(self._lag.worst_s, 4),
            pid=os.getpid(),
            version=__version__,
            sent_at=self.clock.wall(),
        )

    async def start(self) -> None:
        """Open the endpoint and begin to watch."""
        config = self.config
        trio.lowlevel.add_instrument(self._lag)
        self.mesh_port = await self._nursery.start(
            serve_mesh, config.host, config.mesh_port, config.secret, self._listen
        )
        if config.http_port is not None:
            pages = pages_of(self, Metrics(self).page)
            port = await self._nursery.start(serve_http, config.host, config.http_port, pages)
            self.http_url = f"http://{endpoint(config.advertise_host or config.host, port)}"
        self._nursery.start_soon(self.outbox.run, name="sentinel.outbox")
        if self.hooks is not None:
            self._nursery.start_soon(self.hooks.run, name="sentinel.hooks")
        self._peers.become(self._core.peers)
        self._nursery.start_soon(self._lines.run, name="sentinel.lines")
        self._nursery.start_soon(self._follow_time, name="sentinel.time")
        self._nursery.start_soon(self._follow_redis, name="sentinel.redis")
        self._nursery.start_soon(self._follow_newcomers, name="sentinel.newcomers")
        self.log.info(
            "watching",
            mesh_port=self.mesh_port,
            http=self.http_url,
            members=len(config.members),
            quorum=config.effective_quorum,
        )

    def _answer(self, question: Question) -> Answer:
        known = question.about == "explain"
        body = explain(self._core, self.clock.now()) if known else {"problem": f"unknown question {question.about!r}"}
        return Answer(sender=self.config.id, about=question.about, body=json.dumps(body))

    async def _listen(self, connection: Connection) -> None:
        """A peer's connection: each message is an event."""
        while True:
            try:
                message = await connection.receive()
                if isinstance(message, Views | PreVoteRequest | PreVoteReply | VoteRequest | VoteReply):
                    self.feed(fx.PeerSaid(message))
                elif isinstance(message, Question):
                    await connection.send(self._answer(message))
            except MeshUnavailable:
                return
            except ProtocolError as error:
                self.log.warning("a mesh message was not understood", problem=str(error))


async def run_sentinel(
    config: SentinelConfig,
    *,
    on_ready: Callable[[dict[str, object]], None] | None = None,
    stop: trio.Event | None = None,
) -> None:
    """Run a sentinel until `stop` is set. `on_ready` is told id, pid, mesh_port and http_url ("" for none)."""
    with ExitStack() as stack:
        await trio.to_thread.run_sync(stack.enter_context, VoteFile(config.data_dir, config.id).claimed())
        await _run_alone(config, on_ready, trio.Event() if stop is None else stop)


async def _run_alone(
    config: SentinelConfig, on_ready: Callable[[dict[str, object]], None] | None, stop: trio.Event
) -> None:
    async with open_bus(config.redis_url, config.cluster) as bus, trio.open_nursery() as nursery:
        server = SentinelServer(config, bus, nursery, SystemClock())
        await server.start()
        if on_ready is not None:
            ready = {"id": config.id, "pid": os.getpid(), "mesh_port": server.mesh_port, "http_url": server.http_url}
            on_ready(ready)
        await stop.wait()
        nursery.cancel_scope.cancel()
        await server.outbox.flush(config.timing.resend_s)
