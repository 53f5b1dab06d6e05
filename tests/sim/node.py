"""A node process: the real core, its talk with Redis, and a master that writes to the fenced store and commands workers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ha_stress.base.config import NodeConfig
from ha_stress.cluster.controls import Controls, Tags
from ha_stress.cluster.mastership import NOBODY, Mastership
from ha_stress.cluster.members import NodeInfo, Role
from ha_stress.node import core
from ha_stress.node.ownership import Ownership, Verdict
from ha_stress.tasks.schedule import Holder, NodeAssignment
from ha_stress.wire.messages import Pong
from ha_stress.worker.core import Apply
from sentinel.effects import PongReceived
from tests.sim.probe import SimProbe
from tests.sim.process import Process
from tests.sim.sentinel import VERSION

if TYPE_CHECKING:
    from tests.sim.world import World

RETRY_S = 0.05
ACT_PERIOD_S = 0.25
LEAVE_POLL_S = 0.05
TICKED = core.Ticked()
UNTAGGED = Tags()


class SimNode(Process):
    """Mirrors `ha_stress/node/server.py`. `lease_until` is what this process was really given, judged from outside."""

    def __init__(self, world: World, config: NodeConfig) -> None:
        super().__init__(world.timeline, config.id)
        self.world = world
        self.net = world.net
        self.config = config
        self.trusts_wall_clock = world.build.nodes_on_wall_clock
        self.core: core.NodeCore | None = None
        self.incarnation = ""
        self.sequence = 0
        self.lease_until = float("-inf")
        self.cpu_percent = world.timeline.rng.random() * 60
        self._said: tuple[object, ...] = ()
        self._tags = UNTAGGED
        self._pong: PongReceived | None = None
        self._known: Mastership = NOBODY
        self._master: Mastership | None = None
        self._acts = 0
        self._tick_at = float("inf")
        self._reading = self._read_again = False
        self._read_token = 0
        self._leave_by = float("inf")
        self._worker = world.build.worker(Holder(config.id, ""))
        self._ownership = Ownership(config.timing.info_expiry_s)
        world.redis.listeners.append((self, self._hinted))

    def begin(self) -> None:
        super().begin()
        self.incarnation = f"{self.name}.{self.life}"
        rng = self.timeline.rng
        build = self.world.build
        self.core = build.node(self.config, self.incarnation, random=rng.random, now=self.clock())
        self._worker = build.worker(Holder(self.name, self.incarnation))
        self._known = NOBODY
        self._said = ()
        self._tags = UNTAGGED
        self._master = None
        self._reading = self._read_again = False
        self._tick_at = self._leave_by = float("inf")
        self.lease_until = float("-inf")
        self.world.say(self.name, f"starts as {self.incarnation}")
        self._ownership = Ownership(self.config.timing.info_expiry_s)
        self.after(rng.random() * 0.05, self._register)

    def die(self, *, host: bool = False) -> None:
        """The probes of the sentinels notice, unless the whole host is gone."""
        was_alive = self.alive
        super().die(host=host)
        self.core = None
        if was_alive and not host:
            for sentinel in self.world.sentinels.values():
                probe = sentinel.probes.get(self.name)
                if sentinel.alive and probe is not None:
                    probe.node_died()

    # --- the rhythm ---

    def feed(self, event: core.Happening) -> None:
        """One step of the core, checked and performed."""
        node = self.core
        assert node is not None
        now = self.clock()
        try:
            effects = node.step(event, now)
        except Exception as error:
            self.world.checks.violate("the core raises nothing", f"{self.name} at {event}: {error!r}")
            self.die()
            return
        if self.world.talk is not None:
            self.world.talk.heard(self.timeline.now, self.name, event, effects)
        if node.record is not self._known:
            self.world.checks.learned(self.name, self._known, node.record)
            self._known = node.record
        for effect in effects:
            self._perform(effect)
        self._arm(node.deadline(now))

    def _arm(self, deadline: float) -> None:
        if deadline < self._tick_at:
            self._tick_at = deadline
            self.after(self.until(deadline), self._tick, deadline)

    def _tick(self, armed_for: float) -> None:
        node = self.core
        if armed_for != self._tick_at or node is None:
            return
        self._tick_at = float("inf")
        now = self.clock()
        deadline = node.deadline(now)
        if deadline > now:
            self._arm(deadline)
            return
        self.feed(TICKED)
        if self.core is not None and self._tick_at <= now:
            self.world.checks.violate("a deadline that was met is over", f"{self.name} would spin")
            self.die()

    def _perform(self, effect: core.Effect) -> None:
        redis = self.world.redis
        ttl_s = self.config.timing.lease_ttl_s
        match effect:
            case core.HoldLease(record):
                sent_at, asked_at = self.timeline.now, self.clock()
                redis.call(
                    self,
                    lambda answer: self._lease_answered(record, sent_at, asked_at, answer),
                    redis.hold_lease,
                    record,
                    ttl_s,
                )
            case core.ClaimFirst():
                redis.call(
                    self,
                    lambda newest: self.feed(core.ClaimAnswered(newest)),
                    redis.claim_first,
                    self.name,
                    self.incarnation,
                    ttl_s,
                )
            case core.Repair(record):
                redis.call(self, lambda answer: None, redis.repair, record)
            case core.BecomeMaster(record):
                self._master = record
                self.after(0.0, self._tell_sentinels)
                self.after(0.005 + 0.045 * self.timeline.rng.random(), self._act, record)
            case core.BecomeWorker():
                self._master = None
            case core.Emit(name=name):
                self.world.checks.counts[name] += 1

    def _lease_answered(
        self, record: Mastership, sent_at: float, asked_at: float, answer: tuple[bool, Mastership] | None
    ) -> None:
        """`sent_at` is when it was asked in truth, `asked_at` by the clock of the core."""
        if answer is None:
            self.feed(core.LeaseAnswered(asked_at, False, None))
            return
        held, newest = answer
        if held and newest == record:
            timing = self.config.timing
            self.lease_until = sent_at + timing.lease_ttl_s - timing.lease_margin_s
        self.feed(core.LeaseAnswered(asked_at, held, newest))

    # --- what it says of itself ---

    def pong(self) -> PongReceived:
        """What a sentinel hears of this node at this moment; the same object for as long as it is the same."""
        node = self.core
        assert node is not None
        said = (
            node.role,
            node.record,
            node.may_act(self.clock()),
            node.leaving,
            self.cpu_percent,
            self.sequence,
            self._tags,
        )
        if said != self._said:
            self._said = said
            self._pong = PongReceived(self.name, Pong(number=0, info=self._describe(node, said[2]), record=node.record))
        assert self._pong is not None
        return self._pong

    def _describe(self, node: core.NodeCore, acting: bool) -> NodeInfo:
        return NodeInfo(
            id=self.name,
            incarnation=self.incarnation,
            sequence=self.sequence,
            priority=self.config.priority if self._tags.priority is None else self._tags.priority,
            mesh_host="",
            mesh_port=0,
            api_url="",
            role=node.role,
            epoch=node.record.epoch,
            acting=acting,
            cpu_percent=self.cpu_percent,
            memory_percent=20.0,
            draining=self._tags.draining,
            leaving=node.leaving,
            version=VERSION,
        )

    def info(self) -> NodeInfo:
        return self.pong().pong.info

    def answer(self, probe: SimProbe, attempt: int, ping: core.SentinelPinged) -> None:
        """A sentinel's ping."""
        self.feed(ping)
        if self.core is not None:
            probe.send_pong(attempt, self.pong())

    def _tell_sentinels(self) -> None:
        """A pong that nobody asked for."""
        if self.core is None:
            return
        pong = self.pong()
        for sentinel in self.world.sentinels.values():
            probe = sentinel.probes.get(self.name)
            if sentinel.alive and probe is not None:
                probe.tell(pong)

    # --- Redis ---

    def _register(self) -> None:
        redis = self.world.redis
        redis.call(self, self._registered, redis.register, self.name, self.incarnation)

    def _registered(self, sequence: int | None) -> None:
        if sequence is None:
            self.after(self.config.timing.resend_s, self._register)
            return
        self.sequence = sequence
        self.feed(core.Registered())
        self._publish()
        self._read()

    def _publish(self) -> None:
        self.publish_once()
        self.after(self.config.timing.info_period_s, self._publish)

    def publish_once(self) -> None:
        redis = self.world.redis
        self.cpu_percent = max(0.0, min(100.0, self.cpu_percent + 4 * (self.timeline.rng.random() - 0.5)))
        redis.call(self, self._published, redis.publish_info, self.info(), self.config.timing.info_expiry_s)

    def _published(self, taken: bool | None) -> None:
        """As `ha_stress.node.presence` does it. The registry is looked at in the same moment."""
        if taken:
            self._ownership.granted()
        elif taken is not None:
            other_speaks = self.world.redis.speaks(self.name)
            match self._ownership.refused(self.timeline.now, other_speaks=other_speaks):
                case Verdict.REGISTER:
                    self._register_again()
                case Verdict.END:
                    self.die()

    def _register_again(self) -> None:
        redis = self.world.redis
        redis.call(self, lambda sequence: None, redis.register, self.name, self.incarnation)

    def _hinted(self) -> None:
        if self._reading:
            self._read_again = True
        elif self._read_token:
            self._read()

    def _read(self, token: int | None = None) -> None:
        if self._reading or (token is not None and token != self._read_token):
            return
        self._reading = True
        self._read_token += 1
        redis = self.world.redis
        redis.call(self, self._have_read, redis.read_for_node)

    def _have_read(self, answer: tuple[Mastership, Controls] | None) -> None:
        self._reading = False
        pause_s = RETRY_S
        if answer is not None:
            record, controls = answer
            self._tags = controls.tags.get(self.name, UNTAGGED)
            self.feed(core.RecordSeen(record, from_bus=True))
            pause_s = 0.0 if self._read_again else self.config.timing.reread_s
        if self.world.build.rereads or answer is None or self._read_again:
            self.after(pause_s, self._read, self._read_token)
        self._read_again = False

    # --- the master's work ---

    def may_act(self) -> bool:
        return self.alive and self.core is not None and self.core.may_act(self.clock())

    def _act(self, record: Mastership) -> None:
        """Write and command under this mastership, again and again until it is over."""
        if self._master != record or self.core is None or self.core.record != record:
            return
        if self.core.may_act(self.clock()):
            self.world.checks.acted(self.incarnation, record.epoch, self.lease_until)
            # A pause may fall between the decision and the write: that is what the fence is for.
            self.after(0.001 * self.timeline.rng.random(), self._write, record)
        self.after(ACT_PERIOD_S, self._act, record)

    def _write(self, record: Mastership) -> None:
        timeline = self.timeline
        delay = self.net.delay_s()
        timeline.after(delay, self.world.store.write, record.epoch, record.node, record.incarnation)
        self._acts += 1
        for worker in self.world.nodes.values():
            command = NodeAssignment(
                epoch=record.epoch, revision=self._acts, node=worker.name, incarnation=worker.incarnation
            )
            self.net.datagram(self.name, worker, worker.obey, command)

    def obey(self, command: NodeAssignment) -> None:
        """A command of a master, considered by the real worker core."""
        known_epoch = self.core.record.epoch if self.core is not None else 0
        decision = self._worker.consider(command, known_epoch)
        if isinstance(decision, Apply):
            self._worker.applied_now(decision.assignment)
            self.world.checks.commanded_at(self.name, self.incarnation, decision.assignment.epoch, known_epoch)

    # --- leaving ---

    def ask_stop(self) -> None:
        """SIGTERM: leave in good order, then end."""
        if not self.alive or self.core is None or self.core.leaving:
            return
        self.feed(core.StopAsked())
        self._tell_sentinels()
        self.publish_once()
        self._leave_by = self.timeline.now + self.config.timing.stop_timeout_s
        self.after(LEAVE_POLL_S, self._leave)

    def _leave(self) -> None:
        node = self.core
        if node is None:
            return
        if node.role is Role.MASTER and self.timeline.now < self._leave_by:
            self.after(LEAVE_POLL_S, self._leave)
            return
        redis = self.world.redis
        if node.role is Role.MASTER:
            redis.call(self, lambda answer: None, redis.release_lease, node.record)
        redis.call(self, lambda answer: self.die(), redis.remove_node, self.name, self.incarnation)
