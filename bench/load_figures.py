"""The pure part of the load benchmark: runs in, medians, ratios, goals and tables out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any, Final

from bench.load_parse import Said
from bench.load_run import Measured
from bench.load_tools import OURS, SOCKET

#: Requests/s on one core, as a factor of theirs.
RATIO_GOALS: Final = {"wrk": 0.6, "hey": 2.5, "k6": 6.0, "locust": 10.0}
#: How far what was achieved may be from what was asked.
RATE_ERROR_GOAL: Final = 0.001
#: At the lowest rate, as a factor of a bare blocking socket's.
P50_FACTOR_GOAL: Final = 1.5
CPU_FACTOR_GOAL: Final = 1.0


def closed_rows(runs: Mapping[str, Sequence[Measured]]) -> list[dict[str, Any]]:
    """One row a tool, fastest first: the medians of its runs."""
    rows = [
        {
            "tool": tool,
            "rps": round(median(run.rate for run in every)),
            "cpu_us_per_request": round(median(run.cpu_us for run in every), 2),
            "p50_us": round(median(run.said.p50_us for run in every)),
            "p99_us": round(median(run.said.p99_us for run in every)),
            "server_percent": round(median(run.server_percent for run in every)),
            "runs": len(every),
        }
        | _node(tool, every)
        for tool, every in runs.items()
        if every
    ]
    return sorted(rows, key=lambda row: -row["rps"])


def open_rows(runs: Mapping[tuple[float, str], Sequence[Measured]]) -> list[dict[str, Any]]:
    """One row a rate and tool. `achieved` is what the server counted, `dropped` what the tool says; None: it does not."""
    return [
        {
            "tool": tool,
            "rate": rate,
            "achieved": round(median(run.rate for run in every), 1),
            "dropped": _dropped(every),
            "p50_us": round(median(run.said.p50_us for run in every)),
            "p99_us": round(median(run.said.p99_us for run in every)),
            "cpu_us_per_request": round(median(run.cpu_us for run in every), 2),
            "server_percent": round(median(run.server_percent for run in every)),
            "runs": len(every),
        }
        | _node(tool, every)
        for (rate, tool), every in sorted(runs.items(), key=lambda item: item[0][0])
        if every
    ]


def _dropped(runs: Sequence[Measured]) -> int | None:
    counts = [run.said.dropped for run in runs if run.said.dropped is not None]
    return round(median(counts)) if counts else None


def _node(tool: str, runs: Sequence[Measured]) -> dict[str, float]:
    return {"node_cpu_us_per_request": round(median(run.node_cpu_us for run in runs), 2)} if tool == OURS else {}


def freeze_rows(said: Mapping[str, Said], *, rate: float, seconds: float, freeze_s: float) -> list[dict[str, Any]]:
    """Whether a tool's 99th percentile tells of the frozen second. With arrivals on a schedule the delays of those that
    came meanwhile are spread evenly from `freeze_s` down to 0, so 1 % of all were delayed by more than `expected_p99_us`."""
    expected_us = 1e6 * max(freeze_s - 0.01 * seconds, 0.0)
    return [
        {
            "tool": tool,
            "rate": rate,
            "p50_us": round(one.p50_us),
            "p99_us": round(one.p99_us),
            "max_us": round(one.max_us),
            "expected_p99_us": round(expected_us),
            "shows": one.p99_us >= expected_us / 2,
        }
        for tool, one in said.items()
    ]


def ratios(closed: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    """Ours divided by theirs, requests/s on one core; None for who did not run."""
    return _factors({row["tool"]: row["rps"] for row in closed})


def cpu_ratios(closed: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    """The same for requests a second of processor time: what `ratios` would be if nobody ever had to wait for the server,
    or for somebody else's work on either core."""
    return _factors({row["tool"]: 1e6 / max(row["cpu_us_per_request"], 0.01) for row in closed})


def _factors(rates: Mapping[str, float]) -> dict[str, float | None]:
    ours = rates.get(OURS)
    return {
        tool: round(ours / rates[tool], 2) if ours is not None and rates.get(tool) else None for tool in RATIO_GOALS
    }


def goals(
    closed: Sequence[Mapping[str, Any]], opened: Sequence[Mapping[str, Any]], tolerance: float = RATE_ERROR_GOAL
) -> list[dict[str, Any]]:
    """What can be judged with what ran."""
    found = [
        _goal(f"requests/s on one core, times {tool}'s", ratio, at_least=RATIO_GOALS[tool])
        for tool, ratio in ratios(closed).items()
        if ratio is not None
    ]
    ours = {row["rate"]: row for row in opened if row["tool"] == OURS}
    for rate, row in ours.items():
        error = abs(row["achieved"] - rate) / rate
        found.append(_goal(f"distance from {rate:,.0f}/s, %", 100 * error, at_most=100 * tolerance))
    bare = next((row for row in opened if row["tool"] == SOCKET), None)
    if bare is not None and bare["rate"] in ours:
        row = ours[bare["rate"]]
        who = f"at {bare['rate']:,.0f}/s, times a bare socket's"
        found.append(_goal(f"median response time {who}", row["p50_us"] / bare["p50_us"], at_most=P50_FACTOR_GOAL))
        cpu = row["cpu_us_per_request"] / bare["cpu_us_per_request"]
        found.append(_goal(f"cpu a request {who}", cpu, at_most=CPU_FACTOR_GOAL))
    return found


def _goal(name: str, value: float, *, at_least: float | None = None, at_most: float | None = None) -> dict[str, Any]:
    value = round(value, 3)
    if at_least is not None:
        return {"goal": name, "value": value, "at_least": at_least, "met": value >= at_least}
    assert at_most is not None
    return {"goal": name, "value": value, "at_most": at_most, "met": value <= at_most}


def tables(report: Mapping[str, Any]) -> str:
    """What people read."""
    lines = [
        "closed, 64 connections: requests/s on one core",
        f"{'':<8} {'rps':>10} {'ours is':>8} {'by cpu':>8} {_TITLES}",
    ]
    for row in report["closed"]:
        factors = " ".join(f"{_times(report[which].get(row['tool'])):>8}" for which in ("ratios", "cpu_ratios"))
        lines.append(f"{row['tool']:<8} {row['rps']:>10,} {factors} {_rest(row)}")
    lines += ["", "open, on a schedule", f"{'':<8} {'asked/s':>10} {'achieved':>10} {'dropped':>9} {_TITLES}"]
    for row in report["open"]:
        dropped = "-" if row["dropped"] is None else f"{row['dropped']:,}"
        lines.append(f"{row['tool']:<8} {row['rate']:>10,.0f} {row['achieved']:>10,.1f} {dropped:>9} {_rest(row)}")
    if report["freeze"]:
        first = report["freeze"][0]
        lines += [
            "",
            f"the server stands still for a second at {first['rate']:,.0f}/s; "
            f"what is asked on a schedule then has a p99 of {first['expected_p99_us'] / 1e3:,.0f} ms",
            f"{'':<8} {'p50 ms':>10} {'p99 ms':>10} {'max ms':>10}",
        ]
        for row in report["freeze"]:
            figures = " ".join(f"{row[name] / 1e3:>10,.1f}" for name in ("p50_us", "p99_us", "max_us"))
            lines.append(f"{row['tool']:<8} {figures}   {'shows it' if row['shows'] else 'hides it'}")
    lines += ["", *(f"{tool}: {note}" for tool, note in report["notes"].items())]
    lines += [f"{tool} is left out: {why}" for tool, why in report["skipped"].items()]
    return "\n".join(lines)


_TITLES: Final = f"{'cpu us/request':>15} {'p50 us':>9} {'p99 us':>9} {'server':>7}"


def _times(factor: float | None) -> str:
    return "" if factor is None else f"x {factor:.2f}"


def _rest(row: Mapping[str, Any]) -> str:
    return f"{row['cpu_us_per_request']:>15.2f} {row['p50_us']:>9,} {row['p99_us']:>9,} {row['server_percent']:>6}%"


def verdicts(report: Mapping[str, Any]) -> list[str]:
    lines = []
    for goal in report["goals"]:
        limit = f"at least {goal['at_least']:g}" if "at_least" in goal else f"at most {goal['at_most']:g}"
        lines.append(f"{'met    ' if goal['met'] else 'MISSED '} {goal['goal']}: {goal['value']:g} (goal {limit})")
    return lines
