"""The books: counters that add up, and the frame in which a worker reports them.

    intended  = started + dropped + uncovered      always, for every task
    started   = completed + failed + (still under way)

*Intended* arrivals are those that the schedule asked for; *started* ones were sent; *dropped* ones found the
in-flight limit reached; *uncovered* ones belonged to a process that died before it accounted for them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final

from ha_stress.tasks.figures import RequestFigures, add_maps
from ha_stress.tasks.schedule import Holder, Plan, due_before, owned_below


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """What one holder accounted for. `late` is the part of `started` that was begun over 10 ms after its schedule, `wrong`
    the part of `completed` of which a check failed, `retried` counts requests that went out on a second connection because
    the first one was closed before any byte of them was sent, `connected` new connections, `closed` the users (of the closed
    model) who have stopped for good, `cpu_us` the processor time of the engine meanwhile."""

    intended: int = 0
    started: int = 0
    completed: int = 0
    dropped: int = 0
    late: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    wrong: int = 0
    retried: int = 0
    connected: int = 0
    closed: int = 0
    cpu_us: int = 0
    failed: Mapping[str, int] = field(default_factory=dict)  # error kind -> count
    statuses: Mapping[str, int] = field(default_factory=dict)  # "200" -> count
    checks: Mapping[str, int] = field(default_factory=dict)  # text of a check -> how often it failed

    @property
    def failed_total(self) -> int:
        return sum(self.failed.values())

    @property
    def under_way(self) -> int:
        return self.started - self.completed - self.failed_total


#: The fields of `Counters` that are whole numbers, and those that count by name.
MAPS: Final = ("failed", "statuses", "checks")
COUNTERS: Final = tuple(one.name for one in fields(Counters) if one.name not in MAPS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One report of one engine about one revision of one task, about once a second.

    Identity is (node, incarnation, sequence): committed once, however often it is sent. The histograms are
    HdrHistogram V2 blobs (base64) in microseconds, or empty. `second` is the Unix second that ends what it
    counts: what happened from second - 1 to second. (Latencies belong to the answers that came then.) `warm_up` says that
    all of it was due in the warm-up of the task, whenever it was answered: it is in the books, and thresholds do not see
    it. `requests` are its figures by name, of a mix or a scenario; a task of one request has none.
    """

    node: str
    incarnation: str
    sequence: int
    epoch: int
    task: str
    revision: int
    engine: int
    second: int
    counters: Counters
    warm_up: bool = False
    response_us: bytes = b""
    service_us: bytes = b""
    requests: Mapping[str, RequestFigures] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """The committed sum of one holder's frames for one revision."""

    holder: Holder
    revision: int
    counters: Counters


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """The totals of a task. `planned` is None while its schedule has no end, and always in the closed model, which has no
    schedule: there `intended` is what was begun, and nothing can be uncovered."""

    planned: int | None
    intended: int
    started: int
    completed: int
    failed: int
    dropped: int
    uncovered: int
    late: int
    bytes_in: int
    bytes_out: int
    wrong: int
    retried: int
    connected: int
    cpu_us: int
    failures: Mapping[str, int]
    statuses: Mapping[str, int]
    checks: Mapping[str, int]

    @property
    def balanced(self) -> bool:
        return self.intended == self.started + self.dropped + self.uncovered


def add(counters: Iterable[Counters]) -> Counters:
    """The sum."""
    every = list(counters)
    sums: dict[str, Any] = {name: sum(getattr(c, name) for c in every) for name in COUNTERS}
    sums |= {name: add_maps(getattr(c, name) for c in every) for name in MAPS}
    return Counters(**sums)


def missing(plan: Plan, rows: Iterable[Row], *, after_s: float = 0.0) -> dict[tuple[int, Holder], int]:
    """Planned arrivals of closed revisions that nobody has accounted for yet, by (revision, holder).

    With `after_s` those that are due from then on, which then is all that the `rows` count. Zero entries are left out. For
    a holder that is alive this is work still to come, for a lost one it is uncovered.
    """
    accounted = {(row.revision, row.holder): row.counters.intended for row in rows}
    gaps: dict[tuple[int, Holder], int] = {}
    for revision in plan.revisions:
        limit, modulus = revision.limit or 0, len(revision.table)
        before = min(limit, due_before(revision, after_s)) if revision.at_s < after_s else 0
        for holder, slots in revision.slots_by_holder().items():
            want = owned_below(slots, modulus, limit) - owned_below(slots, modulus, before)
            gap = want - accounted.get((revision.number, holder), 0)
            if gap > 0:
                gaps[revision.number, holder] = gap
    return gaps


def books(plan: Plan | None, rows: Iterable[Row]) -> Books:
    """The totals, recomputed from the records each time: a late frame corrects them by itself."""
    rows = list(rows)
    total = add(row.counters for row in rows)
    uncovered = 0
    whole: int | None = None
    if plan is not None:
        gaps = missing(plan, rows)
        uncovered = sum(gap for (_, holder), gap in gaps.items() if holder in plan.lost)
        if all(revision.limit is not None and not revision.users for revision in plan.revisions):
            whole = sum(revision.limit or 0 for revision in plan.revisions)
    return Books(
        planned=whole,
        intended=total.intended + uncovered,
        started=total.started,
        completed=total.completed,
        failed=total.failed_total,
        dropped=total.dropped,
        uncovered=uncovered,
        late=total.late,
        bytes_in=total.bytes_in,
        bytes_out=total.bytes_out,
        wrong=total.wrong,
        retried=total.retried,
        connected=total.connected,
        cpu_us=total.cpu_us,
        failures=total.failed,
        statuses=total.statuses,
        checks=total.checks,
    )


def settled(plan: Plan, rows: Iterable[Row]) -> bool:
    """Whether a task whose schedule is closed has nothing outstanding: every arrival of every holder that still
    lives is accounted for, every user of it has stopped, and none of its requests is under way."""
    rows = list(rows)
    if any(revision.limit is None for revision in plan.revisions):
        return False
    if any(holder not in plan.lost for (_, holder) in missing(plan, rows)):
        return False
    if any(holder not in plan.lost for (_, holder) in at_work(plan, rows)):
        return False
    return all(row.counters.under_way <= 0 for row in rows if row.holder not in plan.lost)


def at_work(plan: Plan, rows: Iterable[Row]) -> dict[tuple[int, Holder], int]:
    """Users of the closed model who have not reported that they stopped, by (revision, holder)."""
    stopped = {(row.revision, row.holder): row.counters.closed for row in rows}
    users: dict[tuple[int, Holder], int] = {}
    for revision in plan.revisions:
        if not revision.users:
            continue
        for holder, slots in revision.slots_by_holder().items():
            left = len(slots) - stopped.get((revision.number, holder), 0)
            if left > 0:
                users[revision.number, holder] = left
    return users
