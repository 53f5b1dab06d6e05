"""The pure part of the books benchmark: plan, ledger, kills and what the server counted in; who owed what, and who did it.

Everything is recomputed here by walking over every single arrival of the plan, with nothing of the product's arithmetic.

Arrival number n asks for cell n mod CELLS, so the server knows of each sender how often it got each cell. Per sender and
cell that must not be more than the plan says it owns: with CELLS a prime that no share divides, an arrival that is sent
twice shows, also if another one was left out, unless the two are a multiple of CELLS apart.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ha_stress.tasks.ledger import Row
from ha_stress.tasks.schedule import Holder, Plan
from ha_stress.worker.signature import sender_name

CELLS: Final = 97
#: The rate is looked at over windows of this length; it is back when one of them has this part of the target.
WINDOW_S: Final = 0.5
BACK_PART: Final = 0.98

Counts = Mapping[str, Mapping[str, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """What was done to whom, `at` which Unix time. `holder` is the process, if it can own arrivals."""

    what: str
    name: str
    at: float
    holder: Holder | None = None
    epoch: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """One process: its own words (the ledger) beside those of plan and server.

    `counted` - `started` is what the server got and no frame told of: only a process that was killed may have any.
    `unsent_frame_s` is in how many seconds so many of its arrivals are due.
    """

    holder: Holder
    killed: bool
    owned: int = 0
    intended: int = 0
    started: int = 0
    counted: int = 0
    duplicates: int = 0
    unsent_frame_s: float = 0.0

    @property
    def uncovered(self) -> int:
        """Owned and never accounted for."""
        return self.owned - self.intended

    @property
    def untold(self) -> int:
        return self.counted - self.started

    def to_json(self) -> dict[str, Any]:
        return {
            "node": self.holder.node,
            "incarnation": self.holder.incarnation,
            "killed": self.killed,
            "owned": self.owned,
            "intended": self.intended,
            "started": self.started,
            "counted": self.counted,
            "uncovered": self.uncovered,
            "untold": self.untold,
            "duplicates": self.duplicates,
            "unsent_frame_s": round(self.unsent_frame_s, 3),
        }


def owed(plan: Plan, cells: int = CELLS) -> dict[tuple[int, Holder], Counter[int]]:
    """How often each holder owns each cell, by revision; one arrival after the other."""
    found: dict[tuple[int, Holder], Counter[int]] = {}
    for revision in plan.revisions:
        mine = [found.setdefault((revision.number, holder), Counter()) for holder in revision.holders]
        table = [mine[index] for index in revision.table]
        for position in range(revision.limit or 0):
            table[position % len(table)][(revision.base + position) % cells] += 1
    return found


def senders(plan: Plan, rows: Iterable[Row], counts: Counts, kills: Sequence[Kill], cells: int = CELLS) -> list[Sender]:
    """Everybody who owned, accounted for or sent something."""
    ended = {kill.holder: kill.at for kill in kills if kill.holder is not None}
    debts, rows = owed(plan, cells), list(rows)
    known = {sender_name(holder): holder for _, holder in debts} | {sender_name(row.holder): row.holder for row in rows}
    everybody = {**known, **{name: Holder(*_split(name)) for name in counts if name not in known}}
    return [
        _sender(holder, plan, debts, rows, counts.get(name, {}), ended.get(holder))
        for name, holder in sorted(everybody.items())
    ]


def _sender(
    holder: Holder,
    plan: Plan,
    debts: Mapping[tuple[int, Holder], Counter[int]],
    rows: Sequence[Row],
    cells: Mapping[str, int],
    ended_at: float | None,
) -> Sender:
    mine = {revision: owned for (revision, who), owned in debts.items() if who == holder}
    told = {row.revision: row.counters for row in rows if row.holder == holder}
    whole: Counter[int] = sum(mine.values(), Counter())
    # Twice by the books: more accounted for than was owned. Twice by the server: a cell came more often than it was owned.
    by_books = sum(max(0, told[number].intended - mine.get(number, Counter()).total()) for number in told)
    by_server = sum(max(0, count - whole[int(cell)]) for cell, count in cells.items())
    started, counted = sum(counters.started for counters in told.values()), sum(cells.values())
    untold, rate = counted - started, 0.0 if ended_at is None else _rate_at(plan, holder, ended_at)
    return Sender(
        holder=holder,
        killed=ended_at is not None,
        owned=whole.total(),
        intended=sum(counters.intended for counters in told.values()),
        started=started,
        counted=counted,
        duplicates=max(by_books, by_server),
        unsent_frame_s=untold / rate if untold > 0 and rate else 0.0,
    )


def _rate_at(plan: Plan, holder: Holder, at: float) -> float:
    """Arrivals per second that were this holder's at that Unix time; 0.0 if none were."""
    for revision in reversed(plan.revisions):
        if revision.at_s <= at - plan.started_at:
            owned = [slot for slot in revision.table if revision.holders[slot] == holder]
            return revision.rate * len(owned) / len(revision.table)
    return 0.0


def covered_again_s(plan: Plan, kill: Kill) -> float | None:
    """How long after the kill the arrivals of that process had another owner; None if it owned none then."""
    at_s, holder = kill.at - plan.started_at, kill.holder
    if holder is None:
        return None
    gap_s: float | None = None
    for revision, after in zip(plan.revisions, (*plan.revisions[1:], None), strict=True):
        ends_s = after.at_s if after is not None else (plan.duration_s or 0.0)
        if holder in revision.holders and ends_s > at_s and revision.limit:
            gap_s = max(gap_s or 0.0, ends_s - at_s)
    return gap_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """What came to the server: `moments[i]` requests from Unix time i * `moment_s` on."""

    moments: Mapping[int, int]
    moment_s: float
    rate: float

    def back_s(self, at: float, until: float) -> float | None:
        """How long after `at` a window begins in which the rate is the target again; None if none does before `until`."""
        span = round(WINDOW_S / self.moment_s)
        wanted = BACK_PART * self.rate * span * self.moment_s
        for first in range(int(at / self.moment_s), int(until / self.moment_s) - span + 1):
            if sum(self.moments.get(first + offset, 0) for offset in range(span)) >= wanted:
                return max(0.0, first * self.moment_s - at)
        return None

    def series(self, begin: float, seconds: float, step_s: float = 0.25) -> list[float]:
        """Requests per second in steps of `step_s`, rounded to whole moments."""
        span = round(step_s / self.moment_s)
        first = round(begin / self.moment_s)
        return [
            sum(self.moments.get(first + step * span + offset, 0) for offset in range(span)) / (span * self.moment_s)
            for step in range(int(seconds / step_s))
        ]


def _split(name: str) -> tuple[str, str]:
    node, _, incarnation = name.partition("/")
    return node, incarnation
