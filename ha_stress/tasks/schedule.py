"""The schedule as data: which arrival happens when, and who owns it.

A task's arrivals have *positions* p = 0, 1, 2, ... inside a *revision*. A revision says when it begins, at what rate,
and which holder owns which slot; position p is due at `at_s + p / rate` and belongs to the holder of slot
`p mod len(table)`. Everybody computes the same from it, nobody has to talk while it runs, and each arrival has exactly
one owner by construction:

    revision 1: at 0.0 s, 500/s, table a b a b ...          revision 2: at 8.2 s, 500/s, table a a a a ... (b died)
    p    0   1   2   3   4  ...                limit 4100 | 0   1   2   3 ...
    own  a   b   a   b   a                                | a   a   a   a

A holder's own arrivals are numbered by *ordinals*; with s the sorted slots of the holder, ordinal o is position
(o div len(s)) * len(table) + s[o mod len(s)]. A node with E engines gives engine e the ordinals o = e mod E. A revision
is *closed* by a limit: positions at or above it do not exist.

A revision with a *profile* says instead that position p is arrival number `base` + p of that profile, which began at
`origin_s` (see `arrivals`). `base` counts the arrivals of all revisions before, with a profile or without: so arrivals are
numbered through the whole task, and each number occurs once.

In the closed model there are no positions. A slot of the table is a user, who works for its holder from `at_s` until
`until_s`; engine e of E has the users slots[e::E]. Nothing is scheduled, so nothing can be uncovered: users whose holder
has died begin anew elsewhere.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from math import inf

from ha_stress.tasks.arrivals import arrivals_of, count_before
from ha_stress.tasks.checks import Check
from ha_stress.tasks.profile import Profile, rate_at
from ha_stress.tasks.scenario import Scenario
from ha_stress.tasks.spec import HttpRequest


@dataclass(frozen=True, slots=True, order=True)
class Holder:
    """Who owns arrivals: one process of one node. A restarted node is another holder."""

    node: str
    incarnation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """One stretch of a task's schedule. `table[slot]` indexes `holders`; `at_s` counts from the task's start.

    With a `profile` position p is arrival number `base` + p of it, and the profile began at `origin_s`. In the closed model
    (`users` above 0) a slot is a user, there are no positions: the limit is 0 once the end is fixed, which is `until_s`.
    """

    number: int
    at_s: float
    rate: float
    holders: tuple[Holder, ...]
    table: tuple[int, ...]
    limit: int | None = None
    why: str = ""
    profile: Profile | None = None
    origin_s: float = 0.0
    base: int = 0
    users: int = 0
    until_s: float | None = None

    def slots_of(self, holder: Holder) -> tuple[int, ...]:
        """The sorted slots that `holder` owns; empty if it owns none."""
        if holder not in self.holders:
            return ()
        index = self.holders.index(holder)
        return tuple(slot for slot, owner in enumerate(self.table) if owner == index)

    def slots_by_holder(self) -> dict[Holder, tuple[int, ...]]:
        """Everybody's sorted slots, in one pass over the table."""
        slots: list[list[int]] = [[] for _ in self.holders]
        for slot, owner in enumerate(self.table):
            slots[owner].append(slot)
        return {holder: tuple(owned) for holder, owned in zip(self.holders, slots, strict=True)}

    def rate_at(self, seconds: float) -> float:
        """Arrivals per second at that time of the task, while this revision is in force."""
        return rate_at(self.profile, self.rate, seconds - self.origin_s)

    def rate_of(self, holder: Holder) -> float:
        """This holder's arrivals per second when the revision begins."""
        return self.rate_at(self.at_s) * self.share_of(holder)

    def share_of(self, holder: Holder) -> float:
        """Its part of the arrivals, or of the users, between 0 and 1."""
        if holder not in self.holders:
            return 0.0
        return self.table.count(self.holders.index(holder)) / len(self.table)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All revisions of a task, oldest first. `started_at` is Unix time; `duration_s` None has no end yet.

    `lost` are holders whose process is gone: what they owned and never accounted for is *uncovered*.
    """

    started_at: float
    duration_s: float | None
    revisions: tuple[Revision, ...]
    lost: tuple[Holder, ...] = ()

    @property
    def newest(self) -> Revision:
        return self.revisions[-1]

    def holders(self) -> frozenset[Holder]:
        """Everybody who ever owned an arrival of this task."""
        return frozenset(h for r in self.revisions for h in r.holders)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One holder's part of one revision, as it is sent to the holder."""

    revision: int
    at_s: float
    rate: float
    modulus: int
    slots: tuple[int, ...]
    limit: int | None
    profile: Profile | None = None
    origin_s: float = 0.0
    base: int = 0
    users: int = 0
    until_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskShare:
    """All that a node has to know to run its share of a task: it never has to ask again (but for large bodies and the
    rows of feeders, which it reads by their digests)."""

    task: str
    request: HttpRequest
    in_flight_max: int
    started_at: float
    parts: tuple[Part, ...]
    mix: tuple[HttpRequest, ...] = ()
    scenario: Scenario | None = None
    think_time_s: float = 0.0
    warm_up_s: float = 0.0
    checks: tuple[Check, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeAssignment:
    """A node's full desired state: it runs exactly these shares and nothing else.

    Ordered by (epoch, revision); a node refuses whatever is not higher than what it has. It is addressed to an
    incarnation: a restarted process does not inherit what its predecessor owned.
    """

    epoch: int
    revision: int
    node: str
    incarnation: str
    shares: tuple[TaskShare, ...] = ()


def positions_before(seconds: float, rate: float) -> int:
    """How many positions p >= 0 have p / rate < `seconds`.

    500/s for 20 s are exactly 10,000: products that differ from an integer only by rounding count as that integer.
    """
    return count_before(seconds * rate) if seconds > 0 and rate > 0 else 0


def due_s(part: Revision | Part, position: int) -> float:
    """When a position is due, after the start of the task; infinite if it never is."""
    if part.profile is not None:
        return part.origin_s + arrivals_of(part.profile, part.rate).due_s(part.base + position)
    return part.at_s + position / part.rate if part.rate > 0 else inf


def due_before(part: Revision | Part, seconds: float) -> int:
    """How many positions are due before `seconds` after the start of the task, whatever the limit."""
    if part.profile is not None:
        return max(0, arrivals_of(part.profile, part.rate).before(seconds - part.origin_s) - part.base)
    return positions_before(seconds - part.at_s, part.rate)


def owned_below(slots: tuple[int, ...], modulus: int, limit: int) -> int:
    """How many positions below `limit` fall on `slots` (sorted)."""
    if not slots or limit <= 0:
        return 0
    cycles, rest = divmod(limit, modulus)
    return cycles * len(slots) + bisect_left(slots, rest)


def position_of(slots: tuple[int, ...], modulus: int, ordinal: int) -> int:
    """The position of a holder's arrival number `ordinal`."""
    cycle, index = divmod(ordinal, len(slots))
    return cycle * modulus + slots[index]


def planned(revision: Revision, holder: Holder) -> int | None:
    """How many arrivals of a closed revision belong to `holder`; None while the revision is open."""
    if revision.limit is None:
        return None
    return owned_below(revision.slots_of(holder), len(revision.table), revision.limit)
