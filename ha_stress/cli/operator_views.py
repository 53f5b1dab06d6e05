"""How explanations and findings look: one sentence first, details below. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ha_stress.cli.failover_views import candidates_table
from ha_stress.cli.layout import grid, ms, spaced

_SEVERITIES: Final = {"problem": "bold red", "warning": "yellow", "ok": "green"}


# Explain.


def explain_view(document: Mapping[str, Any]) -> RenderableType:
    """What each sentinel sees and would do now."""
    asked = document["sentinels"]
    seen = [one["explanation"] for one in asked if one["ok"]]
    parts: list[RenderableType] = [Text(document["summary"], "bold")]
    if asked:
        parts.append(_views_table(asked))
    table = next((one["candidates"] for one in seen if one.get("candidates")), None)
    if table:
        parts.append(candidates_table(table, won="would win"))
    reasons = _reasons(seen)
    if reasons:
        parts.append(reasons)
    trouble = _unwell_nodes(seen)
    if trouble is not None:
        parts.append(trouble)
    return spaced(*parts)


def _views_table(asked: Sequence[Mapping[str, Any]]) -> Table:
    table = grid(
        "sentinel", "epoch", "voted", "master", "peers", "phase", "would win", "remarks", right=("epoch", "voted")
    )
    for one in asked:
        if not one["ok"]:
            table.add_row(one["id"], *["-"] * 6, Text(one["problem"], "red"))
            continue
        said = one["explanation"]
        views = said.get("views") or {}
        fresh = sum(bool(view and view.get("fresh")) for view in views.values())
        words = [word for word in ("tilt", "paused") if said.get(word)]
        words += ["" if said.get("bus_up", True) else "no Redis", "vote file!" if said.get("vote_file") else ""]
        table.add_row(
            one["id"],
            str(said.get("epoch", "-")),
            str(said.get("voted_epoch", "-")),
            _master_words(said.get("master") or {}),
            Text(f"{fresh} of {len(views)}", "" if fresh == len(views) else "yellow"),
            str(said.get("phase", "-")),
            said.get("would_win") or Text("nobody", "red"),
            Text(", ".join(word for word in words if word), "yellow"),
        )
    return table


def _master_words(master: Mapping[str, Any]) -> Text:
    if not master.get("node"):
        return Text("nobody yet", "red")
    if not master.get("down"):
        return Text(f"{master['node']} up", "green")
    how = "objectively down" if master.get("objectively_down") else "down"
    return Text(f"{master['node']} {how}: {master.get('cause') or '-'}", "red")


def _reasons(seen: Sequence[Mapping[str, Any]]) -> RenderableType | None:
    given: dict[str, list[str]] = {}
    for said in seen:
        for reason in said.get("why_no_failover", []):
            given.setdefault(reason, []).append(said["sentinel"])
    if not given:
        return None
    lines = Text("why no failover has started\n", "dim")
    for reason, who in given.items():
        lines.append(f"  {', '.join(who)}: ", "bold")
        lines.append(f"{reason}\n", "default")
    lines.rstrip()
    return lines


def _unwell_nodes(seen: Sequence[Mapping[str, Any]]) -> Table | None:
    rows = [
        (said["sentinel"], node)
        for said in seen
        for node in said.get("nodes", [])
        if node.get("down") or not node.get("connected", True)
    ]
    if not rows:
        return None
    table = grid("node", "seen by", "silent ms", "state", right=("silent ms",))
    for sentinel, node in sorted(rows, key=lambda row: (row[1]["node"], row[0])):
        state = f"down: {node.get('cause') or '-'}" if node.get("down") else "not connected"
        table.add_row(node["node"], sentinel, ms(node.get("silent_ms")), Text(state, "red"))
    return table


# Doctor.


def doctor_view(document: Mapping[str, Any]) -> RenderableType:
    """Problems and warnings with what to do; what is well on one line each."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in document["findings"]:
        style = _SEVERITIES.get(finding["severity"], "")
        words = Text(finding["found"], "bold" if finding["severity"] == "problem" else "")
        if finding["fault"]:
            words.append(f"\nfault: {finding['fault']}", "not bold dim")
        if finding["cure"]:
            words.append("\ndo:    ", "not bold dim")
            words.append(finding["cure"], "not bold cyan")
        table.add_row(Text(finding["severity"], style), finding["about"], words)
    head = Text(document["summary"], "bold green" if document["ok"] else "bold red")
    asked = document.get("asked_by") or "this command, from Redis and the mesh: no node was asked"
    return spaced(Group(head, Text(f"asked by {asked}", "dim")), table)
