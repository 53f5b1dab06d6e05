"""What this sentinel and its peers see: the views, the record, and who is objectively down. Decides nothing about votes.

*Subjectively down* is this sentinel's own judgement (`health`). *Objectively down* is that and enough fresh views of peers
about the same process; for the master, the process that the record names. Views of a sentinel in tilt count for nothing.

What is judged in a step is what can have changed in it: the nodes that were touched since, the master (the record, Redis
and the operator's wish concern nobody else), and whom the time has made due, which a queue by silence knows at its head.
So a step costs the same with 1,000 nodes as with 3, and its outcome is that of judging everybody.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

from ha_stress.base.config import SentinelConfig
from ha_stress.cluster.mastership import Mastership
from ha_stress.cluster.members import NodeInfo
from ha_stress.wire.messages import View, Views
from sentinel.health import BySilence, NodeView, acts_under, idle_over_at, judge

#: A sentinel's own lateness stretches its patience with others at most this much.
STRETCH_MAX = 3.0
#: A node that is unregistered, unconnected and silent for this many `down_after_s` is forgotten.
FORGET_AFTER = 2.0
#: Changes of workers are gathered for this long, if there was one just before: a small part of any failover.
GATHER_S = 0.025


class Say(Protocol):
    """How the watch tells an event."""

    def __call__(self, name: str, *, subject: str = "", cause: str = "", detail: dict[str, Any] | None = None) -> None:
        """See `cluster.events.MEANING`."""


@dataclass(slots=True)
class Heard:
    """The newest views of a peer, and when they arrived."""

    at: float
    views: Views
    #: (node, incarnation) of everybody whom it holds to be down.
    down: frozenset[tuple[str, str]] = field(init=False)

    def __post_init__(self) -> None:
        self.down = frozenset((view.node, view.incarnation) for view in self.views.views if view.down)


class Changes:
    """Changes of the own views that peers have not been told. When the view of the master changed, or when it was quiet,
    they are told at once; where many nodes go down or come up together, some tens of milliseconds are gathered: each time
    all that are down are named, so a message for each of n would cost n * n."""

    def __init__(self) -> None:
        self._waiting = False
        self._urgent = False
        self._told_at = float("-inf")

    def note(self, *, urgent: bool) -> None:
        self._waiting = True
        self._urgent = self._urgent or urgent

    def due(self, now: float) -> float:
        """When they have to be told; infinity if there are none."""
        if not self._waiting:
            return float("inf")
        return now if self._urgent else max(now, self._told_at + GATHER_S)

    def told(self, now: float) -> bool:
        """The views are sent now. Returns whether that tells a change."""
        told, self._waiting, self._urgent = self._waiting, False, False
        if told:
            self._told_at = now
        return told


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
        self.changes = Changes()
        self._say = say
        self._touched: dict[str, None] = {}  # to be judged in the next step; ordered, unlike a set
        self._waiting = BySilence()  # who is not down and would be by time alone
        self._down: dict[str, NodeView] = {}  # subjectively or objectively
        self._counted: tuple[object, ...] = ()  # what the objective views were last counted with
        self._judged: tuple[object, ...] = ()  # what the master was last judged with
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
            if node_id not in self.nodes:
                self._add(node_id, now)
            elif not self.nodes[node_id].tried and node_id != self.record.node:
                self.nodes[node_id].since = now  # not yet dialled: that is this sentinel's silence
                self.touch(self.nodes[node_id])
        for node_id, view in list(self.nodes.items()):
            silent_s = now - view.silent_since()
            unknown = node_id not in listed and not view.connected
            if unknown and silent_s > FORGET_AFTER * self.timing.down_after_s and node_id != self.record.node:
                self._forget(node_id)

    def touch(self, view: NodeView) -> None:
        """What is known of this node has changed: it is judged in this step."""
        self._touched[view.id] = None

    def learn(self, record: Mastership, now: float) -> bool:
        """Take a record if its epoch is higher. Returns whether it was."""
        if record.epoch <= self.record.epoch:
            return False
        if self.master is not None:
            self.touch(self.master)
            self.master.idle_since = None
        self.record = record
        self.accepted = False
        self.handover = False
        self._follow_master(now)
        return True

    def _follow_master(self, now: float) -> None:
        """The master is watched from the moment that it is named, registered or not."""
        if not self.record.epoch:
            return
        if self.record.node not in self.nodes:
            self._add(self.record.node, now)
        self.touch(self.nodes[self.record.node])

    def _add(self, node_id: str, now: float) -> None:
        self.nodes[node_id] = NodeView(id=node_id, since=now)
        self.touch(self.nodes[node_id])

    def _forget(self, node_id: str) -> None:
        self._waiting.leave(self.nodes.pop(node_id))
        self._touched.pop(node_id, None)
        self._down.pop(node_id, None)

    # --- judging ---

    def leave_tilt(self, now: float) -> None:
        """Trust oneself again; what was silent during one's own absence gets a new chance."""
        self.tilt_until = None
        self._say("-tilt")
        for view in self.nodes.values():
            self.touch(view)
            view.since = now
            if view.last_pong is not None:
                view.last_pong = max(view.last_pong, now - self.timing.ping_period_s)

    def reassess(self, now: float) -> bool:
        """Update the subjective views (not in tilt), then the objective ones. Returns whether a subjective one changed."""
        changed = False
        if self.tilt_until is None:
            self._touch_master(now)
            for node_id in self._touched:
                changed |= self._judge(self.nodes[node_id], now)
            while (view := self._waiting.longest()) is not None and self._is_overdue(view, now):
                self.touch(view)
                changed |= self._judge(view, now)
        self._count(now)
        self._touched.clear()  # also in tilt: everybody is touched at its end
        return changed

    def _touch_master(self, now: float) -> None:
        """The master is judged by more than its own words: again if one of those things changed, if time is up, and while it
        is down, as the cause may become another one."""
        master = self.nodes.get(self.record.node)
        basis = (self.record, self.accepted, self.bus_up_since, self.stretch, self.handover)
        if master is None or (
            master.down_since is None
            and basis == self._judged
            and now < idle_over_at(master, self.accepted, self.bus_up_since, self.timing, self.stretch)
        ):
            return
        self._judged = basis
        self.touch(master)

    def _is_overdue(self, view: NodeView, now: float) -> bool:
        return now - view.silent_since() >= self.timing.down_after_s * self.stretch

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
        if cause:
            self._down[view.id] = view
        if cause or self._is_overdue(view, now):  # only an event can change it now (who said goodbye may be silent)
            self._waiting.leave(view)
        else:
            self._waiting.enter(view)
        if was != bool(cause):
            self.changes.note(urgent=view.id == self.record.node)
        return was != bool(cause)

    def _count(self, now: float) -> None:
        """Who is objectively down. Counted anew only for the touched, unless the views that count are other ones."""
        if not self._down:
            return
        fresh = self._fresh(now)
        basis = (self.tilt, self.quorum, fresh)
        whom = self._down if basis != self._counted else [id for id in self._touched if id in self._down]
        self._counted = basis
        for node_id in list(whom):
            view = self._down[node_id]
            self._count_one(view, fresh, now)
            if view.down_since is None and not view.objectively_down:
                del self._down[node_id]

    def _count_one(self, view: NodeView, fresh: dict[str, Heard], now: float) -> None:
        pair = (view.id, self.incarnation(view))
        supporters = sorted(sender for sender, heard in fresh.items() if pair in heard.down)
        down = view.down_since is not None and not self.tilt and 1 + len(supporters) >= self.quorum
        if down == view.objectively_down:
            return
        view.objectively_down = down
        view.odown_since = now if down else None
        view.odown_cause = view.down_cause if down else view.odown_cause
        detail = {**self._about(view), "views": [self.id, *supporters]}
        self._say("+odown" if down else "-odown", subject=view.id, cause=view.odown_cause, detail=detail)

    # --- what others may ask ---

    def fresh(self, now: float) -> dict[str, Views]:
        """Views of peers that are recent and not in tilt."""
        return {sender: heard.views for sender, heard in self._fresh(now).items()}

    def _fresh(self, now: float) -> dict[str, Heard]:
        limit = self.timing.view_fresh_s
        return {
            sender: heard for sender, heard in self.heard.items() if now - heard.at <= limit and not heard.views.tilt
        }

    def down_pairs(self, now: float) -> set[tuple[str, str]]:
        """(node, incarnation) of everybody whom a fresh view of any peer holds to be down."""
        return {pair for heard in self._fresh(now).values() for pair in heard.down}

    def down_views(self) -> tuple[View, ...]:
        """This sentinel's own views, as they are sent; who is not named is up."""
        return tuple(
            View(node=v.id, incarnation=self.incarnation(v), down=True, cause=v.down_cause, age_s=0.0)
            for v in self._down.values()
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
        change = float("inf")
        longest, master = self._waiting.longest(), self.master
        if longest is not None:
            silent_too_long = longest.silent_since() + self.timing.down_after_s * self.stretch
            if silent_too_long > now:
                change = silent_too_long
        if master is not None and master.down_since is None:
            idle_over = idle_over_at(master, self.accepted, self.bus_up_since, self.timing, self.stretch)
            if now < idle_over < change:
                change = idle_over
        return change

    def _about(self, view: NodeView) -> dict[str, Any]:
        return {"incarnation": self.incarnation(view), "master": view.id == self.record.node}
