"""The figures of a task's requests by name, as a table. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from ha_stress.cli.layout import grid, ms, number
from ha_stress.report.words import reasons_of

_COUNTS: Final = ("sent", "failed", "wrong")
_FIGURES: Final = ("p50", "p95", "p99", "max")
#: Columns of a terminal above which all figures have room beside a path of usual length, and from which on the reasons.
_WIDE: Final = 70
_WIDEST: Final = 110
#: Rows at the end of a run; `task show` has all of them.
SHORT: Final = 20
#: Lines that the head of a table takes.
HEAD: Final = 2

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Shown:
    """As many columns as the terminal has room for."""

    rows: Sequence[Row]
    note: str

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        yield _table(self.rows, options.max_width, reasons=True)
        yield Text(self.note, "dim")


def request_table(task: Mapping[str, Any], *, most: int | None = None) -> RenderableType | None:
    """None for a task that sends one request; at `most` so many rows."""
    rows = task.get("by_request") or ()
    if not rows:
        return None
    kept = _kept(rows, most or len(rows))
    left = len(rows) - len(kept)
    return _Shown(
        kept, f"and {left} more: ha-stress task show {task['id']}" if left else "service times, from the send"
    )


def short_request_table(task: Mapping[str, Any], width: int, room: int) -> Table | None:
    """The same while it runs, in at most `room` lines; None if that is too little."""
    rows = task.get("by_request") or ()
    if not rows or room <= HEAD:
        return None
    table = _table(_kept(rows, room - HEAD), width, reasons=False)
    table.columns[0].no_wrap, table.columns[0].overflow = True, "ellipsis"
    return table


def _kept(rows: Sequence[Row], most: int) -> list[Row]:
    """Those with which something is wrong and those that were sent most often, in their order."""
    ranked = sorted(rows, key=lambda row: (not (row["failed"] or row["wrong"]), -row["started"]))
    names = {row["name"] for row in ranked[:most]}
    return [row for row in rows if row["name"] in names]


def _table(rows: Sequence[Row], width: int, *, reasons: bool) -> Table:
    figures = _FIGURES if width >= _WIDE else ("p50", "p99")
    right = (*_COUNTS, *(f"{name} ms" for name in figures))
    table = grid("by request", *right, right=right)
    table.columns[0].no_wrap = False
    why = [Text(reasons_of(row), "red") for row in rows]
    told = reasons and width >= _WIDEST and any(why)
    if told:
        table.add_column("why", overflow="fold", header_style="dim")
    for row, words in zip(rows, why, strict=True):
        service = row["service"] or {}
        bad = [Text(number(row[name]), "red" if row[name] else "") for name in ("failed", "wrong")]
        cells = (ms(service.get(f"{name}_ms")) for name in figures)
        table.add_row(Text(row["name"]), number(row["started"]), *bad, *cells, *([words] if told else []))
    return table
