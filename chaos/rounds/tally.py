"""Rounds in; the table and the JSON document out. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from chaos.rounds.history import Violation


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One round. `failover_ms`: from the fault to the first act of another master; None where there was none."""

    fault: str
    failover_ms: float | None
    arrivals: int
    uncovered: int
    violations: tuple[Violation, ...] = ()


def report(outcomes: Sequence[Outcome], names: Sequence[str]) -> dict[str, Any]:
    """The document of --json. `names` gives the order; a fault that never came is left out."""
    faults = []
    for name in names:
        mine = [outcome for outcome in outcomes if outcome.fault == name]
        if not mine:
            continue
        times = [outcome.failover_ms for outcome in mine if outcome.failover_ms is not None]
        faults.append(
            {
                "name": name,
                "rounds": len(mine),
                "failover_ms": {
                    "median": round(statistics.median(times), 1) if times else None,
                    "worst": round(max(times), 1) if times else None,
                },
                "uncovered": sum(outcome.uncovered for outcome in mine),
                "violations": sum(len(outcome.violations) for outcome in mine),
            }
        )
    return {
        "rounds": len(outcomes),
        "faults": faults,
        "arrivals": sum(outcome.arrivals for outcome in outcomes),
        "uncovered": sum(outcome.uncovered for outcome in outcomes),
        "violations": sum(len(outcome.violations) for outcome in outcomes),
    }


def table(document: dict[str, Any], meanings: dict[str, str]) -> Table:
    """The report for people; without `meanings` it fits into 80 columns."""
    shown = Table(title=f"{document['rounds']} rounds under load", title_justify="left", show_footer=True)
    shown.add_column("fault", footer="all", no_wrap=True)
    if meanings:
        shown.add_column("what is done")
    shown.add_column("rounds", justify="right", footer=str(document["rounds"]))
    shown.add_column("failover ms\nmedian", no_wrap=True, justify="right")
    shown.add_column("\nworst", justify="right")
    shown.add_column(
        "uncovered\narrivals",
        no_wrap=True,
        justify="right",
        footer=f"{document['uncovered']} of {document['arrivals']}",
    )
    shown.add_column("violations", no_wrap=True, justify="right", footer=str(document["violations"]))
    for fault in document["faults"]:
        broken = fault["violations"]
        shown.add_row(
            fault["name"],
            *([meanings[fault["name"]]] if meanings else []),
            str(fault["rounds"]),
            _ms(fault["failover_ms"]["median"]),
            _ms(fault["failover_ms"]["worst"]),
            str(fault["uncovered"]),
            f"[bold red]{broken}[/]" if broken else "0",
        )
    return shown


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"
