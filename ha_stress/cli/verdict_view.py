"""Thresholds and validity as people read them. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ha_stress.cli.layout import ms, number, spaced

#: Columns for a threshold as it was written, so that the figures of several stand under each other; as few as those are
#: worth more than where it was worst; and for the figure.
_TEXT, _TEXT_MIN, _FIGURE = 36, 20, 12


def figure(value: float | None, unit: str) -> str:
    """An observed figure with its unit."""
    if value is None:
        return "-"
    if unit == "ms":
        return f"{ms(value)} ms"
    if unit == "share":
        return f"{value * 100:.3g} %"
    return f"{number(round(value, 1))}/s" if unit == "per_s" else number(value)


def threshold_line(threshold: Mapping[str, Any], width: int) -> Text:
    """A mark, how it was written, what was observed, and where it was worst."""
    mark, style = {True: ("✓", "green"), False: ("✗", "bold red"), None: ("·", "dim")}[threshold["ok"]]
    window = threshold["window"]
    where = f"  from {window['from_s']:.0f} s to {window['to_s']:.0f} s" if window else ""
    room = width - len("✓ ") - _FIGURE - len(where)
    if room < _TEXT_MIN:
        room, where = room + len(where), ""
    text = Text(threshold["text"], "" if threshold["ok"] is not False else "red")
    text.truncate(min(max(_TEXT, text.cell_len), max(room, 1)), overflow="ellipsis", pad=True)
    line = Text.assemble(
        (f"{mark} ", style),
        text,
        (f"{figure(threshold['observed'], threshold['unit']):>12}", "bold"),
        (where, "dim"),
        no_wrap=True,
    )
    line.truncate(width, overflow="ellipsis")
    return line


def verdict_view(verdict: Mapping[str, Any], width: int = 120) -> RenderableType:
    """Every threshold; of the validity only what is not well, or one line that it is."""
    thresholds: list[RenderableType] = [threshold_line(one, width) for one in verdict["thresholds"]]
    if remark := verdict.get("remark"):
        thresholds.append(Text(remark, "dim"))
    aborted = verdict["aborted"]
    if aborted:
        said = f"stopped after {aborted['after_s']:.1f} s by {aborted['threshold']!r}"
        thresholds.append(_marked("✗", "bold red", Text(said)))
    doubts: list[RenderableType] = [
        _marked("✗", "bold red", Text.assemble((f"{one['name']}: ", "bold"), one["sentence"]))
        for one in verdict["validity"]
        if not one["ok"]
    ]
    if verdict["validity"] and not doubts:
        doubts = [_marked("✓", "green", Text.assemble("valid", ("  " + _proof(verdict), "dim")))]
    return spaced(*(Group(*lines) for lines in (thresholds, doubts) if lines))


def _marked(mark: str, style: str, words: Text) -> Table:
    """Words that go on under where they began."""
    line = Table.grid(padding=(0, 1, 0, 0))
    line.add_column(no_wrap=True)
    line.add_column()
    line.add_row(Text(mark, style), words)
    return line


def _proof(verdict: Mapping[str, Any]) -> str:
    """Why it may be believed: what the generator's own figures say."""
    named = {one["name"]: one["sentence"] for one in verdict["validity"]}
    return "; ".join(named[name] for name in ("cpu", "late") if name in named)
