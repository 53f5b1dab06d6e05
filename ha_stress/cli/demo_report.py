"""The demo's verdict: figures and invariants out of events, books and records. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

TOTAL_MS_MAX = 500.0
_BOOKS = ("intended", "started", "completed", "failed", "dropped", "uncovered")


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Everything that was seen. `counted` is None with a foreign target, `killed_at_ms` is Unix time."""

    target_url: str
    counted: int | None
    killed: str
    killed_incarnation: str
    killed_at_ms: float
    epoch_before: int
    events: Sequence[Mapping[str, Any]]
    task: Mapping[str, Any]
    failovers: Mapping[int, Mapping[str, Any]]
    status: Mapping[str, Any]
    refused: Mapping[str, bool] = field(default_factory=dict)


def report_of(evidence: Evidence) -> dict[str, Any]:
    """The JSON document of `ha-stress demo --json`."""
    failover = _failover(evidence)
    books = {name: evidence.task["books"][name] for name in _BOOKS}
    invariants = _invariants(evidence, failover, books)
    return {
        "ok": all(invariants.values()),
        "target": {"url": evidence.target_url, "counted": evidence.counted},
        "books": books,
        "failover": failover,
        "invariants": invariants,
    }


def _failover(evidence: Evidence) -> dict[str, Any]:
    """Who took over, and how long each phase took. Times are the events', on the clock of Redis, which is this host's."""
    since = [event for event in evidence.events if event["at_ms"] >= evidence.killed_at_ms - 1]
    acting = _first(since, "+acting", above=evidence.epoch_before)
    after = acting["epoch"] if acting else None
    marks = {
        "detect": _first(since, "+odown", subject=evidence.killed),
        "elect": _first(since, "+elected-leader", epoch=after),
        "award": _first(since, "+switch-master", epoch=after),
        "act": acting,
    }
    record = evidence.failovers.get(after or 0, {})
    times: dict[str, float | None] = {}
    previous = evidence.killed_at_ms
    for phase, at in _moments(marks, record.get("phases", {})).items():
        times[f"{phase}_ms"] = None if at is None else round(max(0.0, at - previous), 1)
        previous = previous if at is None else max(at, previous)
    total = round(acting["at_ms"] - evidence.killed_at_ms, 1) if acting else None
    return {
        "killed": evidence.killed,
        "winner": _winner(acting, record),
        "epoch_before": evidence.epoch_before,
        "epoch_after": after,
        "cause": record.get("cause") or (marks["detect"] or {}).get("cause", ""),
        **times,
        "total_ms": total,
        "candidates": list(record.get("candidates", [])),
    }


def _moments(
    marks: Mapping[str, Mapping[str, Any] | None], phases: Mapping[str, float | None]
) -> dict[str, float | None]:
    """When each phase was over, in Unix milliseconds.

    The award's event is written by the award itself; "+elected-leader" is only said before it and written when Redis
    gets to it, so the leader's own stopwatch is the better witness for the time in between.
    """
    found = {phase: float(event["at_ms"]) if event else None for phase, event in marks.items()}
    awarded, elected = phases.get("awarded_ms"), phases.get("elected_ms")
    if found["award"] is not None and awarded is not None and elected is not None:
        found["elect"] = found["award"] - (awarded - elected)
    return found


def _winner(acting: Mapping[str, Any] | None, record: Mapping[str, Any]) -> str | None:
    if acting:
        return str(acting["subject"] or acting["source"])
    return (record.get("winner") or {}).get("node")


def _invariants(evidence: Evidence, failover: Mapping[str, Any], books: Mapping[str, int]) -> dict[str, bool]:
    winner = failover["winner"]
    master = evidence.status["master"]
    sequences = [event["sequence"] for event in evidence.events]
    found = {
        "task_ended": evidence.task["status"] == "ended",
        "books_balanced": books["intended"] == books["started"] + books["dropped"] + books["uncovered"] > 0,
    }
    if evidence.counted is not None:
        found["started_equals_counted"] = books["started"] == evidence.counted
    return found | {
        "nothing_uncovered": books["uncovered"] == 0,
        "one_winner_per_epoch": _one_per_epoch(evidence.events, ("+first-master", "+switch-master"), "subject"),
        "one_leader_per_epoch": _one_per_epoch(evidence.events, ("+elected-leader",), "source"),
        "epoch_grew": failover["epoch_after"] is not None and failover["epoch_after"] > evidence.epoch_before,
        "new_master_is_acting": bool(winner and master and master["node"] == winner and master["acting"]),
        "old_master_is_worker": winner != evidence.killed and _is_new_worker(evidence),
        "old_epoch_refused": bool(evidence.refused) and all(evidence.refused.values()),
        "events_without_gap": bool(sequences) and sequences == list(range(sequences[0], sequences[0] + len(sequences))),
        f"total_below_{TOTAL_MS_MAX:.0f}_ms": failover["total_ms"] is not None and failover["total_ms"] < TOTAL_MS_MAX,
    }


def _is_new_worker(evidence: Evidence) -> bool:
    """The killed node is back as another incarnation, and only works."""
    return any(
        node["id"] == evidence.killed
        and node["role"] == "worker"
        and node["incarnation"] != evidence.killed_incarnation
        for node in evidence.status["nodes"]
    )


def _one_per_epoch(events: Iterable[Mapping[str, Any]], names: tuple[str, ...], key: str) -> bool:
    seen: dict[int, set[str]] = {}
    for event in events:
        if event["name"] in names:
            seen.setdefault(event["epoch"], set()).add(event[key])
    return bool(seen) and all(len(who) == 1 for who in seen.values())


def _first(
    events: Iterable[Mapping[str, Any]],
    name: str,
    *,
    epoch: int | None = None,
    above: int | None = None,
    subject: str | None = None,
) -> Mapping[str, Any] | None:
    for event in events:
        if (
            event["name"] == name
            and (epoch is None or event["epoch"] == epoch)
            and (above is None or event["epoch"] > above)
            and (subject is None or event["subject"] == subject)
        ):
            return event
    return None
