"""The live view of a run: plain functions from `live` to Rich renderables. No I/O.

The curves end now. A second in which something went wrong is red in the curve of the rate; the curve of p99 has a
logarithmic scale. What there is no room for is left out from below, so every part comes as blocks of known height.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ha_stress.cli.layout import clock_time, grid, ms, number
from ha_stress.cli.live import Live, LiveTask
from ha_stress.cli.request_table import HEAD, short_request_table
from ha_stress.cli.sparkline import curve, linear, logarithmic, meter
from ha_stress.cli.verdict_view import threshold_line
from ha_stress.cli.views import event_style

#: Left of the curves: their names. Right of them: the newest figure and what it is compared with.
_LABEL: Final = 9
_FIGURE: Final = 22
_WIDTH_MAX: Final = 140
#: Columns below which the books are shortened, and shortened once more, and below which tables stand under each other.
_NARROW, _SLIM, _BESIDE = 76, 54, 78
_NEWS: Final = 5
#: Lines of a terminal above which the curves are two and three lines high.
_TALL: Final = (27, 36)
_RATE, _LATENCY = "cyan", "magenta"
#: Lines that are kept for the cluster and its news below several tasks, and columns for the state of each.
_BELOW, _STATE = 4, 12


class Block(NamedTuple):
    """Something that stands by itself, `height` lines high."""

    height: int
    what: RenderableType


def live_view(live: Live, now: float, width: int, height: int) -> RenderableType:
    width = min(width, _WIDTH_MAX)
    rows = 1 + sum(height >= tall for tall in _TALL) if len(live.tasks) == 1 else 1
    blocks: list[Block] = []
    for task in live.tasks:
        blocks += task_blocks(task, now, width, rows, whole=len(live.tasks) == 1)
    if len(blocks) > 1 and sum(block.height + 1 for block in blocks) > height - _BELOW and len(live.tasks) > 1:
        blocks = [_tasks(live.tasks, now, width, height - _BELOW - 2)]
    for sentence, style in ((live.trouble, "red"), (live.note, "yellow")):
        if sentence:
            blocks.append(_lines(Text(sentence, style, overflow="ellipsis", no_wrap=True)))
    free = height - 1 - sum(block.height + 1 for block in blocks)
    if len(live.tasks) == 1 and (requests := short_request_table(live.tasks[0].found, width, free - _NEWS - 3)):
        blocks.append(Block(HEAD + requests.row_count, requests))
        free -= HEAD + requests.row_count + 1
    news = [_cluster_line(live.status), *(_news_line(event) for event in live.news(min(_NEWS, free - 2)))]
    if live.status:
        blocks.append(_lines(*news))
    return Group(*_fitting(blocks, height - 1))


def _tasks(tasks: Sequence[LiveTask], now: float, width: int, room: int) -> Block:
    """A line for each where there is no room for curves; `room` lines at the most."""
    shown = tasks if len(tasks) <= room - 1 else tasks[: max(1, room - 2)]
    right = ("done", "/s", "target", "p50 ms", "p99 ms", "bad")
    table = grid("task", "state", *right, right=right)
    table.width, table.columns[0].ratio = width, 1
    for column in table.columns[:2]:
        column.no_wrap, column.overflow = True, "ellipsis"
    table.columns[1].max_width = _STATE
    for task in shown:
        word, style = _state(task)
        table.add_row(Text(task.title, "bold"), Text(word, style), *_figures(task, now))
    rest = len(tasks) - len(shown)
    more = [Text(f"and {rest} more tasks, for which there is no room", "dim")] if rest else []
    return Block(2 + len(shown) + len(more), Group(table, *more))


def _figures(task: LiveTask, now: float) -> list[Text]:
    """In the order of the columns: done, rate, target, p50, p99, bad."""
    if not task.found.get("started_at"):
        return [Text("-")] * 6
    last, response = next(iter(task.course(1)), None), task.found["latency"]["response"] or {}
    target, bad = task.target(now), _bad(task.found["books"])
    return [
        Text(f"{_done(task, now):.0%}"),
        Text(number(last.started if last else None)),
        Text(f"{task.wanted['users']} users" if target is None else number(_short(target))),
        *(Text(ms(response.get(name))) for name in ("p50_ms", "p99_ms")),
        Text(number(bad), "red" if bad else "green"),
    ]


def _done(task: LiveTask, now: float) -> float:
    return 1.0 if task.ended else (task.elapsed_s(now) or 0.0) / task.duration_s


def task_blocks(task: LiveTask, now: float, width: int, rows: int, *, whole: bool) -> list[Block]:
    """A task: head, bar and curves; the `whole` of it also has tables. Curves are `rows` lines high."""
    head = [_head(task, now, width), _progress(task, now, width)]
    if not task.found.get("started_at"):
        return [_lines(*head)]
    curves = _curves(task, now, width, rows)
    if not whole:
        return [_lines(*head, *curves, _counts(task))]
    blocks = [_lines(*head), _lines(*curves), Block(3, counts_table(task.found, width))]
    side = [block for block in (latency_block(task.found), _workers(task)) if block is not None]
    if side:
        blocks.append(_beside(side, width))
    thresholds = [threshold_line(one, width) for one in task.found["verdict"]["thresholds"]]
    return blocks + [_lines(*some) for some in (thresholds, _trouble(task.found)) if some]


def _fitting(blocks: Sequence[Block], height: int) -> list[RenderableType]:
    """With an empty line before each; those that do not fit any more are left out."""
    parts: list[RenderableType] = []
    for block in blocks:
        height -= block.height + 1
        if height >= 0:
            parts += [Text(), block.what]
    return parts


def _lines(*some: RenderableType) -> Block:
    return Block(len(some), Group(*some))


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
    share = _done(task, now)
    style = "red" if task.found and _bad(task.found["books"]) else "green"
    return meter(share, width - 6, style) + Text(f" {share:>5.0%}")


def _curves(task: LiveTask, now: float, width: int, rows: int) -> list[Text]:
    room = max(10, width - _LABEL - _FIGURE)
    course = task.course(room)
    last = course[-1] if course else None
    target = task.target(last.second + 0.5 if last else now)  # of the second that is shown
    wanted = f"{task.wanted['users']} users" if target is None else f"of {number(_short(target))}"
    rates = curve(linear([one.started for one in course], target), rows)
    latencies = curve(logarithmic([one.p99_ms for one in course]), rows)
    styles = ["red" if one.bad else _RATE for one in course]
    rate = (f"{number(last.started if last else None):>8}/s", wanted)
    latency = (f"{ms(last.p99_ms if last else None):>8} ms", f"p50 {ms(last.p50_ms if last else None)}")
    return [
        *_curve("rate", rates, styles, room, rate, width),
        *([Text()] if rows > 1 else []),
        *_curve("p99", latencies, [_LATENCY] * len(course), room, latency, width),
    ]


def _curve(
    name: str, rows: Sequence[str], styles: Sequence[str], room: int, figures: tuple[str, str], width: int
) -> list[Text]:
    """The name stands before the lowest line, and the figures behind it."""
    lines = []
    for number_, row in enumerate(rows, 1):
        lowest = number_ == len(rows)
        line = Text(f"{name if lowest else '':<{_LABEL}}", "dim", no_wrap=True)
        line.append(" " * (room - len(row)))
        for character, style in zip(row, styles, strict=True):
            line.append(character, style)
        if lowest:
            line.append(f" {figures[0]}", "bold").append(f" {figures[1]}", "dim")
        line.truncate(width)
        lines.append(line)
    return lines


def _short(rate: float) -> float:
    return round(rate, 1) if rate < 100 else round(rate)


def counts_table(task: Mapping[str, Any], width: int) -> RenderableType:
    """The books in one line; on a narrow screen without what follows from the others, and what is only late; on a very
    narrow one without what there is none of."""
    books = task["books"]
    bad = ("failed", "wrong", "dropped", "uncovered")
    names: tuple[str, ...] = ("started", "completed", *(bad if width >= _SLIM else (one for one in bad if books[one])))
    if width >= _NARROW:
        names = ("intended", *names, "late")
    table = grid(*names, right=names)
    table.add_row(*(Text(number(books[name]), "bold red" if name in bad and books[name] else "") for name in names))
    return table


def _counts(task: LiveTask) -> Text:
    books, response = task.found["books"], task.found["latency"]["response"] or {}
    bad = _bad(books)
    broken = [one["text"] for one in task.found["verdict"]["thresholds"] if one["ok"] is False]
    line = Text(" " * _LABEL, no_wrap=True, overflow="ellipsis")
    line.append(f"{number(books['started'])} started, p50 {ms(response.get('p50_ms'))} ms, ")
    line.append(f"p99 {ms(response.get('p99_ms'))} ms, ")
    line.append(f"{number(bad)} bad" if bad else "no errors", "red" if bad else "green")
    return line.append(f", broken: {', '.join(broken)}" if broken else "", "red")


def latency_block(task: Mapping[str, Any]) -> Block | None:
    """As in the summary, in few columns."""
    latency = task["latency"]
    if not latency["response"]:
        return None
    names = ("p50", "p90", "p99", "p999", "max")
    shown = [name.replace("p999", "p99.9") for name in names]
    table = grid("latency, ms", *shown, right=shown)
    for kind in ("response", "service"):
        if latency[kind]:
            table.add_row(kind, *(ms(latency[kind][f"{name}_ms"]) for name in names))
    return Block(2 + table.row_count, table)


def _workers(task: LiveTask) -> Block | None:
    """Who sends how much: of the last whole second."""
    plan = task.found["plan"]
    if not plan:
        return None
    holders = sorted(share["node"] for share in plan[-1]["shares"])
    lost = [share["node"] for revision in plan for share in revision["shares"] if share["lost"]]
    last = next(iter(task.course(1)), None)
    sent = last.workers if last is not None else {}
    whole = max(1, sum(sent.values()))
    table = grid("worker", "/s", "share", right=("/s",))
    for node in dict.fromkeys([*holders, *lost]):
        count = sent.get(node, 0)
        if node in holders:
            table.add_row(node, number(count), meter(count / whole, 10, _RATE) + Text(f" {count / whole:>4.0%}"))
        else:
            table.add_row(Text(node, "strike"), "", Text("lost", "red"))
    return Block(2 + table.row_count, table)


def _beside(blocks: Sequence[Block], width: int) -> Block:
    """Next to each other where there is room."""
    if width < _BESIDE:
        return Block(sum(block.height for block in blocks), Group(*(block.what for block in blocks)))
    table = Table.grid(padding=(0, 4, 0, 0))
    for _ in blocks:
        table.add_column(vertical="top")
    table.add_row(*(block.what for block in blocks))
    return Block(max(block.height for block in blocks), table)


def _trouble(task: Mapping[str, Any]) -> list[Text]:
    """What went wrong by kind, the most frequent first, and the checks that failed."""
    lines = []
    for what, counts in (("failed", task["failures"]), ("check", task["check_failures"])):
        for name, count in sorted(counts.items(), key=lambda item: -item[1])[:3]:
            words = ((f"{what:<{_LABEL}}", "dim"), (f"{number(count):>8}  ", "red"), name)
            lines.append(Text.assemble(*words, no_wrap=True, overflow="ellipsis"))
    return lines


def _cluster_line(status: Mapping[str, Any]) -> Text:
    master = status.get("master")
    line = Text.assemble((f"{'cluster':<{_LABEL}}", "dim"), no_wrap=True, overflow="ellipsis")
    line.append(str(master["node"]) if master else "nobody", "bold" if master else "bold red")
    line.append(" is master" if master and master["acting"] else " is not acting", "" if master else "red")
    return line.append(f", epoch {status.get('epoch', 0)}, nodes {len(status.get('nodes', ()))}", "dim")


def _news_line(event: Mapping[str, Any]) -> Text:
    return Text.assemble(
        (f"{clock_time(event['at_ms'] / 1000):<{_LABEL}}", "dim"),
        (f"{event['name']:<15}", event_style(event["name"])),
        f"{event['subject']} ",
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
