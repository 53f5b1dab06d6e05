"""What must be true of a cluster that has recovered, each as a named check on what an outsider sees."""

from __future__ import annotations

import itertools
from collections import defaultdict
from dataclasses import dataclass

from chaos.outside import Outside, Snapshot
from ha_stress.cluster.members import Role


@dataclass(frozen=True, slots=True)
class Check:
    name: str
    holds: bool
    detail: str = ""


def check_all(outside: Outside, before: Snapshot) -> list[Check]:
    """Every invariant. `before` is what was seen before the fault."""
    now = outside.look()
    events = outside.events()
    return [
        _one_acting_master(now),
        Check("epoch-never-falls", now.epoch >= before.epoch, f"{before.epoch} -> {now.epoch}"),
        _lease_is_the_masters(now),
        _one_per_epoch("one-winner-per-epoch", events, "+switch-master", "subject"),
        _one_per_epoch("one-leader-per-epoch", events, "+elected-leader", "source"),
        _no_gaps(events),
    ]


def healthy(snapshot: Snapshot) -> bool:
    """Exactly one acting master, and it holds the lease."""
    return _one_acting_master(snapshot).holds and _lease_is_the_masters(snapshot).holds


def _one_acting_master(now: Snapshot) -> Check:
    acting = [info.id for info in now.nodes.values() if info.role is Role.MASTER and info.acting]
    holds = now.master is not None and acting == [now.node]
    return Check(
        "one-acting-master", holds, f"record names {now.node or 'nobody'}, acting: {', '.join(acting) or 'none'}"
    )


def _lease_is_the_masters(now: Snapshot) -> Check:
    expected = f"{now.epoch}:{now.node}:{now.incarnation}"
    return Check("lease-is-the-masters", now.lease == expected, f"lease {now.lease or 'free'}")


def _one_per_epoch(name: str, events: list[dict[str, str]], kind: str, who: str) -> Check:
    by_epoch: dict[int, set[str]] = defaultdict(set)
    for event in events:
        if event["name"] == kind:
            by_epoch[int(event["epoch"])].add(event[who])
    double = {epoch: sorted(names) for epoch, names in by_epoch.items() if len(names) > 1}
    return Check(name, not double, f"{len(by_epoch)} epochs" if not double else f"more than one: {double}")


def _no_gaps(events: list[dict[str, str]]) -> Check:
    numbers = [int(event["sequence"]) for event in events]
    gaps = [b for a, b in itertools.pairwise(numbers) if b != a + 1]
    return Check(
        "event-sequence-has-no-gaps", not gaps, f"{len(numbers)} events" if not gaps else f"gaps before {gaps}"
    )
