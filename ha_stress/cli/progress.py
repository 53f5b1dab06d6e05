"""The progress bar of a task, fed from the API."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

from ha_stress.cli.layout import ms, number


def progress_of(screen: Console) -> Progress:
    """A bar where a terminal is; nothing but the result elsewhere."""
    return Progress(
        SpinnerColumn(),
        BarColumn(bar_width=28),
        TextColumn("{task.percentage:>3.0f} %"),
        TextColumn("{task.fields[note]}"),
        console=screen,
        transient=True,
        disable=not screen.is_terminal,
        refresh_per_second=8,
    )


def shown(task: Mapping[str, Any], duration_s: float) -> dict[str, Any]:
    """What the bar shows of a task: elapsed time, rate so far, latencies, errors."""
    books, latency = task["books"], task["latency"]["response"]
    if not task["started_at"]:
        return {"note": "waiting for the master to plan it", "completed": 0}
    elapsed_s = min(max(time.time() - task["started_at"], 0.0), duration_s)
    bad = books["failed"] + books["dropped"] + books["uncovered"]
    words = [f"{number(books['started'])} requests"]
    if latency:
        words += [f"p50 {ms(latency['p50_ms'])} ms", f"p99 {ms(latency['p99_ms'])} ms"]
    words.append(f"[red]{number(bad)} bad[/]" if bad else "no errors")
    if task["status"] == "stopping":
        words.append("closing the books")
    return {"note": "  ".join(words), "completed": elapsed_s}
