"""The books of a task, recomputed from its plan by counting every single arrival, against what the target counted. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chaos.rounds.history import Violation

Holder = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One row of the ledger: what a holder accounted for in one revision."""

    revision: int
    holder: Holder
    intended: int
    started: int
    dropped: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """`uncovered` by killed holder; `reached` is how many of a place's uncovered arrivals the target got all the same."""

    planned: int
    started: int
    dropped: int
    uncovered: Mapping[Holder, int]
    reached: Mapping[str, int]
    violations: tuple[Violation, ...]


def audit(
    plan: Mapping[str, Any],
    entries: Sequence[Entry],
    *,
    counted: Mapping[str, int],
    places: Mapping[str, str],
    killed: frozenset[Holder],
    planned: int,
) -> Audit:
    """`counted` by place, `places` says where each node is. Only `killed` holders may leave arrivals uncovered."""
    problems: list[Violation] = []

    def expect(holds: bool, invariant: str, expected: str, found: object) -> None:
        if not holds:
            problems.append(Violation(invariant, expected, str(found)))

    wanted = owed(plan)
    limits = sum(revision["limit"] or 0 for revision in plan["revisions"])
    expect(limits == planned, "every-arrival-is-planned", f"{planned} arrivals in the plan", limits)
    accounted: Counter[tuple[int, Holder]] = Counter()
    for entry in entries:
        accounted[entry.revision, entry.holder] += entry.intended
        expect(
            entry.intended == entry.started + entry.dropped,
            "books-balance",
            f"started + dropped = intended {entry.intended} of {entry.holder}",
            f"{entry.started} + {entry.dropped}",
        )
    uncovered: Counter[Holder] = Counter()
    for key in wanted.keys() | accounted.keys():
        gap, holder = wanted[key] - accounted[key], key[1]
        expect(gap >= 0, "no-arrival-twice", f"at most {wanted[key]} arrivals of {key}", accounted[key])
        if gap > 0:
            expect(holder in killed, "every-arrival-is-accounted-for", f"nothing missing of {key}, who lives", gap)
            uncovered[holder] += gap
    started: Counter[str] = Counter()
    open_gap: Counter[str] = Counter()
    for entry in entries:
        started[places[entry.holder[0]]] += entry.started
    for holder, gap in uncovered.items():
        open_gap[places[holder[0]]] += gap
    for place in sorted({*started, *counted}):
        surplus = counted.get(place, 0) - started[place]
        expect(
            surplus >= 0, "target-got-what-was-started", f"{started[place]} requests from {place}", counted.get(place)
        )
        most = f"at most {started[place] + open_gap[place]} requests from {place}"
        expect(surplus <= open_gap[place], "no-arrival-twice", most, counted.get(place))
    return Audit(
        planned=planned,
        started=sum(started.values()),
        dropped=sum(entry.dropped for entry in entries),
        uncovered=uncovered,
        reached={place: counted.get(place, 0) - started[place] for place in open_gap},
        violations=tuple(problems),
    )


def owed(plan: Mapping[str, Any]) -> Counter[tuple[int, Holder]]:
    """How many arrivals of each revision belong to whom, one position after the other."""
    found: Counter[tuple[int, Holder]] = Counter()
    for revision in plan["revisions"]:
        holders = [(one["node"], one["incarnation"]) for one in revision["holders"]]
        table = revision["table"]
        for position in range(revision["limit"] or 0):
            found[revision["number"], holders[table[position % len(table)]]] += 1
    return found
