"""The table of a page that tells the requests of a task apart. Pure."""

from __future__ import annotations

from typing import Final

from ha_stress.report import words
from ha_stress.report.html.tables import Cell, Raw, bar, section, table, word
from ha_stress.report.run import Run

_FIGURES: Final = ("p50_ms", "p95_ms", "p99_ms", "max_ms")
_HEAD: Final = ("request", "sent", "failed", "wrong", "p50", "p95", "p99", "slowest", "p95 compared", "why")


def by_request(run: Run) -> str:
    """Nothing for a task of one request."""
    rows = run.task.get("by_request") or ()
    if not rows:
        return ""
    top = max((one["service"]["p95_ms"] for one in rows if one["service"]), default=0.0)
    cells: list[list[Cell]] = []
    for one in rows:
        service = one["service"] or {}
        bad = [_bad(one[name]) for name in ("failed", "wrong")]
        figures = [words.ms(service.get(name)) for name in _FIGURES]
        drawn: Cell = bar(service["p95_ms"] / top) if service and top else Raw("")
        why: Cell = word("bad", words.reasons_of(one)) if words.reasons_of(one) else Raw("")
        cells.append([str(one["name"]), words.number(one["started"]), *bad, *figures, drawn, why])
    runs = "A run of the scenario makes several of these. " if run.task.get("scenario") else ""
    lead = f"{runs}Times are service times: from the send to the complete answer."
    return section("By request", table(_HEAD, cells, right=range(1, 8)), lead=lead, name="requests")


def _bad(count: int) -> Cell:
    return word("bad", words.number(count)) if count else words.number(count)
