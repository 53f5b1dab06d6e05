"""Who is a member, as the master knows it. Pure.

A node is a member while newer and newer descriptions of it arrive. It is gone

    at once           when the sentinels declare it objectively down, when another incarnation of it registers, or
                      when it said that it was leaving and its record is gone
    after expiry_s    when nothing newer has come, measured on this master's own clock since the last arrival

and it is back with the first description that is newer than the last one before it went. Only times of one clock are
compared: `sent_at` with `sent_at` of the same node, arrivals with `now`. That a record is missing in Redis proves
nothing by itself (a Redis that lost its data has none at all). In the original dead nodes were never removed.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from ha_stress.base.limits import MEMBERS_REMEMBERED_MAX
from ha_stress.cluster.members import NodeInfo
from ha_stress.tasks.schedule import Holder


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    info: NodeInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class Gone:
    info: NodeInfo
    cause: str


Change = Joined | Gone


def holder_of(info: NodeInfo) -> Holder:
    return Holder(info.id, info.incarnation)


class Membership:
    """The other nodes; the master itself is not among them (it needs no proof that it lives)."""

    def __init__(self, me: str, expiry_s: float) -> None:
        self._me = me
        self._expiry_s = expiry_s
        self._known: dict[str, NodeInfo] = {}
        self._heard_at: OrderedDict[str, float] = OrderedDict()  # who was silent for longest comes first
        #: Counts the changes of what planning and sending look at.
        self.version = 0
        #: Holders that are gone, with the `sent_at` that a description must be above to bring them back.
        self._gone: dict[Holder, float] = {}

    def members(self) -> tuple[NodeInfo, ...]:
        return tuple(self._known[node] for node in sorted(self._known))

    def heard(self, info: NodeInfo, now: float) -> list[Change]:
        """A description arrived, from the channel or from the record."""
        if info.id == self._me or info.sent_at <= self._gone.get(holder_of(info), float("-inf")):
            return []
        known = self._known.get(info.id)
        if known is not None and info.sent_at <= known.sent_at:
            return []
        changes: list[Change] = []
        if known is not None and known.incarnation != info.incarnation:
            changes.append(self._remove(known, "the node restarted as another process"))
            known = None
        self._gone.pop(holder_of(info), None)
        self._known[info.id] = info
        self._heard_at[info.id] = now
        self._heard_at.move_to_end(info.id)
        if known is None:
            changes.append(Joined(info=info))
        if known is None or _standing(known) != _standing(info):
            self.version += 1
        return changes

    def read(self, infos: Iterable[NodeInfo], now: float) -> list[Change]:
        """All records were read."""
        infos = list(infos)
        changes = [change for info in infos for change in self.heard(info, now)]
        present = {info.id for info in infos}
        left = [info for info in self.members() if info.leaving and info.id not in present]
        return [*changes, *(self._remove(info, "it left") for info in left)]

    def declared_down(self, holder: Holder, at_wall: float | None = None) -> list[Change]:
        """A quorum of sentinels declared `holder` down.

        `at_wall` is given for a declaration that is read afterwards: a description sent since then outweighs it.
        """
        known = self._known.get(holder.node)
        if known is None or known.incarnation != holder.incarnation:
            if at_wall is not None:
                self._remember(holder, at_wall)
            return []
        if at_wall is not None and known.sent_at > at_wall:
            return []
        return [self._remove(known, "the sentinels declared it objectively down")]

    def overdue(self, now: float) -> bool:
        """Whether somebody has been silent for too long. Read the records before calling `expired`."""
        return any(now - heard_at >= self._expiry_s for heard_at in islice(self._heard_at.values(), 1))

    def expired(self, now: float) -> list[Change]:
        """The records have just been read, so whoever is still silent is gone."""
        return [
            self._remove(info, f"nothing was heard of it for {self._expiry_s:g} s")
            for info in self.members()
            if now - self._heard_at[info.id] >= self._expiry_s
        ]

    def deaf(self, now: float) -> None:
        """Nothing could be heard up to `now` (Redis does not answer): the silence proves nothing about anybody."""
        self._heard_at = OrderedDict.fromkeys(self._heard_at, now)

    def known_gone(self, holder: Holder) -> bool:
        """Whether there is evidence that this process is gone, more than that nothing was heard of it."""
        known = self._known.get(holder.node)
        replaced = holder.node == self._me or (known is not None and known.incarnation != holder.incarnation)
        return replaced or holder in self._gone

    def _remove(self, info: NodeInfo, cause: str) -> Gone:
        del self._known[info.id]
        del self._heard_at[info.id]
        self.version += 1
        self._remember(holder_of(info), info.sent_at)
        return Gone(info=info, cause=cause)

    def _remember(self, holder: Holder, sent_at: float) -> None:
        self._gone[holder] = sent_at
        while len(self._gone) > MEMBERS_REMEMBERED_MAX:
            del self._gone[next(iter(self._gone))]


def _standing(info: NodeInfo) -> tuple[object, ...]:
    """All that planning and sending look at."""
    return (info.role, info.healthy, info.draining, info.leaving, info.applied)
