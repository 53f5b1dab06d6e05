"""Who becomes master: filter, then score. Every candidate keeps the rule that dropped it or the score that ranked it.

Filter: the master itself, not the target of the switchover, down in any fresh view, no or stale information, priority 0,
draining, leaving, unhealthy, cpu or memory above the ceiling, incompatible version, already silent in this failover.
Score: `priority` (lower wins), then smoothed cpu in 10 % buckets, then `sequence` (lower wins), then id.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field

from ha_stress.cluster.controls import Tags
from ha_stress.cluster.mastership import Mastership
from ha_stress.cluster.members import NodeInfo
from sentinel.health import NodeView

CPU_BUCKET_PERCENT = 10
#: A node without a first cpu sample ranks behind every measured one: a newcomer is not "0 % cpu".
CPU_BUCKET_UNKNOWN = 100 // CPU_BUCKET_PERCENT + 1
#: Information older than this many ping periods is not good enough to choose by.
STALE_PERIODS = 5
_UNTAGGED = Tags()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Limits and wishes of the operator, and the version that this sentinel speaks. `only` is the target of a switchover."""

    ping_period_s: float
    cpu_ceiling_percent: float
    memory_ceiling_percent: float
    version: str
    only: str = ""
    tags: Mapping[str, Tags] = field(default_factory=dict)

    def priority(self, info: NodeInfo) -> int:
        """The operator's word, or else what the node was configured with."""
        wanted = self.tags.get(info.id, _UNTAGGED).priority
        return info.priority if wanted is None else wanted

    def draining(self, info: NodeInfo) -> bool:
        return info.draining or self.tags.get(info.id, _UNTAGGED).draining


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One row of the candidate table. `rank` counts from 1 and is None for a dropped one."""

    node: str
    incarnation: str
    priority: int
    cpu_percent: float | None
    cpu_bucket: int
    memory_percent: float | None
    sequence: int
    rank: int | None = None
    dropped: str = ""

    def as_row(self) -> dict[str, object]:
        """The shape that the failover record and the API show."""
        row = asdict(self)
        row["score"] = {key: row.pop(key) for key in ("priority", "cpu_bucket", "sequence")}
        return row


def cpu_bucket(smoothed: float | None) -> int:
    if smoothed is None:
        return CPU_BUCKET_UNKNOWN
    return min(int(smoothed // CPU_BUCKET_PERCENT), 100 // CPU_BUCKET_PERCENT)


def candidates(
    views: Iterable[NodeView],
    *,
    record: Mastership,
    down: Collection[tuple[str, str]],
    passed_over: Mapping[str, str],
    rules: Rules,
    now: float,
) -> list[Candidate]:
    """The whole table, best first, then the dropped ones by id.

    `down` are the (node, incarnation) pairs that any fresh view of any sentinel holds to be down; `passed_over` are the
    nodes (with incarnation) that were named before in this failover and stayed silent.
    """
    ranked: list[Candidate] = []
    dropped: list[Candidate] = []
    for view in views:
        why = why_not(view, record=record, down=down, passed_over=passed_over, rules=rules, now=now)
        (dropped if why else ranked).append(_row(view, why, rules))
    ranked.sort(key=lambda row: (row.priority, row.cpu_bucket, row.sequence, row.node))
    dropped.sort(key=lambda row: row.node)
    return [_ranked(row, number) for number, row in enumerate(ranked, start=1)] + dropped


def why_not(
    view: NodeView,
    *,
    record: Mastership,
    down: Collection[tuple[str, str]],
    passed_over: Mapping[str, str],
    rules: Rules,
    now: float,
) -> str:
    """The first filter rule that drops this node, or ""."""
    info = view.info
    if info is None or view.last_pong is None:
        return "has not answered yet"
    if record.held_by(info.id, info.incarnation):
        return "is the master that is replaced"
    if rules.only and info.id != rules.only:
        return f"the switchover is to {rules.only}"
    # "restarted" is said of the process that the record names; its successor answers, and may be all that is left.
    is_down = view.down_since is not None and view.down_cause != "restarted"
    if is_down or (info.id, info.incarnation) in down:
        return f"is down ({view.down_cause or 'seen by a peer'})"
    if now - view.last_pong > STALE_PERIODS * rules.ping_period_s:
        return f"information is {now - view.last_pong:.1f} s old"
    if passed_over.get(info.id) == info.incarnation:
        return "was named in this failover and did not act"
    return _why_not_fit(info, view.cpu_smoothed, rules)


def _why_not_fit(info: NodeInfo, cpu: float | None, rules: Rules) -> str:
    if rules.priority(info) == 0:
        return "priority 0"
    if rules.draining(info):
        return "draining"
    if info.leaving:
        return "leaving"
    if not info.healthy:
        return "reports itself unhealthy"
    if cpu is not None and cpu > rules.cpu_ceiling_percent:
        return f"cpu {cpu:.0f} % is above {rules.cpu_ceiling_percent:.0f} %"
    if info.memory_percent is not None and info.memory_percent > rules.memory_ceiling_percent:
        return f"memory {info.memory_percent:.0f} % is above {rules.memory_ceiling_percent:.0f} %"
    if info.version.split(".")[:2] != rules.version.split(".")[:2]:
        return f"version {info.version or 'unknown'} does not fit {rules.version}"
    return ""


def _row(view: NodeView, why: str, rules: Rules) -> Candidate:
    info = view.info
    return Candidate(
        node=view.id,
        incarnation=info.incarnation if info else "",
        priority=rules.priority(info) if info else 0,
        cpu_percent=None if view.cpu_smoothed is None else round(view.cpu_smoothed, 1),
        cpu_bucket=cpu_bucket(view.cpu_smoothed),
        memory_percent=info.memory_percent if info else None,
        sequence=info.sequence if info else 0,
        dropped=why,
    )


def _ranked(row: Candidate, rank: int) -> Candidate:
    return Candidate(**{**asdict(row), "rank": rank})
