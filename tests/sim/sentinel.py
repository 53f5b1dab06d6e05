"""A sentinel process: the real core, a vote file that takes time and can fail, probes, peers, and its talk with Redis."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from ha_stress.base.config import SentinelConfig
from ha_stress.bus.mastership import AwardAnswer
from ha_stress.cluster.controls import NO_CONTROLS, Controls
from ha_stress.cluster.mastership import NOBODY, Mastership
from ha_stress.cluster.members import NodeInfo, SentinelInfo
from ha_stress.node.core import SentinelPinged
from ha_stress.wire.messages import PeerMessage, Ping, VoteReply
from sentinel import effects as fx
from sentinel.core import Sentinel
from tests.sim.conversation import brief
from tests.sim.probe import SimProbe
from tests.sim.process import Process

if TYPE_CHECKING:
    from tests.sim.world import World

BUS_RETRY_S = 0.1
VERSION = "0.1.0"
TICKED = fx.Ticked()
BUS_UP, BUS_DOWN = fx.BusChanged(True), fx.BusChanged(False)


class SimSentinel(Process):
    """Mirrors `sentinel/server.py`. `disk` is what survives a crash."""

    def __init__(self, world: World, config: SentinelConfig) -> None:
        super().__init__(world.timeline, config.id)
        self.world = world
        self.net = world.net
        self.config = config
        self.trusts_wall_clock = world.build.sentinels_on_wall_clock
        self.disk = fx.VoteState()
        self.disk_broken = False
        self.core: Sentinel | None = None
        self.probes: dict[str, SimProbe] = {}
        self._known: Mastership = NOBODY
        #: The operator's wishes as this life has heard them, and since when failovers are paused among them.
        self.wishes: Controls = NO_CONTROLS
        self.paused_at: float | None = None
        self._said: tuple[Mastership, int, int] = (NOBODY, 0, 0)
        self._ping: SentinelPinged | None = None
        self._tick_at = float("inf")
        self._read_token = 0
        self._reading = self._read_again = False
        world.redis.listeners.append((self, self._hinted))

    def begin(self) -> None:
        super().begin()
        state = fx.VoteState() if self.world.build.forgets_votes else self.disk
        rng = self.timeline.rng
        self.core = Sentinel(self.config, state, version=VERSION, random=rng.random, wall=self.wall, now=self.clock())
        self.world.build.prepare_sentinel(self.core)
        if self.world.talk is not None:
            self.world.say(self.name, f"starts, life {self.life}, with {brief(state)}")
        self.probes = {}
        self._known = NOBODY
        self.wishes = state.controls
        self.paused_at = self.timeline.now if state.controls.paused else None
        self._reading = self._read_again = False
        self._tick_at = float("inf")
        self.after(rng.random() * 0.05, self._read)
        self._arm(self.core.deadline())

    # --- the rhythm ---

    def feed(self, event: fx.Happening) -> None:
        """One step of the core, checked and performed."""
        core = self.core
        assert core is not None
        choice = core.voter.choice
        now = self.clock()
        try:
            effects = core.step(event, now)
        except Exception as error:
            self.world.checks.violate("the core raises nothing", f"{self.name} at {event}: {error!r}")
            self.die()
            return
        if self.world.talk is not None:
            self.world.talk.heard(self.timeline.now, self.name, event, effects)
        if core.voter.choice is not choice:
            self._chose(core, effects)
        if core.controls is not self.wishes:
            self._heard_wishes(core.controls)
        if core.record is not self._known:
            self.world.checks.learned(self.name, self._known, core.record)
            self._known = core.record
        for effect in effects:
            self._perform(effect)
            if isinstance(effect, fx.Emit) and effect.name == "-failover-abort-no-good-node":
                self.world.checks.nobody_left(self.name, core.record, core.watch.passed_over)
        self._arm(core.deadline())

    def _heard_wishes(self, controls: Controls) -> None:
        """What this life of the sentinel has heard of the operator's wishes."""
        self.world.checks.wishes_heard(self.name, self.wishes, controls)
        if controls.paused != self.wishes.paused or not self.wishes.revision:
            self.paused_at = self.timeline.now if controls.paused else None
        self.wishes = controls

    def _chose(self, core: Sentinel, effects: list[fx.Effect]) -> None:
        """This step may have decided a vote. Whoever was down at that moment and is up after the step rose within it."""
        choice = core.voter.choice
        if choice is None or choice.voted_for == self.name:
            return
        rose = any(isinstance(e, fx.Emit) and e.name == "-sdown" and e.subject == core.record.node for e in effects)
        self.world.checks.vote_decided(
            self.name, choice.voted_epoch, tilt=core.watch.tilt, master_up=not (core.watch.master_is_down() or rose)
        )

    def _arm(self, deadline: float) -> None:
        if deadline < self._tick_at:
            self._tick_at = deadline
            self.after(self.until(deadline), self._tick, deadline)

    def _tick(self, armed_for: float) -> None:
        core = self.core
        if armed_for != self._tick_at or core is None:
            return
        self._tick_at = float("inf")
        now = self.clock()
        deadline = core.deadline()
        if deadline > now:
            self._arm(deadline)
            return
        self.feed(TICKED)
        if self.core is not None and self._tick_at <= now:
            self.world.checks.violate("a deadline that was met is over", f"{self.name} would spin")
            self.die()

    def _perform(self, effect: fx.Effect) -> None:
        redis = self.world.redis
        match effect:
            case fx.SendPeer(to, message):
                self._send(to, message)
            case fx.SaveVote(state):
                self._save(state)
            case fx.Award(record):
                announced = partial(self._award_announced, record)
                redis.call(self, announced, redis.announce_award, record, self.name)
            case fx.Announce(record):
                redis.call(self, self._bus_answered, redis.announce, record)
            case fx.Repair(record):
                redis.call(self, self._bus_answered, redis.repair, record)
            case fx.RepairControls(controls):
                redis.call(self, self._bus_answered, redis.repair_controls, controls)
            case fx.SaveFailover():
                redis.call(self, self._bus_answered, redis.mastership)
            case fx.Emit(name=name, epoch=epoch):
                self.world.checks.counts[name] += 1
                if name == "+elected-leader":
                    self._elected(epoch)
                elif name == "+try-failover":
                    self.world.health.begun(self.name, epoch, self._known, effect.cause)

    def _elected(self, epoch: int) -> None:
        core = self.core
        assert core is not None
        self.world.checks.elected(epoch, self.name, core.membership.members)
        self.world.health.elected(self.name, epoch)

    def _award_announced(self, record: Mastership, answer: bool | None) -> None:
        if answer is None:
            self.feed(fx.AwardAnswered(record.epoch, None))
            return
        redis = self.world.redis
        redis.call(self, partial(self._awarded, record.epoch), redis.award_announced, record, self.name)

    def _awarded(self, epoch: int, answer: AwardAnswer | None) -> None:
        self.feed(fx.AwardAnswered(epoch, None if answer is None or answer.late else answer.newest))

    # --- peers ---

    def _send(self, to: str, message: PeerMessage) -> None:
        if isinstance(message, VoteReply) and message.granted:
            self.world.checks.vote_told(self.name, message.epoch, to, self.disk)
        peer = self.world.sentinels[to]
        self.net.datagram(self.name, peer, peer.hear, message)

    def hear(self, message: PeerMessage) -> None:
        self.feed(fx.PeerSaid(message))

    # --- the vote file ---

    def _save(self, state: fx.VoteState) -> None:
        rng = self.timeline.rng
        took_s = 0.0005 + 0.0045 * rng.random()
        if self.disk_broken:
            if rng.random() < 0.3:  # renamed already, then the directory could not be synced: written, and an error
                self.after(took_s / 2, self._durable, state)
            self.after(took_s, self.feed, fx.VoteNotSaved(state, "disk full"))
            return
        self.after(took_s * rng.random(), self._durable, state)
        self.after(took_s, self._saved, state)

    def _durable(self, state: fx.VoteState) -> None:
        self.world.checks.disk_written(self.name, self.disk, state)
        self.disk = state

    def _saved(self, state: fx.VoteState) -> None:
        self.world.checks.vote_acked(self.name, state)
        self.feed(fx.VoteSaved(state))

    # --- Redis ---

    def _bus_answered(self, result: object) -> None:
        self._note_bus(result is not None)

    def _note_bus(self, up: bool) -> None:
        """As the shell does it: that it is as it was is no news."""
        if self.core is not None and up != (self.core.watch.bus_up_since is not None):
            self.feed(BUS_UP if up else BUS_DOWN)

    def _hinted(self) -> None:
        if self._reading:
            self._read_again = True
        else:
            self._read()

    def _read(self, token: int | None = None) -> None:
        if self._reading or (token is not None and token != self._read_token):
            return
        self._reading = True
        self._read_token += 1
        redis = self.world.redis
        redis.call(self, self._have_read, redis.read_for_sentinel)

    def _have_read(self, answer: tuple[Mastership, Controls, tuple[NodeInfo, ...]] | None) -> None:
        self._reading = False
        if answer is None:
            self._note_bus(False)
            pause_s = BUS_RETRY_S
        else:
            record, controls, nodes = answer
            self.feed(fx.RecordRead(record))
            self.feed(fx.ControlsRead(controls))
            self.feed(fx.NodesListed(nodes))
            self._adjust_probes(nodes)
            self._note_bus(True)
            pause_s = 0.0 if self._read_again else self.config.timing.info_period_s
        self._read_again = False
        self.after(pause_s, self._read, self._read_token)

    def description(self) -> SentinelInfo:
        """What it says of its vote file is on disk."""
        core = self.core
        assert core is not None
        return SentinelInfo(
            id=self.name,
            incarnation=str(self.life),
            mesh_host="",
            mesh_port=0,
            epoch=core.record.epoch,
            members=core.membership.members,
            members_version=core.membership.version,
            voted_epoch=core.voter.state.voted_epoch,
            controls_revision=core.controls.revision,
            sent_at=self.timeline.now,
        )

    # --- nodes ---

    def _adjust_probes(self, infos: tuple[NodeInfo, ...]) -> None:
        core = self.core
        if core is None:
            return
        listed = {info.id for info in infos}
        for node in core.watch.nodes:
            if node not in self.probes and node in listed:
                self.probes[node] = SimProbe(self, self.world.nodes[node])
                self.probes[node].dial()
        for node in [node for node in self.probes if node not in core.watch.nodes]:
            self.probes.pop(node).close()

    def ping(self) -> SentinelPinged:
        """What a node hears from this sentinel at this moment; the same object for as long as it is the same."""
        core = self.core
        assert core is not None
        said = (core.record, core.voter.state.voted_epoch, len(core.peers) + 1)
        if self._ping is None or said != self._said:
            self._said = said
            self._ping = SentinelPinged(
                Ping(sender=self.name, number=0, record=said[0], voted_epoch=said[1], sentinels=said[2])
            )
        return self._ping
