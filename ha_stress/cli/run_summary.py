"""What is said when a run is over. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ha_stress.cli.exit_codes import EXIT_DONE, EXIT_INTERRUPTED
from ha_stress.cli.layout import grid, ms, number, spaced
from ha_stress.cli.live_view import counts_table, latency_block
from ha_stress.cli.request_table import SHORT, request_table
from ha_stress.cli.run_exit import RESULTS, exit_code, sentence
from ha_stress.cli.verdict_view import verdict_view
from ha_stress.cli.views import latency_table, outcome_table, unbalanced

#: Columns that the latencies and their explanation need.
_WIDE: Final = 70


def summary_of(tasks: Sequence[Mapping[str, Any]], code: int, width: int) -> RenderableType:
    """Every task, then one sentence for the exit code."""
    width = min(width, 120)
    blocks = [task_summary(task, width, named=len(tasks) > 1) for task in tasks]
    if len(tasks) > 1:
        blocks.append(_overview(tasks, width))
    strong, rest = sentence(code, tasks)
    style = "bold green" if code == EXIT_DONE else "bold yellow" if code == EXIT_INTERRUPTED else "bold red"
    return spaced(*blocks, Text.assemble((strong, style), " ", rest))


def _overview(tasks: Sequence[Mapping[str, Any]], width: int) -> RenderableType:
    """A line for each."""
    right = ("completed", "not well", "p50 ms", "p99 ms")
    table = grid("task", *right, "result", right=right)
    table.width, table.columns[0].ratio = width, 1
    table.columns[0].no_wrap, table.columns[0].overflow = True, "ellipsis"
    for task in tasks:
        books, response, code = task["books"], task["latency"]["response"] or {}, exit_code(task)
        bad = books["intended"] - books["completed"] + books["wrong"]
        table.add_row(
            Text(str(task["name"]), "bold"),
            number(books["completed"]),
            Text(number(bad), "red" if bad else ""),
            *(ms(response.get(name)) for name in ("p50_ms", "p99_ms")),
            Text(RESULTS[code], "green" if code == EXIT_DONE else "red"),
        )
    return table


def task_summary(task: Mapping[str, Any], width: int, *, named: bool) -> RenderableType:
    head = Text.assemble(
        (str(task["name"]), "bold"), ("  " + str(task["id"]), "dim"), no_wrap=True, overflow="ellipsis"
    )
    parts: list[RenderableType] = [head] if named else []
    parts.append(Group(counts_table(task, width), *([] if task["books"]["balanced"] else [unbalanced()])))
    tables = [table for table in (_latency(task, width), outcome_table(task)) if table is not None]
    if tables:
        parts.append(_beside(tables, width))
    requests = request_table(task, most=SHORT)
    if requests is not None:
        parts.append(requests)
    parts += _errands(task)
    checks = _checks(task)
    if checks is not None:
        parts.append(checks)
    verdict = task["verdict"]
    if verdict["thresholds"] or verdict["validity"] or verdict["aborted"]:
        parts.append(verdict_view(verdict, width))
    return spaced(*parts)


def _errands(task: Mapping[str, Any]) -> list[RenderableType]:
    """What went wrong in the functions of a scenario that run once."""
    said = [(task.get("scenario") or {}).get(f"{name}_problem") for name in ("setup", "teardown")]
    return [Text(problem, "bold red") for problem in said if problem]


def _latency(task: Mapping[str, Any], width: int) -> RenderableType | None:
    if not task["latency"]["response"]:
        return None
    short = latency_block(task)
    return latency_table(task["latency"]) if width >= _WIDE or short is None else short.what


def _checks(task: Mapping[str, Any]) -> RenderableType | None:
    failed = task["check_failures"]
    if not failed:
        return None
    table = grid("check that failed", "answers", right=("answers",))
    for text, count in sorted(failed.items(), key=lambda item: -item[1]):
        table.add_row(Text(text, "red"), number(count))
    return table


def _beside(tables: Sequence[RenderableType], width: int) -> RenderableType:
    if width < 100:
        return spaced(*tables)
    beside = Table.grid(padding=(0, 6, 0, 0))
    for _ in tables:
        beside.add_column(vertical="top")
    beside.add_row(*tables)
    return beside
