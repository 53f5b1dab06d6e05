"""Thresholds and validity as people read them. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from ha_stress.cli.layout import ms, number, spaced


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
    line = Text.assemble(
        (f"{mark} ", style),
        (f"{threshold['text']:<36}", "" if threshold["ok"] is not False else "red"),
        (f"{figure(threshold['observed'], threshold['unit']):>12}", "bold"),
        (where, "dim"),
        no_wrap=True,
    )
    line.truncate(width, overflow="ellipsis")
    return line


def verdict_view(verdict: Mapping[str, Any], width: int = 120) -> RenderableType:
    """Every threshold; of the validity only what is not well, or one line that it is."""
    thresholds = [threshold_line(one, width) for one in verdict["thresholds"]]
    aborted = verdict["aborted"]
    if aborted:
        said = f"stopped after {aborted['after_s']:.1f} s by {aborted['threshold']!r}"
        thresholds.append(Text.assemble(("✗ ", "bold red"), said))
    doubts = [
        Text.assemble(("✗ ", "bold red"), (f"{one['name']}: ", "bold"), one["sentence"])
        for one in verdict["validity"]
        if not one["ok"]
    ]
    if verdict["validity"] and not doubts:
        doubts = [Text.assemble(("✓ ", "green"), "valid", ("  " + _proof(verdict), "dim"))]
    blocks: list[RenderableType] = []
    if thresholds:
        blocks.append(Text("\n").join(thresholds))
    if doubts:
        blocks.append(Text("\n").join(doubts))
    return spaced(*blocks)


def _proof(verdict: Mapping[str, Any]) -> str:
    """Why it may be believed: what the generator's own figures say."""
    named = {one["name"]: one["sentence"] for one in verdict["validity"]}
    return "; ".join(named[name] for name in ("cpu", "late") if name in named)
