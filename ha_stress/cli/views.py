"""How things look in a terminal: plain functions from API answers to Rich renderables. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ha_stress.cli.layout import clock_time, grid, ms, node_of, number, spaced
from ha_stress.cli.request_table import request_table
from ha_stress.cli.verdict_view import verdict_view

#: Event name -> style: what hurts is red, what decides is yellow, what is good again is green, the rest is quiet.
_EVENT_STYLES = {
    "+sdown": "red",
    "+odown": "bold red",
    "+suspended": "red",
    "+tilt": "red",
    "+vote-file-error": "bold red",
    "+events-lost": "red",
    "+hook-failed": "red",
    "+paused": "bold red",
    "-paused": "green",
    "+switchover": "bold yellow",
    "-switchover": "yellow",
    "+tags": "cyan",
    "+members": "bold cyan",
    "+try-failover": "yellow",
    "+vote-for-leader": "yellow",
    "+elected-leader": "bold yellow",
    "+selected-node": "yellow",
    "+switch-master": "bold magenta",
    "+first-master": "bold magenta",
    "+acting": "bold green",
    "+failover-end": "green",
    "+superseded": "cyan",
    "+node": "green",
    "-node": "yellow",
    "+task": "cyan",
    "+revision": "cyan",
    "+task-end": "cyan",
    "+aborted": "bold red",
}

#: What must hold of the books of every task.
BOOKS_RULE: Final = "intended = started + dropped + uncovered"


def event_style(name: str) -> str:
    return _EVENT_STYLES.get(name, "yellow" if name.startswith("-failover-abort") else "dim" if name[:1] == "-" else "")


# Events.


def event_line(event: Mapping[str, Any]) -> tuple[Text, Text]:
    """One event: time, epoch and sequence (by which it is quoted), who says what of whom; and why."""
    quoted = f"e{event['epoch']}#{event['sequence']}"
    when = Text(f"{clock_time(event['at_ms'] / 1000, milliseconds=True)}  {quoted:<8}", "dim")
    return event_parts(when, event)


def gap_line(sentence: str) -> Text:
    """Where events are missing."""
    return Text(f"--- {sentence} ---", "bold red")


def event_parts(when: Text, event: Mapping[str, Any]) -> tuple[Text, Text]:
    """The aligned columns of an event, and the words that may need a second line."""
    head = Text.assemble(
        when,
        f" {event['source']:<10} ",
        (f"{event['name']:<18}", event_style(event["name"])),
        (f" {event['subject']:<6} ", "bold"),
    )
    return head, Text(event["cause"] or event.get("meaning", ""), "" if event["cause"] else "dim")


# Tasks.


def tasks_table(tasks: Sequence[Mapping[str, Any]]) -> RenderableType:
    if not tasks:
        return Text("There is no task yet: ha-stress task create URL --rate 500 --duration 20s")
    table = grid("task", "status", "rate/s", "duration", "created", "name", right=("rate/s", "duration"))
    for task in tasks:
        word = task["status"]
        if task["wanted"] == "stop" and word in ("pending", "running"):
            word = "stopping"  # the operator's word is in the database; the master acts on it in a moment
        status = Text(word, {"running": "green", "stopping": "yellow", "ended": "dim"}.get(word, ""))
        duration = "until stopped" if task["duration_s"] is None else f"{task['duration_s']:g} s"
        table.add_row(task["id"], status, number(task["rate"]), duration, clock_time(task["created_at"]), task["name"])
    return table


def task_panel(task: Mapping[str, Any]) -> RenderableType:
    """One task with everything: spec, plan, books, latencies."""
    parts: list[RenderableType] = [Text(f"{task['method']} {task['url']}", "bold"), tasks_table([task])]
    if task["plan"]:
        parts.append(plan_table(task["plan"]))
    parts.append(summary(task))
    requests = request_table(task)
    if requests is not None:
        parts.append(requests)
    if task.get("verdict"):
        parts.append(verdict_view(task["verdict"]))
    if task.get("timeline"):
        parts.append(timeline_table(task["timeline"]))
    return spaced(*parts)


def timeline_table(seconds: Sequence[Mapping[str, Any]]) -> Table:
    names = ("intended", "started", "completed", "failed", "dropped")
    table = grid("second", *names, right=names)
    for one in seconds:
        bad = {"failed": "red", "dropped": "red"}
        cells = [Text(number(one[name]), bad.get(name, "") if one[name] else "") for name in names]
        table.add_row(clock_time(one["second"]), *cells)
    return table


def summary(task: Mapping[str, Any]) -> RenderableType:
    """Books, latencies, statuses and failures side by side as far as there are any."""
    parts: list[RenderableType] = [books_table(task["books"])]
    if task["latency"]["response"]:
        parts.append(latency_table(task["latency"]))
    outcomes = outcome_table(task)
    return spaced(*parts, *([outcomes] if outcomes else []))


def outcome_table(task: Mapping[str, Any]) -> Table | None:
    """Statuses, then failures by kind; None if there is nothing yet."""
    rows = [(f"status {code}", count, "") for code, count in sorted(task["statuses"].items())]
    rows += [(kind, count, "red") for kind, count in sorted(task["failures"].items())]
    if not rows:
        return None
    table = grid("outcome", "requests", right=("requests",))
    for name, count, style in rows:
        table.add_row(Text(name, style), number(count))
    return table


def plan_table(plan: Sequence[Mapping[str, Any]]) -> Table:
    right = ("revision", "from", "rate/s", "arrivals")
    table = grid("revision", "from", "rate/s", "arrivals", "shares", "why", right=right)
    for revision in plan:
        shares = Text("  ").join(
            Text(f"{share['node']} {share['rate']:g}", "red strike" if share["lost"] else "")
            for share in revision["shares"]
        )
        limit = "open" if revision["limit"] is None else number(revision["limit"])
        at = f"{revision['at_s']:.2f} s"
        table.add_row(str(revision["number"]), at, number(revision["rate"]), limit, shares, revision["why"])
    return table


def books_table(books: Mapping[str, Any]) -> RenderableType:
    wrong = ("wrong",) if books.get("wrong") else ()
    names = ("intended", "started", "completed", "failed", *wrong, "dropped", "uncovered", "late")
    table = grid(*names, right=names)
    bad = {"failed", "wrong", "dropped", "uncovered"}
    cells = [Text(number(books[name]), "bold red" if name in bad and books[name] else "") for name in names]
    balanced = books.get("balanced", books["intended"] == books["started"] + books["dropped"] + books["uncovered"])
    table.add_row(*cells)
    return Group(table, Text.assemble(("balanced  ", "green"), (BOOKS_RULE, "dim")) if balanced else unbalanced())


def unbalanced() -> Text:
    return Text(f"NOT BALANCED: {BOOKS_RULE} does not hold", "bold red")


def latency_table(latency: Mapping[str, Any]) -> Table:
    names = ("mean", "p50", "p90", "p99", "p999", "max")
    table = grid(
        "latency, ms",
        *("p99.9" if name == "p999" else name for name in names),
        right=("mean", "p50", "p90", "p99", "p99.9", "max"),
    )
    for kind, meaning in (("response", "from the schedule"), ("service", "from the send")):
        if latency[kind]:
            label = Text.assemble(f"{kind} ", (meaning, "dim"))
            table.add_row(label, *(ms(latency[kind][f"{name}_ms"]) for name in names))
    return table


# Failovers.


def failovers_table(records: Sequence[Mapping[str, Any]]) -> RenderableType:
    phases = ("odown", "elected", "awarded", "accepted")
    table = grid("epoch", "when", "old", "winner", *phases, "outcome", right=("epoch", *phases))
    for record in records:
        table.add_row(
            str(record["epoch"]),
            clock_time(record["at"]) if record.get("at") else "-",
            node_of(record.get("old")),
            Text(node_of(record.get("winner")), "bold green"),
            *(ms(record.get("phases", {}).get(f"{name}_ms")) for name in phases),
            f"{record.get('outcome') or '-'}: {record.get('cause') or record.get('kind') or '-'}",
        )
    return Group(table, Text("phases in milliseconds since the leader's own +sdown", "dim"))
