"""The pure part of the scale benchmark: one row a size in; growth, goals and the table out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

#: The size that all others are compared with.
BASE_NODES: Final = 3
#: What a sentinel may cost at so many nodes and a ping each 500 ms, and how much slower a failover may be than with 3.
GOAL_NODES: Final = 1_000
SENTINEL_CPU_PERCENT_GOAL: Final = 35.0
SENTINEL_RSS_MB_GOAL: Final = 150.0
FAILOVER_FACTOR_GOAL: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One size. Processor and memory of sentinels are those of the one that needs most; 100 % is one core.

    `master_cpu_percent` counts the master's engines too. `failover_ms` is the median time from kill -9 of the master to its
    successor's first act, `distribute_ms` that from the creation of a task until every node has applied its share.
    """

    nodes: int
    sentinel_cpu_percent: float
    sentinel_rss_mb: float
    master_cpu_percent: float
    master_rss_mb: float
    redis_commands_per_s: float
    failover_ms: float
    failover_worst_ms: float
    distribute_ms: float


FIELDS: Final = tuple(name for name in Row.__dataclass_fields__ if name != "nodes")


def report_of(rows: Sequence[Row]) -> dict[str, Any]:
    """{"sizes": [row, ...], "growth": [{"nodes", field: factor to the smallest}, ...], "goals": [...]}."""
    ordered = sorted(rows, key=lambda row: row.nodes)
    return {
        "sizes": [_rounded(row) for row in ordered],
        "growth": [
            {"nodes": row.nodes} | {name: _factor(getattr(row, name), getattr(ordered[0], name)) for name in FIELDS}
            for row in ordered[1:]
        ],
        "goals": _goals(ordered),
    }


def _rounded(row: Row) -> dict[str, float]:
    return {name: round(value, 1) for name, value in asdict(row).items()} | {"nodes": row.nodes}


def _factor(value: float, base: float) -> float:
    return round(value / max(base, 0.001), 2)


def _goals(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Judged at the largest size up to GOAL_NODES; a larger one owes nothing."""
    judged = next((row for row in reversed(rows) if row.nodes <= GOAL_NODES), rows[0])
    factor = _factor(judged.failover_ms, rows[0].failover_ms)
    wanted = (
        ("sentinel, % of a core", judged.sentinel_cpu_percent, SENTINEL_CPU_PERCENT_GOAL),
        ("sentinel, MB", judged.sentinel_rss_mb, SENTINEL_RSS_MB_GOAL),
        (f"failover, times that with {rows[0].nodes} nodes", factor, FAILOVER_FACTOR_GOAL),
    )
    return [
        {"goal": name, "nodes": judged.nodes, "value": round(value, 2), "limit": limit, "met": value <= limit}
        for name, value, limit in wanted
    ]


def table(report: dict[str, Any]) -> str:
    """What people read: a column a size, with the factor to the smallest."""
    growth = {row["nodes"]: row for row in report["growth"]}
    lines = [f"{'nodes':<22}" + "".join(f"{row['nodes']:>18}" for row in report["sizes"])]
    for name in FIELDS:
        cells = (
            f"{row[name]:>10.1f}" + (f" x{growth[row['nodes']][name]:<6.1f}" if row["nodes"] in growth else " " * 8)
            for row in report["sizes"]
        )
        lines.append(f"{name:<22}" + "".join(cells).rstrip())
    return "\n".join(lines)


def verdicts(report: dict[str, Any]) -> list[str]:
    return [
        f"{'met    ' if goal['met'] else 'MISSED '} {goal['goal']} at {goal['nodes']} nodes: {goal['value']:g} "
        f"(goal {goal['limit']:g})"
        for goal in report["goals"]
    ]
