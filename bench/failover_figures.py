"""The pure part of the failover benchmark: marks of rounds in, figures, ratios, goals and a table out."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

DOWN_AFTER_S: Final = 1.0
#: What a failover may take once the master may be held to be down; at worst, until the successor acts.
ACT_GOAL_MS: Final = 150.0
#: The announcement after kill -9, in the median: ours may take at most this part of theirs.
ANNOUNCE_RATIO_GOAL: Final = 10.0


class Cause(StrEnum):
    """What happens to the master's process."""

    KILL = "kill"
    STOP = "stop"


TITLES: Final = {Cause.KILL: "kill -9", Cause.STOP: "SIGSTOP"}
OURS: Final = "ours"
VALKEY: Final = "valkey"
SYSTEMS: Final = (OURS, VALKEY)
FIELDS: Final = {
    "detect_ms": "a quorum holds it to be down",
    "act_ms": "the successor is master",
    "announce_ms": "a subscriber is told",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One failover: milliseconds from right before the signal until the observer had each mark."""

    detect_ms: float
    act_ms: float
    announce_ms: float


Rounds = dict[Cause, dict[str, list[Round]]]


def report_of(rounds: Rounds) -> dict[str, Any]:
    """{"kill": {"ours": {"detect_ms": {"median", "worst", "rounds", "all_ms"}, ...}, "valkey": ...}, "stop": ..., "ratios",
    "goals"}.

    `rounds` is their number, `all_ms` the figure of each round, in order. A ratio is theirs divided by ours: above 1, ours
    is faster.
    """
    report: dict[str, Any] = {
        str(cause): {
            system: {name: _figure([getattr(one, name) for one in rounds[cause][system]]) for name in FIELDS}
            for system in SYSTEMS
        }
        for cause in Cause
    }
    report["ratios"] = {
        str(cause): {
            name: {
                kind: round(report[cause][VALKEY][name][kind] / max(report[cause][OURS][name][kind], 0.001), 2)
                for kind in ("median", "worst")
            }
            for name in FIELDS
        }
        for cause in Cause
    }
    report["goals"] = _goals(report)
    return report


def _figure(values: Sequence[float]) -> dict[str, Any]:
    return {
        "median": round(statistics.median(values), 1),
        "worst": round(max(values), 1),
        "rounds": len(values),
        "all_ms": [round(value, 1) for value in values],
    }


def _goals(report: dict[str, Any]) -> list[dict[str, Any]]:
    kill_ms = report[Cause.KILL][OURS]["act_ms"]["worst"]
    stop_ms = report[Cause.STOP][OURS]["act_ms"]["worst"]
    stop_goal_ms = DOWN_AFTER_S * 1000 + ACT_GOAL_MS
    ratio = report["ratios"][Cause.KILL]["announce_ms"]["median"]
    return [
        _goal("kill -9: ours acts, at worst", kill_ms, f"<= {ACT_GOAL_MS:g} ms", kill_ms <= ACT_GOAL_MS),
        _goal(
            "kill -9: announcement, median, theirs / ours",
            ratio,
            f">= {ANNOUNCE_RATIO_GOAL:g}",
            ratio >= ANNOUNCE_RATIO_GOAL,
        ),
        _goal("SIGSTOP: ours acts, at worst", stop_ms, f"<= {stop_goal_ms:g} ms", stop_ms <= stop_goal_ms),
    ]


def _goal(name: str, value: float, goal: str, met: bool) -> dict[str, Any]:
    return {"name": name, "value": value, "goal": goal, "met": met}


def table(report: dict[str, Any], cause: Cause) -> str:
    """Milliseconds after the signal, for a person."""
    count = report[cause][OURS]["act_ms"]["rounds"]
    lines = [
        f"{TITLES[cause]} of the master, {count} rounds each, milliseconds after the signal",
        f"  {'until':<30}{'ours':>9}{'worst':>9}{'valkey':>9}{'worst':>9}{'ratio':>8}{'of worst':>9}",
    ]
    for name, title in FIELDS.items():
        ours, theirs = report[cause][OURS][name], report[cause][VALKEY][name]
        ratio = report["ratios"][cause][name]
        lines.append(
            f"  {title:<30}{ours['median']:>9.0f}{ours['worst']:>9.0f}{theirs['median']:>9.0f}{theirs['worst']:>9.0f}"
            f"{ratio['median']:>8.1f}{ratio['worst']:>9.1f}"
        )
    return "\n".join(lines)


def verdicts(report: dict[str, Any]) -> list[str]:
    return [
        f"{'met' if goal['met'] else 'MISSED':<7} {goal['name']}: {goal['value']:g} (goal {goal['goal']})"
        for goal in report["goals"]
    ]
