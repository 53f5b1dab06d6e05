"""Report, goals and table of the books benchmark. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from bench.books_audit import Counts, Flow, Kill, Sender, covered_again_s, senders
from ha_stress.tasks.ledger import Row, books
from ha_stress.tasks.schedule import Plan

RATE_GOAL: Final = 20_000.0
#: Of a lower rate that was asked for: what is uncovered for a moment when a worker dies is not sent.
RATE_PART_GOAL: Final = 0.97
#: What the arrivals of a dead worker may wait for beyond its detection, and the whole rate too.
COVER_GOAL_S: Final = 1.0
#: A frame is cut once a second, and handed on within a tenth; a busy machine is allowed a little.
UNSENT_FRAME_GOAL_S: Final = 1.5
#: What is killed. Only the death of a worker may cost arrivals.
WORKER: Final = "worker"
MASTER: Final = "master"
SENTINEL: Final = "sentinel"
REDIS: Final = "redis"


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All that was collected. `events` and `timeline` are those of the cluster, `counts` and `flow` those of the server;
    `frames_lost` by process. With fewer kills than `kills_wanted` the run shows nothing."""

    plan: Plan
    rows: Sequence[Row]
    kills: Sequence[Kill]
    events: Sequence[Mapping[str, Any]]
    timeline: Sequence[Mapping[str, int]]
    counts: Counts
    flow: Flow
    frames_lost: Mapping[str, int]
    kills_wanted: int = 0


def report_of(evidence: Evidence) -> dict[str, Any]:
    """{"intended", "started", "counted", ..., "kills": [...], "senders": [...], "goals": [...]}."""
    plan, totals = evidence.plan, books(evidence.plan, evidence.rows)
    people = senders(plan, evidence.rows, evidence.counts, evidence.kills)
    seconds = plan.duration_s or 0.0
    counted = sum(one.counted for one in people)
    report: dict[str, Any] = {
        "seconds": round(seconds, 3),
        "asked_per_s": evidence.flow.rate,
        "counted_per_s": round(counted / seconds, 1) if seconds else 0.0,
        "planned": totals.planned,
        "intended": totals.intended,
        "started": totals.started,
        "counted": counted,
        "completed": totals.completed,
        "failed": totals.failed,
        "dropped": totals.dropped,
        "uncovered": totals.uncovered,
        "late": totals.late,
        "untold": sum(one.untold for one in people if one.killed),
        "duplicates": sum(one.duplicates for one in people),
        "frames_lost": sum(evidence.frames_lost.values()),
        "failures": dict(totals.failures),
        "balanced": totals.balanced and totals.planned == totals.intended,
        "kills": [_kill_row(evidence, number, people) for number in range(len(evidence.kills))],
        "senders": [one.to_json() for one in people],
        "rate_per_s": [round(value) for value in evidence.flow.series(plan.started_at, seconds)],
    }
    report["goals"] = [
        _goal("kills", len(evidence.kills), evidence.kills_wanted, at_least=True),
        *_goals(report, people),
    ]
    return report


def _kill_row(evidence: Evidence, number: int, people: Sequence[Sender]) -> dict[str, Any]:
    plan, kill = evidence.plan, evidence.kills[number]
    end = plan.started_at + (plan.duration_s or 0.0)
    until = min([end, *(other.at for other in evidence.kills if other.at > kill.at)])
    victim = next((one for one in people if one.holder == kill.holder), None)
    gap_s = covered_again_s(plan, kill)
    back_s = evidence.flow.back_s(kill.at, until)
    return {
        "what": kill.what,
        "name": kill.name,
        "at_s": round(kill.at - plan.started_at, 3),
        "detection_s": _since(evidence, kill, "+odown", until),
        "failover_ms": _failover_ms(evidence, kill, until),
        "uncovered": victim.uncovered if victim else 0,
        "untold": victim.untold if victim else 0,
        "unsent_frame_s": round(victim.unsent_frame_s, 3) if victim else 0.0,
        "dropped": sum(row["dropped"] for row in evidence.timeline if kill.at < row["second"] <= until + 1),
        "gap_s": None if gap_s is None else round(gap_s, 3),
        "back_s": None if back_s is None else round(back_s, 3),
        "seen_s": round(until - kill.at, 3),
    }


def _since(evidence: Evidence, kill: Kill, name: str, until: float) -> float | None:
    times = [
        int(event["at_ms"]) / 1000
        for event in evidence.events
        if event["name"] == name and event["subject"] == kill.name and kill.at <= int(event["at_ms"]) / 1000 <= until
    ]
    return round(min(times) - kill.at, 3) if times else None


def _failover_ms(evidence: Evidence, kill: Kill, until: float) -> float | None:
    """From the kill of a master to the first act of its successor."""
    if kill.what != MASTER:
        return None
    acts = [int(one["at_ms"]) for one in evidence.events if one["name"] == "+acting" and int(one["epoch"]) > kill.epoch]
    return round(min(acts) - kill.at * 1000, 1) if acts else None


def _goals(report: Mapping[str, Any], people: Sequence[Sender]) -> list[dict[str, Any]]:
    living = [one for one in people if not one.killed]
    dead = [one for one in people if one.killed]
    rows = report["kills"]
    workers = [row for row in rows if row["what"] == WORKER and row["gap_s"] is not None]
    quiet = [row for row in rows if row["what"] != WORKER]
    over_s = [row["gap_s"] - (row["detection_s"] or 0.0) for row in workers]
    late_s = [_back_s(row) - (row["detection_s"] or 0.0) for row in workers]
    rate_goal = min(RATE_GOAL, RATE_PART_GOAL * report["asked_per_s"])
    goals = [
        _goal("requests per second in sum", report["counted_per_s"], rate_goal, at_least=True),
        _goal("survivors: |started - counted|, in sum", sum(abs(one.untold) for one in living), 0),
        _goal("survivors: owned and not accounted for", sum(abs(one.uncovered) for one in living), 0),
        _goal("killed: told, but not counted by the server", sum(max(0, -one.untold) for one in dead), 0),
        _goal("killed: sent in the last unsent frame, s", _worst(o.unsent_frame_s for o in dead), UNSENT_FRAME_GOAL_S),
        _goal("duplicates", report["duplicates"], 0),
        _goal("frames lost", report["frames_lost"], 0),
        _goal("failed", report["failed"], 0),
        _goal("books that do not balance", int(not report["balanced"]), 0),
        _goal("no worker killed: uncovered", sum(row["uncovered"] for row in quiet), 0),
        _goal("no worker killed: dropped", sum(row["dropped"] for row in quiet), 0),
    ]
    if workers:
        goals += [
            _goal("worker killed: covered again after detection +, s", _worst(over_s), COVER_GOAL_S),
            _goal("worker killed: rate back after detection +, s", _worst(late_s), COVER_GOAL_S),
        ]
    return goals


def _back_s(row: Mapping[str, Any]) -> float:
    """If the rate did not come back while it was looked for: at least so long."""
    back_s: float = row["seen_s"] if row["back_s"] is None else row["back_s"]
    return back_s


def _worst(values: Any) -> float:
    return round(max(values, default=0.0), 3)


def _goal(name: str, value: float, goal: float, *, at_least: bool = False) -> dict[str, Any]:
    sign = ">=" if at_least else "<="
    met = value >= goal if at_least else value <= goal
    return {"name": name, "value": value, "goal": f"{sign} {goal:g}", "met": met}


def table(report: Mapping[str, Any]) -> str:
    """For a person."""
    names = (
        "intended",
        "started",
        "counted",
        "completed",
        "failed",
        "dropped",
        "uncovered",
        "duplicates",
        "frames_lost",
    )
    lines = [
        f"{report['counted_per_s']:,.0f} requests/s for {report['seconds']:g} s, {len(report['kills'])} kills",
        *(f"  {name.replace('_', ' '):<12}{report[name]:>12,}" for name in names),
        "",
        f"  {'at s':>6}  {'killed':<16}{'detected s':>11}{'acts ms':>9}{'uncovered':>10}{'sent, untold':>13}"
        f"{'dropped':>8}{'gap s':>8}{'back s':>8}",
    ]
    lines += [
        f"  {row['at_s']:>6.1f}  {row['what'] + ' ' + row['name']:<16}{_shown(row['detection_s'], 2):>11}"
        f"{_shown(row['failover_ms'], 0):>9}{row['uncovered']:>10,}{row['untold']:>13,}{row['dropped']:>8,}"
        f"{_shown(row['gap_s'], 2):>8}{_shown(row['back_s'], 2):>8}"
        for row in report["kills"]
    ]
    untold = [one for one in report["senders"] if one["killed"] and one["untold"]]
    lines += [""] * bool(untold) + [
        f"  {one['node']} ({one['incarnation']}) was killed with {one['untold']:,} sent in its last unsent frame, "
        f"which are {one['unsent_frame_s']:.2f} s of its arrivals"
        for one in untold
    ]
    return "\n".join(lines)


def _shown(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def verdicts(report: Mapping[str, Any]) -> list[str]:
    return [
        f"{'met' if goal['met'] else 'MISSED':<7} {goal['name']}: {goal['value']:g} (goal {goal['goal']})"
        for goal in report["goals"]
    ]
