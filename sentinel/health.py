"""Subjectively down: one sentinel's view of one node, each time with its cause.

    crash        the connection broke AND `crash_dials` fresh dials over `crash_confirm_s` were refused by a live host
    silence      no valid reply for `down_after_s`, stretched while this sentinel itself is slow
    restarted    it answers, but as another process than the one that the record names
    not-accepted it was named master and did not act within `accept_timeout_s`
    not-acting   it is the master, answers, and its lease has lapsed while Redis answers this sentinel
    switchover   it is the master and the operator asks for another one
    leaving      it is the master and asks to be relieved (a switchover, not a failure); a worker that leaves is not down

A refused dial is proof that nothing listens; silence proves nothing. So a killed process is found in tens of
milliseconds while a slow one keeps its full grace.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from ha_stress.base.config import Timing
from ha_stress.cluster.mastership import Mastership
from ha_stress.cluster.members import NodeInfo, Role

#: Weight of the newest cpu sample in the smoothed value that the election scores.
CPU_SMOOTHING = 0.3


@dataclass(slots=True, kw_only=True)
class NodeView:
    """What this sentinel knows of one node. Times are monotonic seconds; None: never."""

    id: str
    since: float
    info: NodeInfo | None = None
    last_pong: float | None = None
    #: It was dialled, with whatever outcome: only then its silence is its own.
    tried: bool = False
    connected: bool = False
    broke_at: float | None = None
    refused: int = 0
    first_refused_at: float = 0.0
    last_refused_at: float = 0.0
    #: Since when it answers without acting although the record names it, or None.
    idle_since: float | None = None
    cpu_smoothed: float | None = None
    down_since: float | None = None
    down_cause: str = ""
    objectively_down: bool = False
    odown_since: float | None = None
    odown_cause: str = ""  # and afterwards that of the last time

    def note_connected(self) -> None:
        self.connected = True
        self.broke_at = None
        self.refused = 0

    def note_lost(self, now: float) -> None:
        if self.connected:
            self.connected = False
            self.broke_at = now
            self.refused = 0

    def note_refused(self, now: float) -> None:
        if not self.refused:
            self.first_refused_at = now
        self.refused += 1
        self.last_refused_at = now

    def note_pong(self, info: NodeInfo, now: float) -> None:
        self.last_pong = now
        if self.info is not None and self.info.incarnation != info.incarnation:
            self.cpu_smoothed = None
        self.info = info
        if info.cpu_percent is not None:
            before = self.cpu_smoothed
            fresh = info.cpu_percent
            self.cpu_smoothed = fresh if before is None else before + CPU_SMOOTHING * (fresh - before)

    def note_acting(self, record: Mastership, now: float) -> None:
        """Start or stop the clock of "named, answers, does not act"."""
        if self.id != record.node or (self.info is not None and acts_under(self.info, record)):
            self.idle_since = None
        elif self.idle_since is None:
            self.idle_since = now

    def silent_since(self) -> float:
        """The last moment at which it was known to answer; before any answer, when it became known."""
        return self.last_pong if self.last_pong is not None else self.since


def acts_under(info: NodeInfo, record: Mastership) -> bool:
    """Whether `info` is that of the process that `record` names, acting under its epoch."""
    return (
        record.held_by(info.id, info.incarnation)
        and info.role is Role.MASTER
        and info.epoch == record.epoch
        and info.acting
    )


def crashed(view: NodeView, timing: Timing) -> bool:
    """Crash evidence, as defined at the head of this module. Like silence it ends with an answer: a process that starts
    again takes connections before it says who it is."""
    return _unanswered(view, "crash") or (
        not view.connected
        and view.broke_at is not None
        and view.refused >= timing.crash_dials
        and view.last_refused_at - view.first_refused_at >= timing.crash_confirm_s
    )


def judge(
    view: NodeView,
    *,
    record: Mastership,
    accepted: bool,
    bus_up_since: float | None,
    timing: Timing,
    stretch: float,
    now: float,
    handover: bool = False,
) -> str:
    """Why this node is subjectively down, or "" if it is not.

    `accepted` is whether the record's master was ever seen acting under its epoch; `bus_up_since` is since when Redis
    answers this sentinel (None: it does not), without which nobody can be blamed for a lapsed lease. `handover` is whether
    the operator asks for another master.
    """
    is_master = view.id == record.node
    if view.info is not None and view.info.leaving and not is_master:
        return ""  # it said goodbye; that it is gone is no failure
    if crashed(view, timing):
        return "crash"
    if _silent(view, timing, stretch, now):
        return "silence"
    if view.info is None or not is_master:
        return ""
    if view.info.incarnation != record.incarnation:
        return "restarted"
    if view.info.leaving:
        return "leaving"
    if handover:
        return "switchover"
    return _not_acting(view, accepted, bus_up_since, timing, stretch, now)


def _silent(view: NodeView, timing: Timing, stretch: float, now: float) -> bool:
    """Silence ends with an answer and with nothing else, least of all with this sentinel's patience growing."""
    return _unanswered(view, "silence") or now - view.silent_since() >= timing.down_after_s * stretch


def _unanswered(view: NodeView, cause: str) -> bool:
    """It is down because of `cause`, and has not answered since."""
    return view.down_cause == cause and view.down_since is not None and view.silent_since() <= view.down_since


def _not_acting(
    view: NodeView, accepted: bool, bus_up_since: float | None, timing: Timing, stretch: float, now: float
) -> str:
    """It answers, it is named, and it does not act: for how long, and could it have?"""
    if view.idle_since is None or bus_up_since is None:
        return ""
    idle_s = now - max(view.idle_since, bus_up_since)
    if not accepted and idle_s >= timing.accept_timeout_s * stretch:
        return "not-accepted"
    return "not-acting" if idle_s >= timing.down_after_s * stretch else ""


def idle_over_at(view: NodeView, accepted: bool, bus_up_since: float | None, timing: Timing, stretch: float) -> float:
    """When `judge` has had enough of a master that answers and does not act, if nothing happens; infinity if never."""
    if view.idle_since is None or bus_up_since is None:
        return float("inf")
    patience_s = timing.down_after_s if accepted else min(timing.down_after_s, timing.accept_timeout_s)
    return max(view.idle_since, bus_up_since) + patience_s * stretch


class BySilence:
    """Nodes in the order of their silence, the longest first. All have the same patience, so whom the time makes due next
    is at the head, whatever that patience is just now."""

    def __init__(self) -> None:
        self._views: OrderedDict[str, tuple[float, NodeView]] = OrderedDict()  # with the moment that gave it its place
        self._in_order = True

    def enter(self, view: NodeView) -> None:
        """Join, or move to the place that its last answer gives it: nearly always the end."""
        moment = view.silent_since()
        placed = self._views.get(view.id)
        if placed is not None and placed[0] == moment:
            return
        self._views[view.id] = (moment, view)
        self._views.move_to_end(view.id)
        self._in_order = self._in_order and self._newest_before(view.id) <= moment

    def leave(self, view: NodeView) -> None:
        self._views.pop(view.id, None)

    def longest(self) -> NodeView | None:
        """Who has been silent for longest."""
        if not self._in_order:
            self._views = OrderedDict(sorted(self._views.items(), key=lambda item: item[1][0]))
            self._in_order = True
        for _, view in self._views.values():
            return view
        return None

    def _newest_before(self, last: str) -> float:
        """The moment of the one before the `last`."""
        return next((self._views[name][0] for name in reversed(self._views) if name != last), float("-inf"))
