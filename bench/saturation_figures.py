"""The pure part of the saturation benchmark: samples in, figures, goals and a table out."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

DOWN_AFTER_S: Final = 1.0
#: Both cores count as saturated when this much of the machine is busy.
SATURATED_PERCENT: Final = 95.0
#: The part of the seconds that must have been saturated, for the run to say anything.
SATURATED_PART: Final = 0.9
#: What a false failover is made of, from the first suspicion to the last step.
SUSPICIONS: Final = ("+sdown", "+odown", "+tilt", "+try-failover", "+switch-master")


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """The books of the task after its end, and the rate that it was asked for."""

    asked_per_s: float
    intended: int = 0
    started: int = 0
    dropped: int = 0
    uncovered: int = 0
    completed: int = 0
    failed: int = 0


@dataclass(slots=True)
class Samples:
    """What was seen while the load ran. `lag_s` is the worst of each process, `cpu_percent` one value a second."""

    pings_s: dict[str, list[float]] = field(default_factory=dict)
    broken_connections: int = 0
    lag_s: dict[str, float] = field(default_factory=dict)
    cpu_percent: list[float] = field(default_factory=list)
    cpu_s: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    events: list[Mapping[str, str]] = field(default_factory=list)

    def note_lag(self, process: str, lag_s: float) -> None:
        self.lag_s[process] = max(self.lag_s.get(process, 0.0), lag_s)


def report_of(samples: Samples, load: Load) -> dict[str, Any]:
    """{"minutes", "false_failovers", "ping_ms": {"p50", "p99", "worst"}, "loop_lag_ms": {process: worst}, ...}."""
    pings = sorted(second for answers in samples.pings_s.values() for second in answers)
    said = Counter(event["name"] for event in samples.events)
    report: dict[str, Any] = {
        "minutes": round(samples.seconds / 60, 2),
        "false_failovers": said["+switch-master"],
        "ping_ms": {
            "p50": _ms(percentile(pings, 50)),
            "p99": _ms(percentile(pings, 99)),
            "worst": _ms(pings[-1] if pings else 0.0),
            "count": len(pings),
            "broken_connections": samples.broken_connections,
            "worst_of": {node: _ms(max(answers, default=0.0)) for node, answers in sorted(samples.pings_s.items())},
        },
        "loop_lag_ms": {name: _ms(lag_s) for name, lag_s in sorted(samples.lag_s.items())},
        "events": {name: said[name] for name in SUSPICIONS},
        "sdown": [_sentence(event) for event in samples.events if event["name"] == "+sdown"],
        "cpu": _cpu(samples),
        "load": {
            "asked_per_s": round(load.asked_per_s),
            "completed_per_s": round(load.completed / samples.seconds) if samples.seconds else 0,
            "intended": load.intended,
            "started": load.started,
            "dropped": load.dropped,
            "uncovered": load.uncovered,
            "failed": load.failed,
        },
    }
    report["goals"] = _goals(report)
    return report


def percentile(ordered: Sequence[float], percent: float) -> float:
    """By nearest rank; 0.0 of nothing."""
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)] if ordered else 0.0


def _cpu(samples: Samples) -> dict[str, Any]:
    busy = sum(percent >= SATURATED_PERCENT for percent in samples.cpu_percent)
    return {
        "host_percent": {
            "median": round(percentile(sorted(samples.cpu_percent), 50), 1),
            "least": round(min(samples.cpu_percent, default=0.0), 1),
        },
        "saturated_part": round(busy / max(1, len(samples.cpu_percent)), 3),
        "cores_used": {
            kind: round(cpu_s / samples.seconds, 3) if samples.seconds else 0.0
            for kind, cpu_s in sorted(samples.cpu_s.items())
        },
    }


def _goals(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    saturated, load = report["cpu"]["saturated_part"], report["load"]
    off = load["intended"] - load["started"] - load["dropped"] - load["uncovered"]
    return [
        {
            "name": "false failovers",
            "value": report["false_failovers"],
            "goal": "0",
            "met": not report["false_failovers"],
        },
        {
            "name": f"seconds with {SATURATED_PERCENT:g} % of all cores busy, part of all",
            "value": saturated,
            "goal": f">= {SATURATED_PART:g}",
            "met": saturated >= SATURATED_PART,
        },
        {"name": "arrivals that are in no book", "value": off, "goal": "0", "met": off == 0},
    ]


def table(report: Mapping[str, Any]) -> str:
    """For a person."""
    ping, cpu, load = report["ping_ms"], report["cpu"], report["load"]
    used = ", ".join(f"{kind} {cores:.2f}" for kind, cores in cpu["cores_used"].items())
    lines = [
        f"{report['minutes']:g} minutes, {load['asked_per_s']:,} arrivals/s asked, {load['completed_per_s']:,} completed/s",
        f"  cpu of the machine      median {cpu['host_percent']['median']:g} %, least {cpu['host_percent']['least']:g} %",
        f"  cores used by           {used}",
        f"  ping round trip, ms     p50 {ping['p50']:g}, p99 {ping['p99']:g}, worst {ping['worst']:g} of {ping['count']:,}"
        f" (connections that broke: {ping['broken_connections']})",
        "  worst loop lag, ms      " + ", ".join(f"{name} {ms:g}" for name, ms in report["loop_lag_ms"].items()),
        "  events                  " + ", ".join(f"{name} {count}" for name, count in report["events"].items()),
        *(f"    {sentence}" for sentence in report["sdown"]),
    ]
    return "\n".join(lines)


def verdicts(report: Mapping[str, Any]) -> Iterable[str]:
    for goal in report["goals"]:
        yield f"{'met' if goal['met'] else 'MISSED':<7} {goal['name']}: {goal['value']:g} (goal {goal['goal']})"


def _sentence(event: Mapping[str, str]) -> str:
    return f"{event.get('source', '?')} held {event.get('subject', '?')} to be down: {event.get('cause', '?')}"


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)
