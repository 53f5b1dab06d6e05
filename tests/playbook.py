"""Conversations with the cores of sentinel and node: events in, effects out, on a clock that the test turns.

    play = Play.watching()                 # s1 of s1 s2 s3; n1 is the acting master of epoch 1, n2 and n3 work
    play.crash("n1")
    play.peer_views("s2", down=("n1",))
    out = play.let(0.1)                    # Ticked at every deadline of the core
    assert sent(out, PreVoteRequest)

Nothing is performed unless the test says so (`save`, `award`), so each effect is seen before its consequence.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from ha_stress.base.config import NodeConfig, SentinelConfig, Timing
from ha_stress.cluster.events import MEANING
from ha_stress.cluster.mastership import NOBODY, Mastership
from ha_stress.cluster.members import NodeInfo, Role
from ha_stress.node import core as node_core
from ha_stress.wire.messages import (
    PeerMessage,
    Ping,
    Pong,
    PreVoteReply,
    PreVoteRequest,
    View,
    Views,
    VoteReply,
    VoteRequest,
)
from sentinel import effects as fx
from sentinel.core import Sentinel
from sentinel.failover import Phase
from sentinel.health import NodeView

E = TypeVar("E")
M = TypeVar("M")

START = 1_000.0
WALL = 1_700_000_000.0
VERSION = "0.1.0"
FIRST = Mastership(epoch=1, node="n1", incarnation="n1-a", why="first master")


def node(id: str, **changes: Any) -> NodeInfo:
    """A worker in good health; its incarnation is "<id>-a", its sequence the number in its id."""
    info = NodeInfo(
        id=id,
        incarnation=f"{id}-a",
        sequence=int(id[1:]),
        priority=100,
        mesh_host="127.0.0.1",
        mesh_port=1,
        api_url="",
        role=Role.WORKER,
        epoch=1,
        cpu_percent=5.0,
        memory_percent=40.0,
        version=VERSION,
    )
    return replace(info, **changes)


def record(epoch: int, node_id: str, incarnation: str = "") -> Mastership:
    return Mastership(epoch=epoch, node=node_id, incarnation=incarnation or f"{node_id}-a")


def sent(effects: Iterable[fx.Effect], kind: type[M], to: str = "") -> list[M]:
    """The messages of one kind that were sent (to one peer)."""
    messages = [e.message for e in effects if isinstance(e, fx.SendPeer) and to in ("", e.to)]
    return [message for message in messages if isinstance(message, kind)]


def only(effects: Iterable[object], kind: type[E]) -> list[E]:
    return [effect for effect in effects if isinstance(effect, kind)]


def said(effects: Iterable[object]) -> list[str]:
    """The names of the events that were told, in order."""
    return [effect.name for effect in effects if isinstance(effect, fx.Emit | node_core.Emit)]


def event(effects: Iterable[fx.Effect], name: str) -> fx.Emit:
    """The one event of this name."""
    (found,) = [effect for effect in only(effects, fx.Emit) if effect.name == name]
    return found


class Play:
    """One sentinel's core, a clock, and short words for what may happen to it."""

    def __init__(
        self,
        *,
        me: str = "s1",
        members: Sequence[str] = ("s1", "s2", "s3"),
        quorum: int = 0,
        state: fx.VoteState | None = None,
        timing: Timing | None = None,
        dice: float = 0.5,
        now: float = START,
    ) -> None:
        self.config = SentinelConfig(
            id=me, members=tuple(members), quorum=quorum, data_dir="unused", timing=timing or Timing()
        )
        self.timing = self.config.timing
        self.now = now
        self.dice = dice
        self.infos: dict[str, NodeInfo] = {}
        self.core = Sentinel(
            self.config,
            state or fx.VoteState(),
            version=VERSION,
            random=lambda: self.dice,
            wall=lambda: WALL,
            now=self.now,
        )

    @classmethod
    def watching(cls, nodes: Sequence[NodeInfo] = (), **settings: Any) -> Play:
        """A sentinel in calm: Redis answers, n1 is the acting master of epoch 1 and all are connected."""
        play = cls(**settings)
        play.save(play.tell(fx.BusChanged(True)) + play.tell(fx.RecordRead(FIRST)))
        master = node("n1", role=Role.MASTER, acting=True, cpu_percent=5.0)
        infos = (master, *(nodes or (node("n2"), node("n3"))))
        play.tell(fx.NodesListed(infos))
        for info in infos:
            play.tell(fx.NodeConnected(info.id))
            play.pong(info)
        return play

    # --- what happens ---

    def tell(self, happening: fx.Happening) -> list[fx.Effect]:
        """One event, now. Every event told is one that operators can look up."""
        effects = self.core.step(happening, self.now)
        assert all(name in MEANING for name in said(effects))
        return effects

    def let(self, seconds: float, answering: Collection[str] = ()) -> list[fx.Effect]:
        """Let time pass; `answering` nodes go on sending pongs at every ping period."""
        effects: list[fx.Effect] = []
        end = self.now + seconds
        pong_due = self.now
        while True:
            self.now = min(end, self.core.deadline(), pong_due if answering else end)
            if answering and self.now >= pong_due:
                for id in answering:
                    effects += self.pong(self.infos[id])
                pong_due = self.now + self.timing.ping_period_s
            if self.now >= self.core.deadline():
                effects += self.tell(fx.Ticked())
            if self.now >= end:
                return effects

    def stall(self, seconds: float) -> list[fx.Effect]:
        """This sentinel itself is not run for `seconds` past its deadline."""
        self.now = self.core.deadline() + seconds
        return self.tell(fx.Ticked())

    def pong(self, info: NodeInfo, known: Mastership | None = None) -> list[fx.Effect]:
        self.infos[info.id] = info
        return self.tell(fx.PongReceived(info.id, Pong(number=1, info=info, record=known or self.core.record)))

    def crash(self, id: str) -> list[fx.Effect]:
        """The connection breaks and fresh dials are refused, for long enough."""
        effects = self.tell(fx.NodeConnectionLost(id))
        for _ in range(self.timing.crash_dials):
            effects += self.tell(fx.DialFailed(id, True))
            effects += self.let(self.timing.crash_confirm_s / (self.timing.crash_dials - 1) + 0.001)
        return effects

    # --- what peers say ---

    def hear(self, message: PeerMessage) -> list[fx.Effect]:
        return self.tell(fx.PeerSaid(message))

    def peer_views(
        self,
        sender: str,
        *,
        down: Collection[str] = (),
        incarnation: str = "",
        tilt: bool = False,
        ask: bool = False,
        known: Mastership | None = None,
        voted_epoch: int = 0,
        leading_epoch: int = 0,
    ) -> list[fx.Effect]:
        views = tuple(
            View(node=id, incarnation=incarnation or f"{id}-a", down=True, cause="silence", age_s=0.0) for id in down
        )
        return self.hear(
            Views(
                sender=sender,
                voted_epoch=voted_epoch,
                record=self.core.record if known is None else known,
                tilt=tilt,
                leading_epoch=leading_epoch,
                views=views,
                ask=ask,
            )
        )

    def ask_pre_vote(self, sender: str, epoch: int, *, members: Sequence[str] = ()) -> PreVoteReply:
        """A peer's pre-vote request; the one reply."""
        request = PreVoteRequest(
            sender=sender, epoch=epoch, record=self.core.record, members=tuple(members) or self.config.members
        )
        (reply,) = sent(self.hear(request), PreVoteReply, sender)
        return reply

    def ask_vote(self, sender: str, epoch: int) -> list[fx.Effect]:
        return self.hear(VoteRequest(sender=sender, epoch=epoch, record=self.core.record, members=self.config.members))

    def pre_vote(self, sender: str, epoch: int, granted: bool = True, reason: str = "") -> list[fx.Effect]:
        return self.hear(
            PreVoteReply(sender=sender, epoch=epoch, granted=granted, reason=reason, voted_epoch=epoch - 1)
        )

    def vote(self, sender: str, epoch: int, granted: bool = True, reason: str = "") -> list[fx.Effect]:
        return self.hear(VoteReply(sender=sender, epoch=epoch, granted=granted, reason=reason, voted_epoch=epoch))

    # --- what is performed ---

    def save(self, effects: Iterable[fx.Effect]) -> list[fx.Effect]:
        """The disk does what it was asked to, and what it was asked to in consequence."""
        out: list[fx.Effect] = []
        for effect in only(effects, fx.SaveVote):
            after = self.tell(fx.VoteSaved(effect.state))
            out += after + self.save(after)
        return out

    def award(self, effects: Iterable[fx.Effect]) -> list[fx.Effect]:
        """Redis takes the one award."""
        (award,) = only(effects, fx.Award)
        return self.tell(fx.AwardAnswered(award.record.epoch, award.record))

    # --- longer stretches ---

    def master_falls(self) -> list[fx.Effect]:
        """Crash of the master, seen by s2 as well; until the pre-vote is asked for."""
        effects = self.crash(self.core.record.node)
        effects += self.peer_views("s2", down=(self.core.record.node,))
        return effects + self.let(self.timing.desync_s + 0.001)

    def elected(self) -> list[fx.Effect]:
        """From calm to the leadership of epoch 2: the effects of the last step, the award among them."""
        self.master_falls()
        epoch = self.core.campaign.epoch
        self.save(self.pre_vote("s2", epoch))
        return self.vote("s2", epoch)

    def phase(self) -> Phase:
        """Of this sentinel's own campaign."""
        return self.core.campaign.phase

    def view(self, id: str) -> NodeView:
        return self.core.watch.nodes[id]

    def cause(self, id: str) -> str:
        """Why this sentinel holds the node to be subjectively down; "" if it does not."""
        return self.view(id).down_cause


class NodePlay:
    """A node's core (of n1) and a clock."""

    def __init__(self, *, registered: bool = True, **settings: Any) -> None:
        self.now = START
        config = NodeConfig(id="n1", database_url="unused", **settings)
        self.timing = config.timing
        self.core = node_core.NodeCore(config, "n1-a", random=lambda: 0.5, now=self.now)
        if registered:
            self.tell(node_core.Registered())

    @classmethod
    def mastering(cls, epoch: int = 1, **settings: Any) -> NodePlay:
        """Named, and holding the lease since this instant."""
        play = cls(**settings)
        play.reads(record(epoch, "n1"))
        play.holds()
        return play

    def tell(self, happening: node_core.Happening) -> list[node_core.Effect]:
        effects = self.core.step(happening, self.now)
        assert all(name in MEANING for name in said(effects))
        return effects

    def reads(self, known: Mastership) -> list[node_core.Effect]:
        """Redis is read and has this record."""
        return self.tell(node_core.RecordSeen(known, from_bus=True))

    def pinged(self, sender: str, *, epoch: int = 0, known: Mastership = NOBODY) -> list[node_core.Effect]:
        ping = Ping(sender=sender, number=1, record=known, voted_epoch=epoch, sentinels=3)
        return self.tell(node_core.SentinelPinged(ping))

    def holds(self, took_s: float = 0.0) -> list[node_core.Effect]:
        """Redis grants the lease that was asked for `took_s` ago."""
        return self.tell(node_core.LeaseAnswered(self.now - took_s, True, self.core.record))

    def let(self, seconds: float) -> list[node_core.Effect]:
        """Time passes; nobody answers anything."""
        effects: list[node_core.Effect] = []
        end = self.now + seconds
        while self.core.deadline(self.now) <= end:
            self.now = max(self.now, self.core.deadline(self.now))
            effects += self.tell(node_core.Ticked())
        self.now = end
        return effects

    def acts(self) -> bool:
        return self.core.may_act(self.now)

    def role(self) -> Role:
        return self.core.role


__all__ = ["FIRST", "NOBODY", "START", "VERSION", "NodePlay", "Play", "event", "node", "only", "record", "said", "sent"]
