"""What is said when a run is over. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ha_stress.cli.layout import grid, number, spaced
from ha_stress.cli.live_view import counts_table, latency_block
from ha_stress.cli.run_exit import EXIT_INTERRUPTED, EXIT_PASSED, sentence
from ha_stress.cli.verdict_view import verdict_view
from ha_stress.cli.views import latency_table

#: Columns that the latencies and their explanation need.
_WIDE: Final = 70


def summary_of(tasks: Sequence[Mapping[str, Any]], code: int, width: int) -> RenderableType:
    """Every task, then one sentence for the exit code."""
    width = min(width, 120)
    blocks = [task_summary(task, width, named=len(tasks) > 1) for task in tasks]
    strong, rest = sentence(code, tasks)
    style = "bold green" if code == EXIT_PASSED else "bold yellow" if code == EXIT_INTERRUPTED else "bold red"
    return spaced(*blocks, Text.assemble((strong, style), " ", rest))


def task_summary(task: Mapping[str, Any], width: int, *, named: bool) -> RenderableType:
    head = Text.assemble(
        (str(task["name"]), "bold"), ("  " + str(task["id"]), "dim"), no_wrap=True, overflow="ellipsis"
    )
    parts: list[RenderableType] = [head] if named else []
    parts.append(Group(counts_table(task, width), *_unbalanced(task["books"])))
    tables = [table for table in (_latency(task, width), _outcomes(task)) if table is not None]
    if tables:
        parts.append(_beside(tables, width))
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


def _unbalanced(books: Mapping[str, Any]) -> list[Text]:
    if books["balanced"]:
        return []
    return [Text("NOT BALANCED: intended = started + dropped + uncovered does not hold", "bold red")]


def _latency(task: Mapping[str, Any], width: int) -> RenderableType | None:
    if not task["latency"]["response"]:
        return None
    short = latency_block(task)
    return latency_table(task["latency"]) if width >= _WIDE or short is None else short.what


def _outcomes(task: Mapping[str, Any]) -> RenderableType | None:
    rows = [(f"status {code}", count, "") for code, count in sorted(task["statuses"].items())]
    rows += [(kind, count, "red") for kind, count in sorted(task["failures"].items())]
    if not rows:
        return None
    table = grid("outcome", "requests", right=("requests",))
    for name, count, style in rows:
        table.add_row(Text(name, style), number(count))
    return table


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
