"""The live view of a run: plain functions from `live` to Rich renderables. No I/O.

The curves end now; a second in which something went wrong is red in the curve of the rate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ha_stress.cli.layout import clock_time, grid, ms, number
from ha_stress.cli.live import Live, LiveTask, Second
from ha_stress.cli.sparkline import bars, meter
from ha_stress.cli.verdict_view import threshold_line
from ha_stress.cli.views import event_style

#: Left of the curves: their names. Right of them: the newest figure and what it is compared with.
_LABEL: Final = 8
_FIGURE: Final = 22
_WIDTH_MAX: Final = 120
_NEWS: Final = 4
_RATE, _LATENCY = "cyan", "magenta"


def live_view(live: Live, now: float, width: int, height: int) -> RenderableType:
    width = min(width, _WIDTH_MAX)
    parts: list[RenderableType] = []
    for task in live.tasks:
        if parts:
            parts.append(Text())
        parts += task_lines(task, now, width, whole=len(live.tasks) == 1)
    if live.trouble:
        parts += [Text(), Text(live.trouble, "red", overflow="ellipsis", no_wrap=True)]
    if live.note:
        parts += [Text(), Text(live.note, "yellow", overflow="ellipsis", no_wrap=True)]
    room = height - len(parts) - 10 if len(live.tasks) == 1 else _NEWS
    news = [_news_line(event) for event in live.news(min(_NEWS, max(1, room)))]
    return Group(Text(), *parts, *([Text(), *news] if news else []))


def task_lines(task: LiveTask, now: float, width: int, *, whole: bool) -> list[RenderableType]:
    """A task: head, bar and curves; the `whole` of it also has tables."""
    lines: list[RenderableType] = [_head(task, now, width), _progress(task, now, width)]
    if not task.found.get("started_at"):
        return lines
    lines += [Text(), *_curves(task, now, width)]
    if not whole:
        return [*lines, _counts(task)]
    lines += [Text(), counts_table(task.found)]
    side = [block for block in (_latency(task.found), _workers(task)) if block is not None]
    if side:
        lines += [Text(), _beside(side, width)]
    verdict = [threshold_line(one, width) for one in task.found["verdict"]["thresholds"]]
    lines += [Text(), *verdict] if verdict else []
    trouble = _trouble(task.found)
    lines += [Text(), *trouble] if trouble else []
    return lines


def _head(task: LiveTask, now: float, width: int) -> RenderableType:
    word, style = _state(task)
    elapsed_s = task.elapsed_s(now)
    clock = f"{_clock(elapsed_s)} / {_clock(task.duration_s)}" if elapsed_s is not None else ""
    table = Table.grid(expand=False, padding=(0, 2, 0, 0))
    table.width = width
    table.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, justify="right")
    table.add_row(Text(task.title, "bold"), Text(word, style), Text(clock))
    return table


def _state(task: LiveTask) -> tuple[str, str]:
    found = task.found
    if not found or not found["started_at"]:
        return "waiting for the master", "dim"
    if found["verdict"]["aborted"]:
        return "stopped by a threshold", "bold red"
    if found["status"] == "ended":
        return "ended", "dim"
    if found["status"] == "stopping" or found["wanted"] == "stop":
        return "closing the books", "yellow"
    return "running", "green"


def _progress(task: LiveTask, now: float, width: int) -> Text:
    elapsed_s = task.elapsed_s(now) or 0.0
    share = 1.0 if task.ended else elapsed_s / task.duration_s
    style = "red" if task.found and _bad(task.found["books"]) else "green"
    return meter(share, width - 7, style) + Text(f"  {share:>4.0%}")


def _curves(task: LiveTask, now: float, width: int) -> list[Text]:
    room = max(10, width - _LABEL - _FIGURE)
    course = task.course(room)
    last = course[-1] if course else None
    target = task.target(now)
    rate = Text(f"{'rate':<{_LABEL}}", "dim")
    for one, bar in zip(course, bars([one.started for one in course], top=target), strict=True):
        rate.append(bar, "red" if one.bad else _RATE)
    rate.append(" " * (room - len(course)))
    rate.append(f"  {number(last.started if last else None):>8}/s", "bold")
    rate.append(f" of {number(_short(target))}" if target is not None else f" {task.wanted['users']} users", "dim")
    p99 = Text(f"{'p99':<{_LABEL}}", "dim")
    p99.append(bars([one.p99_ms for one in course]), _LATENCY)
    p99.append(" " * (room - len(course)))
    p99.append(f"  {ms(last.p99_ms if last else None):>8} ms", "bold")
    p99.append(f" p50 {ms(last.p50_ms if last else None)}", "dim")
    return [_cut(rate, width), _cut(p99, width)]


def _short(rate: float | None) -> float | None:
    return rate if rate is None or rate < 100 else round(rate)


def counts_table(task: Mapping[str, Any]) -> RenderableType:
    """The books in one line."""
    books = task["books"]
    names = ("intended", "started", "completed", "failed", "wrong", "dropped", "uncovered", "late")
    table = grid(*names, right=names)
    bad = {"failed", "wrong", "dropped", "uncovered"}
    table.add_row(*(Text(number(books[name]), "bold red" if name in bad and books[name] else "") for name in names))
    return table


def _counts(task: LiveTask) -> Text:
    books, response = task.found["books"], task.found["latency"]["response"] or {}
    line = Text(f"{number(books['started'])} started", "")
    line.append(f"   p50 {ms(response.get('p50_ms'))}  p99 {ms(response.get('p99_ms'))} ms   ")
    bad = _bad(books)
    return line.append(f"{number(bad)} bad" if bad else "no errors", "red" if bad else "green")


def _latency(task: Mapping[str, Any]) -> RenderableType | None:
    latency = task["latency"]
    if not latency["response"]:
        return None
    names = ("p50", "p90", "p99", "p999", "max")
    shown = [name.replace("p999", "p99.9") for name in names]
    table = grid("latency, ms", *shown, right=shown)
    for kind in ("response", "service"):
        if latency[kind]:
            table.add_row(kind, *(ms(latency[kind][f"{name}_ms"]) for name in names))
    return table


def _workers(task: LiveTask) -> RenderableType | None:
    """Who sends how much: of the last whole second."""
    lost = [share["node"] for revision in task.found["plan"] for share in revision["shares"] if share["lost"]]
    last: Second | None = next(iter(task.course(1)), None)
    holders = [share["node"] for share in (task.found["plan"] or [{"shares": []}])[-1]["shares"]]
    if not holders:
        return None
    sent = last.workers if last is not None else {}
    most = max([*sent.values(), 1])
    table = grid("worker", "/s", "", right=("/s",))
    for node in dict.fromkeys([*sorted(holders), *(name for name in lost if name not in holders)]):
        if node in holders:
            table.add_row(node, number(sent.get(node, 0)), meter(sent.get(node, 0) / most, 12, _RATE))
        else:
            table.add_row(Text(node, "red strike"), "", Text("lost", "red"))
    return table


def _beside(blocks: Sequence[RenderableType], width: int) -> RenderableType:
    """Next to each other where there is room."""
    if width < 78:
        return Group(*blocks)
    table = Table.grid(padding=(0, 5, 0, 0))
    for _ in blocks:
        table.add_column(vertical="top")
    table.add_row(*blocks)
    return table


def _trouble(task: Mapping[str, Any]) -> list[Text]:
    """What went wrong by kind, the most frequent first, and the checks that failed."""
    lines = []
    for what, counts in (("failed", task["failures"]), ("check", task["check_failures"])):
        for name, count in sorted(counts.items(), key=lambda item: -item[1])[:3]:
            lines.append(Text.assemble((f"{what:<{_LABEL}}", "dim"), (f"{number(count):>8}  ", "red"), name))
    return lines


def _news_line(event: Mapping[str, Any]) -> Text:
    return Text.assemble(
        (clock_time(event["at_ms"] / 1000), "dim"),
        "  ",
        (f"{event['name']:<16}", event_style(event["name"])),
        f" {event['subject']} ",
        (event["cause"] or event.get("meaning", ""), "dim"),
        no_wrap=True,
        overflow="ellipsis",
    )


def _bad(books: Mapping[str, Any]) -> int:
    return int(books["failed"] + books["wrong"] + books["dropped"] + books["uncovered"])


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes:02d}:{rest:02d}"


def _cut(line: Text, width: int) -> Text:
    line.truncate(width)
    line.no_wrap = True
    return line


def plain_line(task: LiveTask, now: float) -> str:
    """One line for a log."""
    if not task.found.get("started_at"):
        return f"{task.title}: waiting for the master"
    books, response = task.found["books"], task.found["latency"]["response"] or {}
    course = task.course(1)
    words = [
        f"{task.elapsed_s(now):.0f} of {task.duration_s:g} s",
        f"{number(course[-1].started)}/s" if course else "-/s",
        f"{number(books['started'])} started",
        f"p50 {ms(response.get('p50_ms'))} ms",
        f"p99 {ms(response.get('p99_ms'))} ms",
        *(f"{number(books[name])} {name}" for name in ("failed", "wrong", "dropped", "uncovered") if books[name]),
    ]
    return f"{task.title}: {', '.join(words)}"
