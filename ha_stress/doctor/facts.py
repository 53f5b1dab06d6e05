"""What is known about a cluster at one moment, as plain data. Whatever was not asked, or did not answer, says so. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ha_stress.cluster.controls import NO_CONTROLS, Controls
from ha_stress.cluster.events import Event
from ha_stress.cluster.mastership import NOBODY, Mastership
from ha_stress.cluster.members import NodeInfo, SentinelInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class MasterSeen:
    """The master as one sentinel sees it."""

    node: str = ""
    incarnation: str = ""
    accepted: bool = False
    down: bool = False
    cause: str = ""
    objectively_down: bool = False
    silent_ms: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateSeen:
    """One row of the candidate table, as far as it is judged here."""

    node: str
    rank: int | None = None
    dropped: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSeen:
    node: str
    down: bool = False
    cause: str = ""
    silent_ms: float | None = None
    connected: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """A sentinel's answer to "explain". `vote_file`: why its vote file cannot be written; "" if it can."""

    sentinel: str
    epoch: int
    master: MasterSeen | None = None
    tilt: bool = False
    paused: bool = False
    members: tuple[str, ...] = ()
    members_version: int = 0
    majority: int = 0
    quorum: int = 0
    phase: str = "idle"
    voted_epoch: int = 0
    controls_revision: int = 0
    live_leader: str = ""
    bus_up: bool = True
    candidates: tuple[CandidateSeen, ...] = ()
    would_win: str = ""
    why_no_failover: tuple[str, ...] = ()
    nodes: tuple[NodeSeen, ...] = ()
    vote_file: str = ""

    @property
    def sees_master_down(self) -> bool:
        return self.master is not None and self.master.down


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What came of asking one sentinel. `refused_secret`: it lives, and does not accept our secret."""

    id: str
    problem: str = ""
    refused_secret: bool = False
    body: Mapping[str, Any] = field(default_factory=dict)
    seen: Explanation | None = None

    @property
    def ok(self) -> bool:
        return self.seen is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialled:
    """What came of dialling one node's mesh endpoint."""

    id: str
    problem: str = ""
    refused_secret: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What two looks at the registry, some seconds apart, tell. Clocks are compared with that of Redis.

    `incarnations`: of each "node n1" or "sentinel s1" those that were seen, in order, repetitions left out.
    `skew_s`: how far the clock of a process is ahead, at least; only of those that published in between.
    """

    nodes: tuple[NodeInfo, ...] = ()
    sentinels: tuple[SentinelInfo, ...] = ()
    living: frozenset[str] = frozenset()
    incarnations: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    skew_s: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything that the rules judge. `asked_by` is a node's id, or "" for the command line.

    `redis_unreadable`: the problem of Redis is not that it does not answer, but what it holds. `write_problem`: why it
    takes no writes. `database`: "ok", a sentence, or None where nobody could ask. `our_skew_s`: how far our clock is ahead
    of Redis'.
    """

    cluster: str
    redis: str
    asked_by: str = ""
    asked_by_incarnation: str = ""
    redis_problem: str = ""
    redis_unreadable: bool = False
    write_problem: str = ""
    database: str | None = None
    record: Mastership = NOBODY
    lease: str = ""
    controls: Controls = NO_CONTROLS
    controls_problem: str = ""
    server: Mapping[str, str] = field(default_factory=dict)
    our_skew_s: float | None = None
    redis_time_s: float = 0.0
    registered: Mapping[str, str] = field(default_factory=dict)
    watched: Watched = field(default_factory=Watched)
    asked: tuple[Asked, ...] = ()
    dialled: tuple[Dialled, ...] = ()
    events: tuple[Event, ...] = ()

    @property
    def seen(self) -> list[Explanation]:
        """The answers of the sentinels that answered."""
        return [one.seen for one in self.asked if one.seen is not None]

    @property
    def living_sentinels(self) -> list[SentinelInfo]:
        """Those that were seen to live: they published, or answered, or refused us."""
        answered = {one.id for one in self.asked if one.ok or one.refused_secret}
        return [info for info in self.watched.sentinels if info.id in self.watched.living | answered]

    @property
    def members(self) -> tuple[str, ...]:
        """Who the sentinels are: the operator's word, or what most of the living ones were configured with."""
        if self.controls.membership.version:
            return self.controls.membership.members
        claims = [tuple(sorted(info.members)) for info in self.living_sentinels if info.members]
        return max(sorted(set(claims)), key=claims.count) if claims else ()

    @property
    def majority(self) -> int:
        return len(self.members) // 2 + 1
