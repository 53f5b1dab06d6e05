"""What this sentinel and its peers see: the views, the record, and who is objectively down. Decides nothing about votes.

*Subjectively down* is this sentinel's own judgement (`health`). *Objectively down* is that and enough fresh views of peers
about the same process; for the master, the process that the record names. Views of a sentinel in tilt count for nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from ha_stress.base.config import SentinelConfig
from ha_stress.cluster.mastership import Mastership
from ha_stress.cluster.members import NodeInfo
from ha_stress.wire.messages import View, Views
from sentinel.health import NodeView, acts_under, judge, next_change

#: A sentinel's own lateness stretches its patience with others at most this much.
STRETCH_MAX = 3.0
#: A node that is unregistered, unconnected and silent for this many `down_after_s` is forgotten.
FORGET_AFTER = 2.0


class Say(Protocol):
    """How the watch tells an event."""

    def __call__(self, name: str, *, subject: str = "", cause: str = "", detail: dict[str, Any] | None = None) -> None:
        """See `cluster.events.MEANING`."""


@dataclass(slots=True)
class Heard:
    """The newest views of a peer, and when they arrived."""

    at: float
    views: Views


class Watch:
    """See the module."""

    def __init__(self, config: SentinelConfig, record: Mastership, say: Say, now: float) -> None:
        self.id = config.id
        self.quorum = config.effective_quorum
        self.timing = config.timing
        self.record = record
        self.accepted = False  # the record's master was seen acting under its epoch
        self.nodes: dict[str, NodeView] = {}
        self.heard: dict[str, Heard] = {}
        self.bus_up_since: float | None = None
        self.tilt_until: float | None = None
        self.stretch = 1.0
        #: The operator asks for another master than the one of this record, and there is one (`core` decides that).
        self.handover = False
        self._stretched_until = now
        #: Nodes (with incarnation) that were named and did not act since the last master that did.
        self.passed_over: dict[str, str] = {}
        self._say = say
        self._follow_master(now)

    @property
    def tilt(self) -> bool:
        return self.tilt_until is not None

    @property
    def master(self) -> NodeView | None:
        return self.nodes.get(self.record.node)

    def master_is_down(self) -> bool:
        """Subjectively."""
        master = self.master
        return master is not None and master.down_since is not None

    # --- what it is told ---

    def note_lag(self, lag_s: float, now: float) -> None:
        """A late step makes this sentinel patient for as long as answers may still be waiting to be read; a very late one
        makes it distrust itself."""
        stretch = min(STRETCH_MAX, 1.0 + lag_s / self.timing.ping_period_s)
        if stretch >= self.stretch or now >= self._stretched_until:
            self.stretch = stretch
            self._stretched_until = now + self.timing.ping_period_s
        if lag_s < self.timing.tilt_stall_s:
            return
        if not self.tilt:
            self._say("+tilt", cause=f"stalled for {lag_s:.1f} s")
        self.tilt_until = now + self.timing.tilt_s

    def note_bus(self, up: bool, now: float) -> None:
        if not up:
            self.bus_up_since = None
        elif self.bus_up_since is None:
            self.bus_up_since = now

    def list_nodes(self, infos: Iterable[NodeInfo], now: float) -> None:
        """Take the registry: add whom it names, forget who is neither named, connected, nor recently heard."""
        listed = dict.fromkeys(info.id for info in infos)  # ordered, unlike a set: the same steps in each run
        for node_id in listed:
            self.nodes.setdefault(node_id, NodeView(id=node_id, since=now))
        for node_id, view in list(self.nodes.items()):
            silent_s = now - view.silent_since()
            unknown = node_id not in listed and not view.connected
            if unknown and silent_s > FORGET_AFTER * self.timing.down_after_s and node_id != self.record.node:
                del self.nodes[node_id]

    def learn(self, record: Mastership, now: float) -> bool:
        """Take a record if its epoch is higher. Returns whether it was."""
        if record.epoch <= self.record.epoch:
            return False
        self.record = record
        self.accepted = False
        self.handover = False
        for view in self.nodes.values():
            view.idle_since = None
        self._follow_master(now)
        return True

    def _follow_master(self, now: float) -> None:
        """The master is watched from the moment that it is named, registered or not."""
        if self.record.epoch and self.record.node not in self.nodes:
            self.nodes[self.record.node] = NodeView(id=self.record.node, since=now)

    # --- judging ---

    def leave_tilt(self, now: float) -> None:
        """Trust oneself again; what was silent during one's own absence gets a new chance."""
        self.tilt_until = None
        self._say("-tilt")
        for view in self.nodes.values():
            view.since = now
            if view.last_pong is not None:
                view.last_pong = max(view.last_pong, now - self.timing.ping_period_s)

    def judge_all(self, now: float) -> bool:
        """Update the subjective views (not in tilt), then the objective ones. Returns whether a subjective one changed."""
        changed = False
        if not self.tilt:
            for view in self.nodes.values():
                changed |= self._judge(view, now)
        fresh = self.fresh(now)
        for view in self.nodes.values():
            self._count(view, fresh)
        return changed

    def _judge(self, view: NodeView, now: float) -> bool:
        view.note_acting(self.record, now)
        if not self.accepted and view.info is not None and acts_under(view.info, self.record):
            self.accepted = True
            self.passed_over.clear()
        cause = judge(
            view,
            record=self.record,
            accepted=self.accepted,
            bus_up_since=self.bus_up_since,
            timing=self.timing,
            stretch=self.stretch,
            now=now,
            handover=self.handover,
        )
        was = view.down_since is not None
        if cause and not was:
            view.down_since = now
            self._say("+sdown", subject=view.id, cause=cause, detail=self._about(view))
        elif was and not cause:
            view.down_since = None
            self._say("-sdown", subject=view.id, detail=self._about(view))
        view.down_cause = cause
        if cause == "not-accepted":
            self.passed_over[self.record.node] = self.record.incarnation
        return was != bool(cause)

    def _count(self, view: NodeView, fresh: dict[str, Views]) -> None:
        if view.down_since is None and not view.objectively_down:
            return
        incarnation = self.incarnation(view)
        supporters = sorted(
            sender
            for sender, views in fresh.items()
            if any(v.down and v.node == view.id and v.incarnation == incarnation for v in views.views)
        )
        down = view.down_since is not None and not self.tilt and 1 + len(supporters) >= self.quorum
        if down == view.objectively_down:
            return
        view.objectively_down = down
        detail = {**self._about(view), "views": [self.id, *supporters]}
        self._say("+odown" if down else "-odown", subject=view.id, cause=view.down_cause, detail=detail)

    # --- what others may ask ---

    def fresh(self, now: float) -> dict[str, Views]:
        """Views of peers that are recent and not in tilt."""
        limit = self.timing.view_fresh_s
        return {
            sender: heard.views
            for sender, heard in self.heard.items()
            if now - heard.at <= limit and not heard.views.tilt
        }

    def down_pairs(self, now: float) -> set[tuple[str, str]]:
        """(node, incarnation) of everybody whom a fresh view of any peer holds to be down."""
        return {(v.node, v.incarnation) for views in self.fresh(now).values() for v in views.views if v.down}

    def down_views(self) -> tuple[View, ...]:
        """This sentinel's own views, as they are sent; who is not named is up."""
        return tuple(
            View(node=v.id, incarnation=self.incarnation(v), down=True, cause=v.down_cause, age_s=0.0)
            for v in self.nodes.values()
            if v.down_since is not None
        )

    def incarnation(self, view: NodeView) -> str:
        """Which process a view is about: for the master the one that the record names."""
        if view.id == self.record.node:
            return self.record.incarnation
        return view.info.incarnation if view.info else ""

    def next_change(self, now: float) -> float:
        """The next moment after `now` at which time alone could change a view; infinity if there is none."""
        if self.tilt_until is not None:
            return self.tilt_until
        moments = (
            next_change(view, accepted=self.accepted, timing=self.timing, stretch=self.stretch)
            for view in self.nodes.values()
            if view.down_since is None
        )
        return min((moment for moment in moments if moment > now), default=float("inf"))

    def _about(self, view: NodeView) -> dict[str, Any]:
        return {"incarnation": self.incarnation(view), "master": view.id == self.record.node}
